"""What tests share: the shipped model behind a real server, and a radiograph that it can read."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest

from service.model.package import ModelPackage, choose_package
from service.segmenter import Segmenter
from service.settings import Settings
from training.phantom import Phantom, draw_phantom

# Machines are shared and noisy: no test is held to a time.
hypothesis.settings.register_profile("panoseg", deadline=None, print_blob=True)
hypothesis.settings.load_profile("panoseg")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    """A drawn panoramic with its truth."""
    return draw_phantom(7)


@pytest.fixture(scope="session")
def phantom_png(phantom: Phantom) -> bytes:
    """The same as a PNG file's bytes."""
    import cv2

    return cv2.imencode(".png", phantom.pixels)[1].tobytes()


@pytest.fixture(scope="session")
def package() -> ModelPackage:
    """The model that ships."""
    return choose_package(Settings().models, None)


@pytest.fixture(scope="session")
def segmenter(package: ModelPackage) -> Iterator[Segmenter]:
    """The way through, without a server."""
    opened = Segmenter(package, Settings())
    yield opened
    opened.close()


@contextmanager
def running_service(*options: str, **environment: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]", Path]]:
    """A service process of its own on a free port: its address, the process, its log."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "training.cli", "serve", "--port", "0", *options],
                cwd=REPOSITORY,
                stderr=errors,
                env={**os.environ, **environment},
            )
        try:
            yield _wait_until_ready(process, log), process, log
        finally:
            process.kill()
            process.wait()


def _wait_until_ready(process: "subprocess.Popen[bytes]", log: Path) -> str:
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if '"listening"' in line:
                url = str(json.loads(line)["url"])
                try:
                    urllib.request.urlopen(f"{url}health/ready", timeout=5).close()
                    return url.rstrip("/")
                except OSError:
                    pass
        time.sleep(0.05)
    raise AssertionError(f"the service did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def service_url() -> Iterator[str]:
    """The address of a running service."""
    with running_service() as (url, _, _):
        yield url
