"""Starts the service as a process of its own, as a clinic's machine would."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


@contextmanager
def running_service(*options: str, **environment: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]", Path]]:
    """A service process of its own on a free port: its address, the process, its log."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "training.cli", "serve", "--port", "0", *options],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,  # on a terminal, SIGHUP is no order to reload
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
