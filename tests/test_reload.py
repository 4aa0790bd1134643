"""A model takes over from another while radiographs arrive: none is lost, and one that is broken never answers."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from service.model.package import ModelPackage
from tests.running import REPOSITORY, running_service

PATIENT = ("--timeout-s", "300")
"""A machine that is slow for other reasons loses no request."""


@dataclass
class Callers:
    """What callers were answered while they sent one radiograph after the other."""

    statuses: list[int] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


@contextmanager
def callers(url: str, upload: bytes, count: int = 4) -> Iterator[Callers]:
    heard, done = Callers(), threading.Event()

    def call() -> None:
        with httpx.Client(timeout=300) as client:
            while not done.is_set():
                answer = client.post(f"{url}/v1/segment", content=upload)
                heard.statuses.append(answer.status_code)
                heard.models.append(answer.headers.get("x-model", ""))

    threads = [threading.Thread(target=call) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        done.set()
        for thread in threads:
            thread.join()


def wait_for(happened: Callable[[], bool]) -> None:
    for _ in range(6000):
        if happened():
            return
        time.sleep(0.05)
    raise AssertionError("it never happened")


@pytest.fixture
def models(package: ModelPackage, tmp_path: Path) -> Path:
    """A folder of models of one's own, with the shipped one in it."""
    shutil.copytree(package.folder, tmp_path / package.manifest.name / package.manifest.version)
    return tmp_path


def add_version(models: Path, package: ModelPackage, version: str) -> Path:
    """The same model under another version."""
    folder = models / package.manifest.name / version
    shutil.copytree(package.folder, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": version}))
    return folder


def test_a_newer_model_takes_over_under_load_and_no_request_is_lost(
    models: Path, package: ModelPackage, phantom_png: bytes
) -> None:
    name, old = package.manifest.name, package.manifest.version
    with running_service("--models", str(models), "--reload", *PATIENT) as (url, _, _):
        with callers(url, phantom_png) as heard:
            wait_for(lambda: len(heard.models) >= 8)
            add_version(models, package, "999")
            answer = httpx.post(f"{url}/v1/models/reload", timeout=300)
            before = len(heard.models)
            wait_for(lambda: len(heard.models) >= before + 8)
        assert answer.status_code == 200
        assert answer.json()["version"] == "999"
        assert set(heard.statuses) == {200}
        assert set(heard.models) == {f"{name}/{old}", f"{name}/999"}
        assert set(heard.models[-4:]) == {f"{name}/999"}
        assert httpx.get(f"{url}/health/ready").json()["model"]["version"] == "999"
        assert httpx.get(f"{url}/v2/models/{name}").json()["versions"] == ["999"]
        back = httpx.post(f"{url}/v1/models/reload", params={"model": f"{name}/{old}"}, timeout=300)
        assert back.json()["version"] == old
        metrics = httpx.get(f"{url}/metrics").text
    assert 'panoseg_reloads_total{outcome="done"} 2.0' in metrics
    assert f'version="{old}"' in metrics


def test_the_model_that_was_replaced_gives_its_memory_back(models: Path, phantom_png: bytes) -> None:
    with running_service("--models", str(models), "--reload", *PATIENT) as (url, process, _):
        if not Path(f"/proc/{process.pid}/statm").exists():
            pytest.skip("needs /proc to read a process's memory")

        def reload_and_read_mb() -> float:
            assert httpx.post(f"{url}/v1/models/reload", timeout=300).status_code == 200
            assert httpx.post(f"{url}/v1/mask", content=phantom_png, timeout=300).status_code == 200
            return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

        sizes = [reload_and_read_mb() for _ in range(6)]
        # A model takes some 100 MB of it: were each kept, the last reading would lie 300 MB above the third.
        assert sizes[-1] < sizes[2] + 100, sizes


def test_a_broken_model_never_answers_and_the_old_one_goes_on(
    models: Path, package: ModelPackage, phantom_png: bytes
) -> None:
    name, old = package.manifest.name, package.manifest.version
    with running_service("--models", str(models), "--reload", *PATIENT) as (url, _, _):

        def answering() -> str:
            return httpx.post(f"{url}/v1/mask", content=phantom_png, timeout=300).headers["x-model"]

        def warned() -> tuple[list[str], bool]:
            warnings = httpx.get(f"{url}/health/ready").json()["warnings"]
            return warnings, "panoseg_reload_failed 1.0" in httpx.get(f"{url}/metrics").text

        broken = add_version(models, package, "999") / package.manifest.files[0].path
        broken.write_bytes(broken.read_bytes()[:-1000])
        refused = httpx.post(f"{url}/v1/models/reload", params={"model": f"{name}/999"}, timeout=300)
        assert refused.status_code == 409
        assert refused.json()["type"] == "urn:panoseg:problem:reload-failed"
        assert "sha256 differs" in refused.json()["detail"]
        assert answering() == f"{name}/{old}"
        assert warned() == ([], False)  # who asked for it by name was told; the next start does not depend on it
        assert httpx.post(f"{url}/v1/models/reload", timeout=300).status_code == 409
        assert answering() == f"{name}/{old}"
        ([warning], alert) = warned()
        assert "sha256 differs" in warning
        assert alert
        assert 'panoseg_reloads_total{outcome="failed"} 2.0' in httpx.get(f"{url}/metrics").text
        shutil.rmtree(broken.parent)
        assert httpx.post(f"{url}/v1/models/reload", timeout=300).status_code == 200
        assert warned() == ([], False)
        shutil.rmtree(models / name)
        (active,) = httpx.get(f"{url}/v1/models").json()["models"]
        assert (active["version"], active["active"]) == (old, True)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see what a process ignores")
def test_a_signal_while_the_service_is_being_started_does_not_end_it() -> None:
    command = [sys.executable, "-m", "training.cli", "serve", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stderr=pipe, text=True) as process:
        assert process.stderr is not None
        try:
            wait_for(lambda: ignores_hangup(process.pid))
            assert "numpy" not in Path(f"/proc/{process.pid}/maps").read_text()  # nor anything else that takes time
            process.send_signal(signal.SIGHUP)
            for line in process.stderr:
                process.send_signal(signal.SIGHUP)
                if json.loads(line)["event"] == "ready":
                    break
            assert process.poll() is None
            process.terminate()
            # Whatever a signal has had it begin comes to its end first.
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def ignores_hangup(pid: int) -> bool:
    (mask,) = re.findall(r"^SigIgn:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(mask, 16) & 1 << (signal.SIGHUP - 1))


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the system has no SIGHUP")
def test_a_signal_reloads_and_the_route_is_closed_unless_opened(
    models: Path, package: ModelPackage, phantom_png: bytes
) -> None:
    with running_service("--models", str(models)) as (url, process, log):
        assert httpx.post(f"{url}/v1/models/reload").status_code == 404
        broken = add_version(models, package, "998") / package.manifest.files[0].path
        broken.write_bytes(b"nothing")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: '"reload failed"' in log.read_text())
        broken.write_bytes((package.folder / broken.name).read_bytes())
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: httpx.get(f"{url}/health/ready").json()["model"]["version"] == "998")
        assert httpx.post(f"{url}/v1/mask", content=phantom_png, timeout=300).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
