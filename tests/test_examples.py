"""What integrators copy does what it says."""

import os
import subprocess
import sys
from pathlib import Path

from tests.running import REPOSITORY

SEND = """
import sys
from pathlib import Path
from capture import segment

print(len(segment(sys.argv[1], Path(sys.argv[2]).read_bytes())["teeth"]))
"""


def test_a_radiograph_does_not_go_to_the_proxy_of_the_machine(
    service_url: str, phantom_png: bytes, tmp_path: Path
) -> None:
    radiograph = tmp_path / "radiograph.png"
    radiograph.write_bytes(phantom_png)
    nowhere = "http://127.0.0.1:9"  # nobody listens there
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    sent = subprocess.run(
        [sys.executable, "-c", SEND, service_url, str(radiograph)],
        cwd=REPOSITORY / "examples",
        env=environment | {"http_proxy": nowhere, "HTTP_PROXY": nowhere, "all_proxy": nowhere},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert sent.returncode == 0, sent.stderr
    assert int(sent.stdout) > 20
