"""The source experiment: several configurations trained one after the other, and a ranked table of them."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError

from service.machine import processor_name
from training.checkpoint import load_network
from training.config import Config, ConfigError, Plateau, TuftsData, load_config, tell_faults
from training.intervals import bootstrap_interval
from training.measure import MeasuredRun, Split, choose_device, measure_run
from training.network import ToothNetwork
from training.tables import markdown_table, refuse_markdown, write_result
from training.train import train_or_go_on

RANKED_MEASURES: Final = {"dice": "Dice", "iou": "IoU", "pixel_accuracy": "pixel accuracy"}

_SEED: Final = 0
_ROUNDS: Final = 40
"""Times that each network is timed, in turn with the others."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What replaces a configuration's phases by one, so that all runs cost the same; None keeps what it says.

    Attributes:
        height, width: of the network's input, in pixels.
        epochs: at most; early stopping may end a run before.
    """

    height: int | None = None
    width: int | None = None
    epochs: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether everything stays as the configurations have it."""
        return (self.height, self.width, self.epochs) == (None, None, None)


def sweep(
    paths: Sequence[Path], runs: Path, out: Path, *, budget: Budget, split: Split = "val", tufts: Path | None = None
) -> dict[str, Any]:
    """Train each configuration, or go on with it where it was stopped; then measure, rank, and write the table.

    A run that has ended is not trained again. A run with another budget or other data than its file says is one of its
    own: both stand in its name.

    Args:
        paths: the configurations.
        runs: folder of the runs.
        out: the table's JSON file; the Markdown file has its name with another ending.
        budget: what the runs may cost.
        split: the pictures that the table is of; runs are chosen by the validation pictures in any case.
        tufts: folder of the Tufts Dental Database, in place of the configurations' data.

    Returns:
        What was written as JSON, the best Dice first.

    Raises:
        ConfigError, CheckpointError, DataError: a configuration, run or data set cannot be used.
        SetupError: `out` ends in `.md`.
    """
    refuse_markdown(out)
    configs = [_replace(load_config(path), budget, tufts) for path in paths]
    if len({config.name for config in configs}) < len(configs):
        raise ConfigError("two of the configurations have the same name, so their runs would share a folder.")
    if any(config.data != configs[0].data for config in configs):
        raise ConfigError("the configurations have different data, and runs compare on the same pictures.")
    measured = [measure_run(train_or_go_on(config, runs), split) for config in configs]
    speeds = _time_networks(measured)
    rows = [_describe(run, speed) for run, speed in zip(measured, speeds, strict=True)]
    rows.sort(key=lambda row: -row["dice"]["mean"])
    result = {
        "command": _command(paths, budget, split, tufts, runs, out),
        "date": datetime.now(UTC).date().isoformat(),
        "device": device_name(),
        "split": split,
        "pictures": len(measured[0].figures.pictures),
        "budget": "in full" if budget.is_full else "equal",
        "rows": rows,
    }
    write_result(result, to_markdown(result), out)
    return result


def to_markdown(result: dict[str, Any]) -> str:
    """The table of `sweep`'s result with what has to be said of it."""
    columns = ("rank", "run", "batch", "optimiser", "schedule", "input", "epochs", "pictures seen")
    rows = [
        (
            str(rank),
            *(str(row[name]) for name in ("run", "batch", "optimiser", "schedule", "input", "epochs", "pictures_seen")),
            *(_tell(row[name], 4) for name in RANKED_MEASURES),
            _tell(row["pictures_per_second"], 1),
        )
        for rank, row in enumerate(result["rows"], 1)
    ]
    budget = (
        "The configurations were run in full."
        if result["budget"] == "in full"
        else "Smaller pictures or fewer epochs than the configurations say, the same for all: figures compare within "
        "this table alone."
    )
    return (
        f"{markdown_table((*columns, *RANKED_MEASURES.values(), 'pictures/s'), rows)}\n\n"
        f"`{result['command']}`: tooth against background, mean over {result['pictures']} pictures of "
        f"`{result['split']}` with 95 % bootstrap intervals. Speed: the network alone in eager PyTorch, one picture at "
        f"a time, mean over {_ROUNDS} rounds in which all take turns, on {result['device']}. {budget}\n"
    )


def device_name() -> str:
    """What networks are timed on, in words."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else processor_name()


def _replace(config: Config, budget: Budget, tufts: Path | None) -> Config:
    changes: dict[str, Any] = {}
    name = config.name
    if tufts is not None:
        changes["data"] = TuftsData(kind="tufts", folder=tufts)
        changes["network"] = config.network.model_copy(update={"classes": 2})
        name += "-tufts"
    if not budget.is_full:
        last = config.phases[-1]
        sizes = (last.height, last.width, config.epochs)
        height, width, epochs = (
            own if asked is None else asked
            for asked, own in zip((budget.height, budget.width, budget.epochs), sizes, strict=True)
        )
        phase = {"height": height, "width": width, "epochs": epochs, "batch": last.batch}
        changes["phases"] = [phase]
        name += f"-{phase['height']}x{phase['width']}-{phase['epochs']}"
    # Checked anew, as a file would be.
    try:
        return Config.model_validate({**dict(config), **changes, "name": name})
    except ValidationError as error:
        raise ConfigError(f"{config.name} cannot be run as asked: {tell_faults(error)}.") from error


def _tell(figure: dict[str, Any], digits: int) -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _describe(run: MeasuredRun, speeds: Sequence[float]) -> dict[str, Any]:
    config, figures = run.config, run.figures
    row: dict[str, Any] = {
        "run": config.name,
        "batch": config.phases[-1].batch,
        "optimiser": f"{config.optimiser.name} {config.optimiser.learning_rate:g}",
        "schedule": _describe_schedule(config),
        "input": f"{figures.height} x {figures.width}",
        "epochs": figures.epochs,
        "pictures_seen": figures.pictures_seen,
        "pictures_per_second": _mean_of(speeds),
    }
    for name in RANKED_MEASURES:
        row[name] = _mean_of([getattr(picture, name) for picture in figures.pictures])
    return row


def _mean_of(values: Sequence[float]) -> dict[str, Any]:
    interval = [round(end, 4) for end in bootstrap_interval(values, _SEED)]
    return {"mean": round(statistics.fmean(values), 4), "interval": interval}


def _describe_schedule(config: Config) -> str:
    schedule = config.scheduler
    words = (
        f"{schedule.name} {schedule.factor:g} / {schedule.patience}" if isinstance(schedule, Plateau) else schedule.name
    )
    return words if config.early_stopping is None else f"{words}, early stopping {config.early_stopping}"


def _time_networks(runs: Sequence[MeasuredRun]) -> list[list[float]]:
    """Pictures a second of each run's network in each of several rounds, in which all are timed in turn."""
    device = choose_device()
    networks = [load_network(run.folder, run.config).to(device) for run in runs]
    pictures = [torch.zeros(1, run.figures.height, run.figures.width, dtype=torch.uint8, device=device) for run in runs]
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(1 + _ROUNDS):
        for network, picture, own in zip(networks, pictures, times, strict=True):
            own.append(_time_s(network, picture))
    # The first time is the warm-up.
    return [[1 / time_s for time_s in own[1:]] for own in times]


def _time_s(network: ToothNetwork, picture: torch.Tensor) -> float:
    begin = time.perf_counter()
    with torch.inference_mode():
        # The GPU works on by itself; looking at a value waits for it.
        network(picture).amax().item()
    return time.perf_counter() - begin


def _command(paths: Sequence[Path], budget: Budget, split: Split, tufts: Path | None, runs: Path, out: Path) -> str:
    options = {**asdict(budget), "tufts": tufts, "split": None if split == "val" else split, "runs": runs, "out": out}
    flags = "".join(f" --{name} {value}" for name, value in options.items() if value is not None)
    return f"panoseg sweep {' '.join(map(str, paths))}{flags}"
