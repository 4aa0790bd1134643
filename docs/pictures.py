"""Makes the pictures of README and docs: answers to phantoms, and the page that shows one.

    .venv-test/bin/python docs/pictures.py

The page's picture needs Debian's Chromium; without it all but that one are made.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from playwright.sync_api import sync_playwright

REPOSITORY: Final = Path(__file__).resolve().parent.parent
IMAGES: Final = REPOSITORY / "docs" / "images"

sys.path.insert(0, str(REPOSITORY))

from service.model.package import choose_package  # noqa: E402
from service.render.encode import encode_png  # noqa: E402
from service.segmenter import Segmenter, Wanted  # noqa: E402
from service.settings import Settings  # noqa: E402
from service.ticket import Ticket  # noqa: E402
from tests.running import running_service  # noqa: E402
from training.drawn_oddities import ODDITIES, draw_oddity  # noqa: E402

_ODD_PATIENT: Final = 11


def main() -> None:
    """Write every picture that can be made here."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        phantom = Path(folder) / "phantom.png"
        subprocess.run([sys.executable, "-m", "training.phantom", "--out", str(phantom)], cwd=REPOSITORY, check=True)
        _write_overlays(phantom.read_bytes())
        if chromium := shutil.which("chromium"):
            _write_page(phantom, chromium)


def _write_overlays(phantom: bytes) -> None:
    """The answer to a plain phantom, and those to what the model has no class for, the picture above its answer."""
    settings = Settings()
    segmenter = Segmenter(choose_package(settings.models, settings.model), settings)
    (IMAGES / "answer.jpg").write_bytes(_overlay(segmenter, phantom))
    for oddity in ODDITIES:
        drawn = draw_oddity(oddity, _ODD_PATIENT).pixels
        answer = _overlay(segmenter, encode_png(drawn))
        both = np.vstack([cv2.cvtColor(drawn, cv2.COLOR_GRAY2BGR), cv2.imdecode(np.frombuffer(answer, np.uint8), 1)])
        half = cv2.resize(both, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(IMAGES / f"{oddity.name}.jpg"), half, [cv2.IMWRITE_JPEG_QUALITY, 85])
    segmenter.close()


def _overlay(segmenter: Segmenter, upload: bytes) -> bytes:
    overlay = segmenter.segment(upload, Wanted(overlay="jpeg"), Ticket(600)).overlay
    assert overlay is not None
    return overlay


def _write_page(phantom: Path, chromium: str) -> None:
    with running_service() as (url, _, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(url)
        page.locator("input[type=file]").set_input_files(phantom)
        page.locator("body[data-state='done']").wait_for()
        page.screenshot(path=IMAGES / "page.png")
        browser.close()
    picture = cv2.imread(str(IMAGES / "page.png"))
    cv2.imwrite(str(IMAGES / "page.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 85])
    (IMAGES / "page.png").unlink()


if __name__ == "__main__":
    main()
