"""`make bench-training`: pictures a second of `panoseg train` beside a plain training loop, in turn, in one run.

The plain loop is the obvious one: a DataLoader that decodes each JPEG and its mask with Pillow and resizes them each
time, three float32 channels, channels first, float32 arithmetic, losses out of the library. The arms between add one
trick each. Network, optimiser, pictures, input size and batch are the same. Only the last arm does what the
configuration asks for beyond that: changed pictures, clipped gradients, averaged weights. An arm is a process of its
own in each round, so that none inherits another's memory, and a machine that slows down slows all.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import cv2
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.places import REPOSITORY, RESULTS
from benchmarks.training_loops import Setting, measure
from service.machine import processor_name, usable_cores
from training.config import Config, PhantomData, load_config
from training.data import load_splits
from training.train import choose_precision

RESULT: Final = RESULTS / "training-speed.json"

GOAL: Final = 3.0
"""How many times faster `panoseg train` is than the plain loop, at least."""

PLAIN: Final = "plain loop"
SAME_WORK: Final = "panoseg train, the same work"

MALLOC: Final = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
"""glibc keeps what a step frees instead of giving it back and faulting it in again page by page."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train: what is told of it, how its loop is set, and its environment."""

    name: str
    setting: Setting
    malloc: bool = False


def arms(bf16: bool) -> tuple[Arm, ...]:
    """The plain loop, each trick on top of those before it, and `panoseg train`; bf16 where the hardware has it."""
    steps = [
        Arm(PLAIN, Setting()),
        Arm("+ pictures decoded and resized once, kept as uint8", Setting(cached=True)),
        Arm("+ one grey channel", Setting(cached=True, grey=True)),
        Arm("+ channels last", Setting(cached=True, grey=True, channels_last=True)),
        Arm("+ our loss", Setting(cached=True, grey=True, channels_last=True, our_loss=True)),
    ]
    last = Setting(cached=True, grey=True, channels_last=True, our_loss=True, precision="bf16" if bf16 else "fp32")
    if bf16:
        steps.append(Arm("+ bf16", last))
    return (
        *steps,
        Arm("+ malloc settings", last, malloc=True),
        Arm(SAME_WORK, Setting(panoseg=True), malloc=True),
        Arm("panoseg train, as configured", Setting(panoseg=True, as_configured=True), malloc=True),
    )


def main() -> int:
    """Returns 1 where the goal is missed."""
    arguments = _parse()
    if arguments.arm is not None:
        setting = Setting(**json.loads(arguments.arm))
        print(measure(setting, load_config(arguments.config), arguments.folder, arguments.steps))
        return 0
    config = load_config(arguments.config)
    compared = arms(bf16=choose_precision(config) == "bf16-mixed")
    with tempfile.TemporaryDirectory() as folder:
        path = _write_pictures(config, arguments, Path(folder))
        config = load_config(path)
        speeds: dict[str, list[float]] = {arm.name: [] for arm in compared}
        for _ in range(arguments.rounds):
            for arm in track(compared, "in turn"):
                speeds[arm.name].append(_run(arm, path, Path(folder), arguments.steps))
    result = summarise(speeds, config, arguments)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _show(result)
    return 0 if result["times_as_fast"] >= GOAL else 1


def _parse() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--config", type=Path, default=REPOSITORY / "training" / "configs" / "shipped.yaml")
    arguments.add_argument("--height", type=int, help="of the input; the configuration's last phase says otherwise")
    arguments.add_argument("--width", type=int)
    arguments.add_argument("--batch", type=int)
    arguments.add_argument("--pictures", type=int, default=48, help="that the loops go through over and over")
    arguments.add_argument("--steps", type=int, default=8, help="timed in each arm in each round, after two of warm-up")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--out", type=Path, default=RESULT)
    # What the benchmark starts itself with, once for each arm.
    arguments.add_argument("--arm", help=argparse.SUPPRESS)
    arguments.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return arguments.parse_args()


def _write_pictures(config: Config, arguments: argparse.Namespace, folder: Path) -> Path:
    """Write what all arms train with: JPEGs, masks, and the configuration, whose file is returned."""
    size = config.phases[-1]
    names = ("height", "width", "batch")
    phase = size.model_dump() | {name: value for name in names if (value := getattr(arguments, name)) is not None}
    data: Any = config.data
    if not isinstance(data, PhantomData) and not Path(data.folder).exists():
        data = PhantomData(kind="phantom", train=arguments.pictures, val=1, test=1)
    samples = load_splits(data, names=("train",)).train[: arguments.pictures]
    for number, sample in enumerate(samples):
        cv2.imwrite(str(folder / f"{number:04}.jpg"), sample.pixels)
        cv2.imwrite(str(folder / f"{number:04}.png"), sample.labels)
    changed = Config.model_validate({**dict(config), "data": data, "phases": [phase], "begin_with": None, "repeat": {}})
    path = folder / "config.json"
    # JSON is YAML too.
    path.write_text(changed.model_dump_json(), encoding="utf-8")
    return path


def _run(arm: Arm, config: Path, folder: Path, steps: int) -> float:
    """Pictures a second of one arm in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.training_speed", "--arm", json.dumps(asdict(arm.setting))]
    command += ["--config", str(config), "--folder", str(folder), "--steps", str(steps)]
    environment = {key: value for key, value in os.environ.items() if key not in MALLOC} | (
        MALLOC if arm.malloc else {}
    )
    process = subprocess.run(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(process.stdout.split()[-1])


def summarise(speeds: dict[str, list[float]], config: Config, arguments: argparse.Namespace) -> dict[str, Any]:
    """The result file's content.

    Args:
        speeds: pictures a second in each round, by arm.
        config: the run; its last phase says input size and batch.
        arguments: how many `rounds` and `steps` were timed.
    """
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    plain = medians[PLAIN]
    before = plain
    rows = []
    for name, values in speeds.items():
        row = {
            "arm": name,
            "pictures_per_second": round(medians[name], 3),
            "smallest_and_largest": [round(min(values), 3), round(max(values), 3)],
            "times_plain": round(medians[name] / plain, 2),
        }
        if name.startswith("+"):
            row["times_before"] = round(medians[name] / before, 2)
            before = medians[name]
        rows.append(row)
    phase = config.phases[-1]
    options = " ".join(sys.argv[1:])
    return {
        "command": f"python -m benchmarks.training_speed {options}" if options else "make bench-training",
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor_name(),
        "cores": usable_cores(),
        "torch": torch.__version__,
        "input": [phase.height, phase.width],
        "batch": phase.batch,
        "rounds": arguments.rounds,
        "steps": arguments.steps,
        "malloc": MALLOC,
        "arms": rows,
        "times_as_fast": round(medians[SAME_WORK] / plain, 2),
        "goal": GOAL,
    }


def _show(result: dict[str, Any]) -> None:
    console = Console()
    console.print(f"{result['processor']}, {result['cores']} cores, batches of {result['batch']} at {result['input']}")
    table = Table("", "pictures/s", "of the plain loop's", "of the arm before")
    for row in result["arms"]:
        table.add_row(
            row["arm"],
            f"{row['pictures_per_second']:.2f}",
            f"{row['times_plain']:.2f}",
            f"{row.get('times_before', '')}",
        )
    console.print(table)
    console.print(
        f"panoseg train is {result['times_as_fast']} times as fast as the plain loop; the goal is {GOAL:g} times"
    )


if __name__ == "__main__":
    sys.exit(main())
