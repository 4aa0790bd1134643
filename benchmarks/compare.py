"""`make bench`: this service beside a tutorial's stack, the bare network, LitServe, BentoML and Ray Serve, in one run.

All that are compared run at once and take turns, so that a machine that slows down slows all; what counts is ratios.
Every server answers with JSON, mask and overlay of the same pictures. The tutorial's model is this project's own
network in fp32, taken out of the shipped file; the rivals run the shipped file with this project's codecs. The figures
that have a floor are printed beside it, and the command returns 1 where one falls.
"""

import argparse
import json
import math
import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import plots
from benchmarks.bare import bare
from benchmarks.contenders import PANOSEG, TUTORIAL, Contender, Server, exchange, panoseg, rivals, running, tutorial
from benchmarks.environments import versions
from benchmarks.floors import Figure, judge
from benchmarks.load import form
from benchmarks.measure import (
    QUICK,
    Plan,
    measure_arrivals,
    measure_exchange,
    measure_formats,
    measure_memory,
    measure_reload,
    measure_rest,
    measure_single_stream,
    measure_throughput,
    measure_watching,
)
from benchmarks.pictures import as_format, full_size_pictures, mixed_sizes
from benchmarks.places import IMAGES, REPOSITORY, RESULTS, commit, processor_slug
from benchmarks.processes import processor_seconds
from service.machine import processor_name, usable_cores
from service.model.package import choose_package

SCRATCH: Final = REPOSITORY / "out"

_OURS: Final = ("panoseg", "onnxruntime", "openvino", "opencv-python-headless", "pillow", "numpy", "fastapi", "uvicorn")
_THEIRS: Final = {"litserve": ("litserve",), "bentoml": ("bentoml",), "ray": ("ray",)}
_STARTS: Final = 3


def main() -> int:
    """Returns 1 where a floor falls."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "--quick", action="store_true", help="few requests, to see that it runs; figures mean little"
    )
    arguments.add_argument("--no-rivals", action="store_true", help="leave out LitServe, BentoML and Ray Serve")
    arguments.add_argument("--out", type=Path, help="result; in benchmarks/results/, with --quick in out/")
    chosen = arguments.parse_args()
    # Ended by a signal, it still stops the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    out = chosen.out or (SCRATCH if chosen.quick else RESULTS) / f"serving-{processor_slug()}.json"
    with tempfile.TemporaryDirectory() as folder:
        contenders = [panoseg(), tutorial(Path(folder)), *([] if chosen.no_rivals else rivals())]
        result = _describe(chosen.no_rivals) | _measure(contenders, QUICK if chosen.quick else Plan())
    figures = judge(result)
    result["figures"] = [_told(figure) for figure in figures]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _show(result, figures)
    plots.draw(out, IMAGES if out.parent == RESULTS else out.parent)
    return int(any(figure.falls for figure in figures))


def _measure(contenders: list[Contender], plan: Plan) -> dict[str, Any]:
    pictures = full_size_pictures()
    bodies = [form(picture) for picture in pictures.values()]
    formats = {name: [form(as_format(picture, name)) for picture in pictures.values()] for name in ("jpeg", "png16")}
    mixed = [form(picture) for picture in mixed_sizes(list(pictures.values()))]
    package = choose_package(REPOSITORY / "models", None)
    model, cores = package.folder / package.manifest.files[0].path, usable_cores()
    result: dict[str, Any] = {"pictures": list(pictures), "plan": asdict(plan), "start": _starts(contenders[0])}
    with ExitStack() as stack:
        bares = {
            "ONNX Runtime": stack.enter_context(bare("onnxruntime", model, cores)),
            "OpenVINO": stack.enter_context(bare("openvino", model, cores)),
        }
        servers = [stack.enter_context(running(contender)) for contender in track(contenders, "starting")]
        ours = servers[0]
        result["servers"] = {server.contender.name: _started(server) for server in servers}
        result |= measure_single_stream(servers, bares, bodies, plan.turns)
        result["parts"] |= measure_formats(ours, formats)
        with running(exchange(result["answer_bytes"])) as nothing:
            result["exchange"] = measure_exchange(nothing, ours, bodies)
        used = {server.contender.name: processor_seconds(server.pid) for server in servers[1:]}
        begin = time.perf_counter()
        result["rest"] = measure_rest(ours, bodies, plan)
        for server in servers[1:]:
            name = server.contender.name
            at_rest = (processor_seconds(server.pid) - used[name]) / (time.perf_counter() - begin)
            result["servers"][name]["idle_cores"] = round(at_rest, 4)
        best = min(bares, key=lambda name: result["bare"][name]["p50_ms"])
        result |= measure_throughput(servers, bares[best], bodies, plan.seconds)
        idle = next(server for server in servers if server.contender.name == TUTORIAL)
        result["live_under_load"] = measure_watching(ours, idle, bodies, plan.seconds)
        without_tutorial = [server for server in servers if server.contender.name != TUTORIAL]
        capacity = result["throughput"][PANOSEG]["per_second"]
        result["arrivals"] = measure_arrivals(without_tutorial, bodies, capacity, plan)
        result["memory"] = measure_memory(ours, mixed, plan.mixed)
        result["reload"] = measure_reload(ours, bodies, plan.seconds)
    single = result["single_stream"]
    result["tutorial_median_ms"], result["panoseg_median_ms"] = (single[name]["p50_ms"] for name in (TUTORIAL, PANOSEG))
    return result


def _starts(contender: Contender) -> dict[str, float]:
    """Medians of several starts."""
    servers = []
    for _ in track(range(_STARTS), "start to ready"):
        with running(contender) as server:
            servers.append(_started(server))
    return {name: statistics.median(server[name] for server in servers) for name in servers[0]}


def _started(server: Server) -> dict[str, float]:
    return {"seconds_to_ready": round(server.seconds_to_ready, 2), "ready_mb": round(server.ready_mb, 1)}


def _describe(without_rivals: bool) -> dict[str, Any]:
    """What the figures depend on."""
    theirs = {} if without_rivals else _THEIRS
    options = " ".join(sys.argv[1:])
    return {
        "command": f"python -m benchmarks.compare {options}" if options else "make bench",
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": commit(),
        "processor": processor_name(),
        "cores": usable_cores(),
        "python": sys.version.split()[0],
        "versions": {name: version(name) for name in _OURS}
        | {
            package: number for name, packages in theirs.items() for package, number in versions(name, packages).items()
        },
        "tutorial": "FastAPI, ONNX Runtime fp32 with default options, Pillow, base64 PNG in JSON",
    }


def _told(figure: Figure) -> dict[str, Any]:
    finite = figure.value is not None and math.isfinite(figure.value)
    fields = asdict(figure) | {"value": round(figure.value or 0.0, 3) if finite else None}
    return fields | {"falls": figure.falls, "reaches_goal": figure.reaches_goal}


def _show(result: dict[str, Any], figures: list[Figure]) -> None:
    console = Console()
    table = Table("", "one after the other: p50", "p99", "16 callers: a second", "p99", "memory when ready, MB")
    for name, single in result["single_stream"].items():
        load = result["throughput"][name]
        cells = (single["p50_ms"], single["p99_ms"], load["per_second"], load["p99_ms"])
        table.add_row(name, *(str(cell) for cell in cells), str(result["servers"][name]["ready_mb"]))
    for name, runs in result["bare"].items():
        table.add_row(f"network alone, {name}", str(runs["p50_ms"]), str(runs["p99_ms"]))
    console.print(f"{result['processor']}, {result['cores']} cores; times in ms")
    console.print(table)
    floors = Table("", "measured", "floor", "goal")
    for figure in figures:
        colour = "red" if figure.falls else "green" if figure.reaches_goal else "default"
        value = "-" if figure.value is None else f"{figure.value:.2f} {figure.unit}"
        limits = [f"{figure.bound} {limit:g}" if limit is not None else "" for limit in (figure.floor, figure.goal)]
        floors.add_row(figure.name, f"[{colour}]{value}[/]", *limits)
    console.print(floors)


if __name__ == "__main__":
    sys.exit(main())
