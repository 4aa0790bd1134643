"""What a log tells, and that nothing else tells anything of a radiograph or of who sends it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import REPOSITORY

SEGMENT = """
import service.segmenter, training.graph
from service.ticket import Ticket
from service.model.package import choose_package
from service.settings import Settings

package = choose_package(Settings().models, None)
segmenter = service.segmenter.Segmenter(package, Settings())
upload = (package.folder / package.manifest.known_answer.picture).read_bytes()
assert segmenter.segment(upload, service.segmenter.Wanted(), Ticket(60)).segmentation.teeth
"""


def test_nothing_is_told_to_anybody_and_nothing_left_in_the_home_directory(tmp_path: Path) -> None:
    """ONNX Runtime and OpenVINO count their users, unless they think that they run in somebody's tests."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "GITHUB_ACTIONS")}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), "PYTHONPATH": str(tmp_path)}
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "def tell(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'os.fork'):\n"
        "        raise AssertionError(f'{event} {arguments}')\n"
        "sys.addaudithook(tell)\n"
    )
    subprocess.run([sys.executable, "-c", SEGMENT], check=True, cwd=REPOSITORY, env=environment, timeout=120)
    assert not list(home.rglob("*"))


FAULT = """
import logging, structlog
from service.logs import configure_logs

def meet(upload: bytes, name: str) -> None:
    raise ValueError("shape")

configure_logs("info")
try:
    meet(b"pixels-of-a-radiograph", "Mueller")
except ValueError as error:
    {tell}
"""


@pytest.mark.parametrize(
    "tell", ["structlog.get_logger().error('fault', exc_info=error)", "logging.getLogger('x').exception('fault')"]
)
def test_a_fault_tells_where_it_happened_and_no_value_of_the_request(tell: str) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", FAULT.format(tell=tell)], capture_output=True, text=True, check=True, timeout=60
    )
    (line,) = outcome.stderr.splitlines()
    frames = json.loads(line)["exception"][0]["frames"]
    assert [frame["name"] for frame in frames] == ["<module>", "meet"]
    assert "Mueller" not in line
    assert "pixels-of" not in line
