"""What stands in the log when something nobody foresaw happens: where, and nothing of the radiograph."""

import json
import subprocess
import sys

import pytest

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
