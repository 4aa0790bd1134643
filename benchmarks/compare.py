"""`make bench`: this service beside a tutorial's stack on the same pictures, in turn, in one run.

Each picture goes to both, one after the other, so that a machine that slows down slows both; what counts is the ratio
of the medians. Both answer with JSON, mask and overlay. The tutorial's model is this project's own network in fp32,
taken out of the shipped file.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import cv2
import httpx
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.float_model import write_float_model
from service.latency import STAGES
from service.machine import processor_name, usable_cores
from training.phantom import draw_phantom

REPOSITORY: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = REPOSITORY / "benchmarks" / "results"
FULL_SIZE: Final = REPOSITORY.parent / "shared" / "data" / "panoramic-fullsize"

FLOOR: Final = 5.0
"""How many times faster this service is to answer a full-size picture (issue A)."""


def main() -> int:
    """Returns 1 where the floor is missed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=3, help="times each picture is sent to each service")
    rounds = arguments.parse_args().rounds
    pictures = dict(full_size_pictures())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tutorial = stack.enter_context(_tutorial(folder))
        ours = stack.enter_context(_panoseg(folder))
        result = _measure(pictures, rounds, tutorial, ours)
    result["tutorial"] = "FastAPI, ONNX Runtime fp32 with default options, Pillow, base64 PNG in JSON"
    RESULTS.mkdir(exist_ok=True)
    processor = "vnni" if "vnni" in processor_name() else "avx2"
    (RESULTS / f"compare-{processor}.json").write_text(json.dumps(result, indent=1) + "\n")
    _show(result)
    return 0 if result["ratio_of_medians"] >= FLOOR else 1


def full_size_pictures() -> Iterator[tuple[str, bytes]]:
    """The twelve full-size panoramics where they are; phantoms of the same size elsewhere."""
    paths = sorted(FULL_SIZE.glob("*.png"))
    for path in paths:
        yield path.name, path.read_bytes()
    if not paths:
        for seed in range(4):
            pixels = draw_phantom(seed, 1435, 2943).pixels
            yield f"phantom-{seed}.png", cv2.imencode(".png", pixels)[1].tobytes()


def _measure(
    pictures: Mapping[str, bytes],
    rounds: int,
    tutorial: Callable[[bytes], httpx.Response],
    ours: Callable[[bytes], httpx.Response],
) -> dict[str, Any]:
    for picture in list(pictures.values())[:2]:
        tutorial(picture), ours(picture)
    tutorial_ms, ours_ms, stages = [], [], []
    for _ in range(rounds):
        for picture in track(pictures.values(), "in turn"):
            tutorial_ms.append(_time_ms(tutorial, picture)[0])
            elapsed, answer = _time_ms(ours, picture)
            ours_ms.append(elapsed)
            stages.append(answer.json()["timings_ms"])
    ratios = [theirs / own for theirs, own in zip(tutorial_ms, ours_ms, strict=True)]
    return {
        "command": "make bench",
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor_name(),
        "cores": usable_cores(),
        "versions": {name: version(name) for name in ("onnxruntime", "opencv-python-headless", "pillow", "fastapi")},
        "pictures": sorted(pictures),
        "requests": len(ratios),
        "tutorial_median_ms": round(statistics.median(tutorial_ms), 1),
        "panoseg_median_ms": round(statistics.median(ours_ms), 1),
        "ratio_of_medians": round(statistics.median(tutorial_ms) / statistics.median(ours_ms), 2),
        "median_of_ratios": round(statistics.median(ratios), 2),
        "smallest_and_largest_ratio": [round(min(ratios), 2), round(max(ratios), 2)],
        "panoseg_stages_median_ms": {
            stage: round(statistics.median(times[stage] for times in stages), 1) for stage in (*STAGES, "total")
        },
    }


def _time_ms(send: Callable[[bytes], httpx.Response], picture: bytes) -> tuple[float, httpx.Response]:
    begin = time.perf_counter()
    answer = send(picture)
    elapsed = 1000 * (time.perf_counter() - begin)
    answer.raise_for_status()
    return elapsed, answer


@contextmanager
def _tutorial(folder: Path) -> Iterator[Callable[[bytes], httpx.Response]]:
    model = write_float_model(REPOSITORY / "models", folder / "tutorial.onnx")
    port = 18471
    command = [sys.executable, "-m", "uvicorn", "benchmarks.tutorial:app", "--port", str(port), "--log-level", "error"]
    environment = {**os.environ, "PANOSEG_TUTORIAL_MODEL": str(model)}
    with _process(command, environment, folder / "tutorial.log"), httpx.Client(timeout=120) as client:
        _wait(client, f"http://127.0.0.1:{port}/ready")
        yield lambda picture: client.post(f"http://127.0.0.1:{port}/predict", files={"file": picture})


@contextmanager
def _panoseg(folder: Path) -> Iterator[Callable[[bytes], httpx.Response]]:
    port = 18472
    command = [sys.executable, "-m", "training.cli", "serve", "--port", str(port)]
    with _process(command, dict(os.environ), folder / "panoseg.log"), httpx.Client(timeout=120) as client:
        _wait(client, f"http://127.0.0.1:{port}/health/ready")
        url = f"http://127.0.0.1:{port}/v1/segment?include=polygons,mask,overlay"
        yield lambda picture: client.post(url, files={"file": picture})


@contextmanager
def _process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _wait(client: httpx.Client, url: str) -> None:
    for _ in range(600):
        try:
            if client.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within a minute")


def _show(result: Mapping[str, Any]) -> None:
    console = Console()
    console.print(f"{result['processor']}, {result['cores']} cores, {result['requests']} requests to each")
    table = Table("", "median ms")
    table.add_row("tutorial stack", str(result["tutorial_median_ms"]))
    table.add_row("panoseg", str(result["panoseg_median_ms"]))
    for stage, value in result["panoseg_stages_median_ms"].items():
        table.add_row(f"  {stage}", str(value))
    console.print(table)
    console.print(f"ratio of medians {result['ratio_of_medians']} (floor {FLOOR:g})")


if __name__ == "__main__":
    sys.exit(main())
