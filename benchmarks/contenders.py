"""What is compared, each as a process of its own: panoseg, the tutorial's stack, and servers that people would pick.

A rival comes twice: with one worker that has all cores, and with a worker of one thread for each core; what is judged
is the better of the two.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.environments import environment_python
from benchmarks.float_model import write_float_model
from benchmarks.load import Caller
from benchmarks.places import REPOSITORY
from benchmarks.processes import family, memory_mb
from service.machine import usable_cores

PANOSEG: Final = "panoseg"
TUTORIAL: Final = "tutorial stack"

_QUIET: Final = {
    "BENTOML_DO_NOT_TRACK": "True",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "DO_NOT_TRACK": "1",
}
_PATIENCE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Contender:
    """A server that can be started.

    Attributes:
        command: with `{port}` where its port belongs.
        route: takes a form with a radiograph, and answers with JSON, mask and overlay.
        ready: answers 200 once the model is loaded.
    """

    name: str
    command: tuple[str, ...]
    route: str
    ready: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Server:
    """A contender that runs.

    Attributes:
        url: of its root, without the last slash.
        pid: of its first process.
        seconds_to_ready: from its start.
        ready_mb: memory of all its processes then.
    """

    contender: Contender
    url: str
    pid: int
    seconds_to_ready: float
    ready_mb: float

    @property
    def route(self) -> str:
        """The address that radiographs go to."""
        return self.url + self.contender.route


def panoseg() -> Contender:
    """This service, as it is by default; only that no request is dropped for being late, and its model may change."""
    command = (sys.executable, "-m", "training.cli", "serve", "--port", "{port}", "--timeout-s", "120", "--reload")
    return Contender(PANOSEG, command, "/v1/segment?include=polygons,mask,overlay", "/health/ready")


def tutorial(folder: Path) -> Contender:
    """The stack of `benchmarks.tutorial`, its model written into a folder."""
    model = write_float_model(REPOSITORY / "models", folder / "tutorial.onnx")
    command = (sys.executable, "-m", "uvicorn", "benchmarks.tutorial:app", "--port", "{port}", "--log-level", "error")
    return Contender(TUTORIAL, command, "/predict", "/ready", {"PANOSEG_TUTORIAL_MODEL": str(model)})


def exchange(answer_bytes: int) -> Contender:
    """A server that does nothing but take a request's bytes and answer with as many as are said here."""
    command = (sys.executable, "-m", "uvicorn", "benchmarks.exchange:app", "--port", "{port}", "--log-level", "error")
    return Contender("exchange", (*command, "--lifespan", "off"), f"/?bytes={answer_bytes}", "/")


def rivals() -> Iterator[Contender]:
    """LitServe, BentoML and Ray Serve, installed where they are not yet, each in both of its settings."""
    cores = usable_cores()
    for workers in sorted({1, cores}):
        threads = max(1, cores // workers)
        environment = {
            "RIVAL_WORKERS": str(workers),
            "RIVAL_CORES": str(cores),
            "PANOSEG_THREADS": str(threads),
            "PANOSEG_TIMEOUT_S": "120",
            **_QUIET,
        }
        size = f"{workers} worker{'s' if workers > 1 else ''} of {threads} thread{'s' if threads > 1 else ''}"
        for name, package, ready in (("LitServe", "litserve", "/health"), ("Ray Serve", "ray", "/ready")):
            command = (str(environment_python(package)), "-m", f"benchmarks.rivals.{package}.serve")
            yield Contender(f"{name}, {size}", command, "/predict", ready, environment)
        python = environment_python("bentoml")
        service = "benchmarks.rivals.bentoml.serve:Panoramic"
        command = (str(python), "-m", "bentoml", "serve", service, "--host", "127.0.0.1", "--port", "{port}")
        yield Contender(f"BentoML, {size}", command, "/predict", "/readyz", environment)


@contextmanager
def running(contender: Contender) -> Iterator[Server]:
    """Start a contender and wait until it is ready; it and all its processes are stopped afterwards.

    Raises:
        SystemExit: it did not become ready; what it said is printed.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [part.format(port=port) for part in contender.command]
    environment = {**os.environ, "RIVAL_PORT": str(port), "PYTHONPATH": str(REPOSITORY), **contender.environment}
    with tempfile.TemporaryFile() as log:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
        try:
            while not _answers(url + contender.ready):
                if process.poll() is not None or time.perf_counter() > begin + _PATIENCE_S:
                    log.seek(0)
                    output = log.read().decode(errors="replace")[-3000:]
                    raise SystemExit(f"{contender.name} did not become ready; it said:\n{output}")
                time.sleep(0.02)
            seconds = time.perf_counter() - begin
            yield Server(contender, url, process.pid, seconds, memory_mb(process.pid))
        finally:
            _stop(process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and what it started, also what does not end with it."""
    started = family(process.pid)
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid, begun in started.items():
        if family(pid).get(pid) == begun:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _answers(url: str) -> bool:
    caller = Caller(url)
    try:
        caller.get()
    except Exception:  # whatever it is, the server is not ready yet
        return False
    finally:
        caller.close()
    return True


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
