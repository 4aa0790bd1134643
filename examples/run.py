"""`make run`: start the service, send it a radiograph as a capture program would, show and keep the answer, stop it."""

import base64
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from capture import OPENER, Refused, segment
from rich.console import Console
from rich.table import Table

REPOSITORY: Final = Path(__file__).resolve().parent.parent
OUT: Final = REPOSITORY / "out"

_PATIENCE_S: Final = 120.0
"""For the service to start; it takes seconds."""

console: Final = Console()


def main() -> int:
    """Returns the exit code: 0 where the radiograph was answered."""
    OUT.mkdir(exist_ok=True)
    radiograph = Path(sys.argv[1]) if len(sys.argv) > 1 else _draw_phantom(OUT / "phantom.png")
    if not radiograph.is_file():
        console.print(f"There is no file {radiograph}.")
        return 2
    log = OUT / "service.log"
    with log.open("wb") as errors:
        service = subprocess.Popen(
            [sys.executable, "-m", "training.cli", "serve", "--port", "0"], cwd=REPOSITORY, stderr=errors
        )
    try:
        url = _wait_until_ready(service, log)
        console.print(f"The service is ready at {url}; sending {radiograph.name}.")
        answer = segment(url, radiograph.read_bytes())
    except Refused as error:
        console.print(str(error), style="red")
        return 2
    finally:
        service.send_signal(signal.SIGTERM)
        try:
            service.wait(timeout=15)
        except subprocess.TimeoutExpired:  # what is still being loaded keeps it from ending
            service.kill()
    _keep(answer, radiograph.stem)
    _show(answer)
    return 0


def _draw_phantom(path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "training.phantom", "--out", str(path)], cwd=REPOSITORY, check=True)
    return path


def _wait_until_ready(service: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + _PATIENCE_S
    while service.poll() is None:
        if time.monotonic() > until:
            raise SystemExit(f"The service was not ready within {_PATIENCE_S:g} s; {log} says how far it came.")
        events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        urls = [event["url"] for event in events if event.get("event") == "listening"]
        if urls:
            try:
                with OPENER.open(f"{urls[0]}health/ready", timeout=5):
                    return str(urls[0])
            except OSError:
                pass
        time.sleep(0.05)
    raise SystemExit(f"The service did not start:\n{log.read_text(encoding='utf-8')}")


def _keep(answer: dict[str, Any], name: str) -> None:
    (OUT / f"{name}.mask.png").write_bytes(base64.b64decode(answer.pop("mask")["data"]))
    (OUT / f"{name}.overlay.jpg").write_bytes(base64.b64decode(answer.pop("overlay")["data"]))
    (OUT / f"{name}.json").write_text(json.dumps(answer, indent=1), encoding="utf-8")
    console.print(f"Written: out/{name}.json, out/{name}.mask.png, out/{name}.overlay.jpg")


def _show(answer: dict[str, Any]) -> None:
    model = answer["model"]
    console.print(f"Model {model['name']}/{model['version']} ({model['precision']}) on {model['provider']}")
    teeth = Table("FDI", "confidence", "area", title=f"{len(answer['teeth'])} teeth", title_justify="left")
    for tooth in answer["teeth"]:
        teeth.add_row(str(tooth["fdi"]), f"{tooth['confidence']:.2f}", f"{tooth['area_px']} px")
    console.print(teeth)
    console.print("Missing teeth:", ", ".join(map(str, answer["missing"])) or "none")
    for finding in answer["quality"]["findings"]:
        console.print(f"{finding['severity']}: {finding['message']}")
    console.print("The picture", "can be used." if answer["quality"]["suitable"] else "cannot be used as it is.")
    times = Table("stage", "ms", title="Where the time went", title_justify="left")
    for stage, value in answer["timings_ms"].items():
        times.add_row(stage, f"{value:.1f}")
    console.print(times)


if __name__ == "__main__":
    sys.exit(main())
