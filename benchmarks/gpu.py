"""The model and the whole service on a GPU: ways to run the network, sizes of batch, requests and callers.

    panoseg derive models/unet-resnet34-fdi/1 --models models-gpu && python -m benchmarks.gpu

It is made for a machine that is lent for minutes: what fails is written down with its error and does not end the run,
the result file is written after each figure, and what there is no time left for is said to be left out. Each way to run
the network is a process of its own (`benchmarks.gpu_network`), since an error on a GPU can spoil all that follows it in
its process. With `--provider cpu` the same runs on a processor, to see that it runs.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from rich.console import Console
from rich.table import Table

from benchmarks.contenders import panoseg, running
from benchmarks.gpu_network import SAID, WAYS, foreground_on_processor
from benchmarks.load import form
from benchmarks.measure import measure_callers, measure_formats
from benchmarks.pictures import as_format, full_size_pictures
from benchmarks.places import REPOSITORY, RESULTS, commit
from service.machine import processor_name, usable_cores
from service.model.package import choose_package

RESULT: Final = RESULTS / "gpu.json"

_SERVICE_SHARE: Final = 0.6
"""Of the run's time, beyond which the service on the GPU is given up."""

_FOR_A_SERVICE_S: Final = 15.0
"""Kept for the service on the processor, which comes last."""

_FOR_A_WAY_S: Final = 6.0
"""What a way gets at least; without half of it left, it is not begun any more."""

_MOST_PICTURES: Final = 4


def main() -> None:
    """Measure what there is time for."""
    chosen = _parse()
    # Ended by a signal, it still stops the servers that it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.perf_counter()
    result = _describe(chosen)

    def write() -> None:
        result["run_s"] = round(time.perf_counter() - begin, 1)
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    write()
    pictures = [*full_size_pictures().values()][:_MOST_PICTURES]
    formats = {kind: [form(as_format(picture, kind)) for picture in pictures] for kind in ("png", "jpeg")}
    result["services"] = {}

    def measure_service(provider: str, until: float) -> None:
        service = result["services"][provider] = {}
        # Also what a server that does not start, or not in time, ends the program with.
        with _written_down(service, write, (Exception, SystemExit)), _given_up(until):
            _measure_service(service, chosen, provider, formats, write)

    measure_service(chosen.provider, begin + _SERVICE_SHARE * chosen.seconds)
    end = begin + chosen.seconds
    beside = chosen.provider != "cpu" and not chosen.gpu_alone
    _measure_network(result, chosen, end - beside * _FOR_A_SERVICE_S, write)
    if beside:
        measure_service("cpu", max(end, time.perf_counter() + _FOR_A_SERVICE_S))
    _show(result)


def _parse() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--models", type=Path, default=REPOSITORY / "models-gpu", help="as `panoseg derive` made it")
    arguments.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    arguments.add_argument("--seconds", type=float, default=60.0, help="that the whole run may take, about")
    arguments.add_argument("--gpu-alone", action="store_true", help="without the same service on the processor")
    arguments.add_argument("--quick", action="store_true", help="few runs, to see that it runs; figures mean little")
    arguments.add_argument("--commit", help="of the measured files, where they lie outside their repository")
    arguments.add_argument("--out", type=Path, default=RESULT)
    chosen = arguments.parse_args()
    chosen.models = chosen.models.resolve()
    return chosen


@contextmanager
def _written_down(
    into: dict[str, Any], write: Callable[[], None], errors: tuple[type[BaseException], ...] = (Exception,)
) -> Iterator[None]:
    """Whatever comes of it is written, an error too, which ends here."""
    try:
        yield
    except errors as error:
        into["error"] = f"{type(error).__name__}: {error}"[-SAID:]
    write()


@contextmanager
def _given_up(until: float) -> Iterator[None]:
    """What has not ended at an instant is ended.

    Raises:
        SystemExit: the instant came; nothing that waits for a server takes it for the server's error.
    """
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("no time was left"))
    signal.setitimer(signal.ITIMER_REAL, max(0.001, until - time.perf_counter()))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _describe(chosen: argparse.Namespace) -> dict[str, Any]:
    """What the figures depend on."""
    try:
        gpu = _ask_driver("name,driver_version,memory.total")
    except (OSError, subprocess.SubprocessError) as error:
        gpu = f"none: {error}"
    try:
        measured = chosen.commit or commit()
    except (OSError, subprocess.SubprocessError):
        measured = "unknown"
    return {
        "command": " ".join(["python -m benchmarks.gpu", *sys.argv[1:]]),
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": measured,
        "gpu": gpu,
        "processor": processor_name(),
        "cores": usable_cores(),
        "python": sys.version.split()[0],
        "onnxruntime": onnxruntime.__version__,
        "onnxruntime_made_for_cuda": getattr(onnxruntime, "cuda_version", ""),
    }


def _ask_driver(what: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _measure_network(
    result: dict[str, Any], chosen: argparse.Namespace, until: float, write: Callable[[], None]
) -> None:
    """Every way in its own process, each with a share of the time that those before it left."""
    network = result["network"] = {}
    with _written_down(network, write), tempfile.TemporaryDirectory() as folder:
        package = choose_package(chosen.models, None)
        reference = Path(folder) / "reference.npy"
        np.save(reference, foreground_on_processor(package))
        for number, name in enumerate(WAYS):
            network[name] = {"options": WAYS[name].options, "batches": []}
            left = until - time.perf_counter()
            share = min(left, max(left / (len(WAYS) - number), _FOR_A_WAY_S))
            with _written_down(network[name], write):
                if left < _FOR_A_WAY_S / 2:
                    raise TimeoutError("no time was left")
                for line in _run_way(name, chosen, reference, share):
                    if "batch" in line:
                        network[name]["batches"].append(line)
                        network[name]["batches"].sort(key=lambda row: row["batch"])
                    else:
                        network[name] |= line
                    write()


def _run_way(name: str, chosen: argparse.Namespace, reference: Path, seconds: float) -> Iterator[dict[str, Any]]:
    """What the process of a way tells, line by line; it is ended where it takes far longer than it should.

    Raises:
        RuntimeError: it ended with an error.
    """
    command = [sys.executable, "-m", "benchmarks.gpu_network", "--way", name, "--reference", str(reference)]
    command += ["--models", str(chosen.models), "--provider", chosen.provider, "--seconds", str(seconds)]
    command += ["--quick"] if chosen.quick else []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=errors, text=True)
        end = threading.Timer(seconds + 8, process.kill)
        end.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                # The runtime prints there too.
                if line.startswith("{"):
                    yield json.loads(line)
            if process.wait():
                errors.seek(0)
                raise RuntimeError(f"ended with {process.returncode}: {errors.read()[-SAID:].strip()}")
        finally:
            end.cancel()
            process.kill()
            process.wait()


def _measure_service(
    service: dict[str, Any],
    chosen: argparse.Namespace,
    provider: str,
    formats: dict[str, list[bytes]],
    write: Callable[[], None],
) -> None:
    """Requests one after the other, then from many callers at once."""
    environment = {
        "PANOSEG_PROVIDER": provider,
        "PANOSEG_MODELS": str(chosen.models),
        "PANOSEG_MAX_REQUESTS": "64",
        # ONNX Runtime for GPUs may have been put there.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH")))),
    }
    loads = [("png", 16), ("png", 32), ("png", 64), ("jpeg", 16)] if provider == "cuda" else [("png", 16)]
    with running(replace(panoseg(), environment=environment)) as server:
        service |= {"seconds_to_ready": round(server.seconds_to_ready, 2), "ready_mb": round(server.ready_mb, 1)}
        if provider == "cuda":
            with _written_down(service, write):
                service["gpu_memory_used_mib"] = int(_ask_driver("memory.used").split()[0])
        write()
        times = 1 if chosen.quick else 8
        service["one_after_the_other"] = {}
        for kind, bodies in formats.items():
            service["one_after_the_other"] |= measure_formats(server, {kind: bodies * times})
            write()
        service["many_callers"] = []
        for kind, callers in loads:
            load = {"format": kind, "callers": callers}
            service["many_callers"].append(load)
            with _written_down(load, write):
                seconds = 1.0 if chosen.quick else 2.0
                load |= measure_callers(server, formats[kind], seconds, callers)


def _show(result: dict[str, Any]) -> None:
    console = Console()
    console.print(f"{result['gpu']}; {result['processor']}, {result['cores']} cores; times in ms")
    console.print(_network_table(result["network"]))
    table = Table("service", "", "p50", "p99", "a second")
    for provider, service in result["services"].items():
        for kind, parts in service.get("one_after_the_other", {}).items():
            request = parts["request"]
            table.add_row(provider, f"{kind}, one after the other", *_cells(request, ("p50_ms", "p99_ms")))
        for load in service.get("many_callers", ()):
            cells = _cells(load, ("p50_ms", "p99_ms", "per_second"))
            table.add_row(provider, f"{load['format']}, {load['callers']} callers", *cells)
        if "error" in service:
            table.add_row(provider, service["error"][:80])
    console.print(table)


def _network_table(network: dict[str, Any]) -> Table:
    table = Table(
        "network alone", "batch", "p50", "p99", "without copies: p50", "pictures a second", "pixels that agree"
    )
    for name, way in network.items():
        if name == "error":
            table.add_row(way[:80])
            continue
        if "error" in way:
            table.add_row(name, "", way["error"][:80])
        for row in way["batches"]:
            if "run" not in row:
                table.add_row(name, str(row["batch"]), row.get("error", row.get("left_out"))[:80])
                continue
            run, without = _cells(row["run"], ("p50_ms", "p99_ms")), _cells(row["without_copies"], ("p50_ms",))
            cells = _cells(row, ("pictures_per_second", "pixels_that_agree"))
            table.add_row(name, str(row["batch"]), *run, *without, *cells)
    return table


def _cells(row: dict[str, Any], names: Sequence[str]) -> list[str]:
    return [str(row.get(name, "-")) for name in names]


if __name__ == "__main__":
    main()
