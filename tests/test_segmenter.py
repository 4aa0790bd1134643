"""One way through: the same teeth from any container, from the command line as from the service."""

import json
import shutil
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from service.model.engine import Ticket
from service.model.package import ModelPackage
from service.segmentation import Segmentation
from service.segmenter import Segmenter, Wanted
from tests.encoders import dicom, with_pillow
from training.cli import app
from training.metrics import dice, match_teeth
from training.phantom import Phantom


def segment(segmenter: Segmenter, upload: bytes) -> Segmentation:
    return segmenter.segment(upload, Wanted(), Ticket(60)).segmentation


def containers(pixels: np.ndarray) -> dict[str, bytes]:
    """One picture as files of every kind; the deeper ones with their grey values spread over more bits."""
    deep, twelve = pixels.astype(np.uint16) * 257, (pixels.astype(np.uint16) << 4)
    colour = cv2.merge([pixels] * 3)
    return {
        "png as colour": cv2.imencode(".png", colour)[1].tobytes(),
        "png of 16 bits": cv2.imencode(".png", deep)[1].tobytes(),
        "tiff": with_pillow(pixels, "TIFF", compression="tiff_lzw"),
        "tiff of 16 bits": cv2.imencode(".tiff", deep)[1].tobytes(),
        "bmp": with_pillow(pixels, "BMP"),
        "dicom": dicom(pixels),
        "dicom, inverted": dicom(255 - pixels, PhotometricInterpretation="MONOCHROME1"),
        "dicom of 12 bits": dicom(twelve, bits=12),
    }


def test_the_same_radiograph_in_any_lossless_container_gives_the_same_teeth(
    segmenter: Segmenter, phantom: Phantom, phantom_png: bytes
) -> None:
    expected = segment(segmenter, phantom_png)
    for name, upload in containers(phantom.pixels).items():
        answer = segment(segmenter, upload)
        assert [tooth.fdi for tooth in answer.teeth] == [tooth.fdi for tooth in expected.teeth], name
        assert (answer.labels == expected.labels).mean() > 0.999, name


def test_a_jpeg_gives_nearly_the_same_teeth(segmenter: Segmenter, phantom: Phantom, phantom_png: bytes) -> None:
    expected = segment(segmenter, phantom_png)
    for quality in (95, 60):
        jpeg = cv2.imencode(".jpg", phantom.pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        answer = segment(segmenter, jpeg)
        assert dice(answer.labels > 0, expected.labels > 0) > 0.97
        assert match_teeth(answer.labels, expected.labels).teeth.f1 > 0.9


def test_the_command_line_answers_as_the_service_does(service_url: str, phantom_png: bytes, tmp_path: Path) -> None:
    file, out = tmp_path / "radiograph.png", tmp_path / "out"
    file.write_bytes(phantom_png)
    outcome = CliRunner().invoke(app, ["segment", str(file), "--out", str(out)])
    assert outcome.exit_code == 0, outcome.output
    told = json.loads((out / "radiograph.json").read_text())
    answer = httpx.post(f"{service_url}/v1/segment", content=phantom_png, timeout=60).json()
    for part in ("image", "teeth", "missing", "tooth_fraction", "quality"):
        assert told[part] == answer[part]
    mask = httpx.post(f"{service_url}/v1/mask", content=phantom_png, timeout=60).content
    assert (out / "radiograph.mask.png").read_bytes() == mask
    overlay = cv2.imread(str(out / "radiograph.overlay.jpg"))
    assert overlay is not None
    assert overlay.shape[:2] == (answer["image"]["height"], answer["image"]["width"])


def test_files_that_cannot_be_read_are_named_and_the_others_answered(phantom_png: bytes, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(phantom_png)
    (tmp_path / "bad.png").write_bytes(phantom_png[:5000])
    whole = cv2.imencode(".tif", np.eye(256, dtype=np.uint8))[1]
    (tmp_path / "worse.tif").write_bytes(whole[: len(whole) // 2].tobytes())
    files = [str(tmp_path / name) for name in ("bad.png", "worse.tif", "good.png")]
    outcome = CliRunner().invoke(app, ["segment", *files, "--out", str(tmp_path / "out")])
    assert outcome.exit_code == 2
    assert outcome.stdout.startswith("1 of 3 segmented")
    assert (tmp_path / "out" / "good.json").exists()
    assert not (tmp_path / "out" / "bad.json").exists()


def test_files_whose_answers_would_be_one_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    files = [tmp_path / "one" / "x.png", tmp_path / "two" / "x.png"]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(b"any")
    outcome = CliRunner().invoke(app, ["segment", *map(str, files), "--out", str(tmp_path / "out")])
    assert outcome.exit_code == 2
    assert "called x" in outcome.output
    assert not (tmp_path / "out").exists()


def test_a_folder_for_answers_that_cannot_be_made_is_said_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(b"any")
    outcome = CliRunner().invoke(app, ["segment", str(file), "--out", str(file / "out")])
    assert outcome.exit_code == 2
    assert "Nothing can be written into" in outcome.output


def test_a_damaged_package_is_told_beside_those_that_can_be_served(
    package: ModelPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(package.folder, tmp_path / package.manifest.name / "1")
    (tmp_path / "copied" / "2").mkdir(parents=True)
    (tmp_path / "copied" / "2" / "manifest.json").write_text('{"name":')
    monkeypatch.setenv("PANOSEG_MODELS", str(tmp_path))
    outcome = CliRunner().invoke(app, ["models"])
    assert outcome.exit_code == 2
    assert package.manifest.name in outcome.output
    assert "copied" in outcome.output


def test_a_folder_without_models_is_no_empty_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANOSEG_MODELS", str(tmp_path / "modles"))
    outcome = CliRunner().invoke(app, ["models", "--json"])
    assert outcome.exit_code == 2
    assert "modles holds no model package" in outcome.output


def test_a_file_that_cannot_be_written_is_told_in_a_line(phantom_png: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(phantom_png)
    (tmp_path / "out" / "x.json").mkdir(parents=True)
    outcome = CliRunner().invoke(app, ["segment", str(tmp_path / "x.png"), "--out", str(tmp_path / "out")])
    assert outcome.exit_code == 2
    assert "x.json cannot be used: Is a directory" in outcome.output


FULL_SIZE = Path(__file__).resolve().parents[2] / "shared" / "data" / "panoramic-fullsize"


@pytest.mark.skipif(not FULL_SIZE.is_dir(), reason="needs ../shared/data/panoramic-fullsize, which is not committed")
def test_radiographs_of_another_machine_are_read_without_a_false_alarm(segmenter: Segmenter) -> None:
    for path in sorted(FULL_SIZE.glob("*.png")):
        answer = segment(segmenter, path.read_bytes())
        assert answer.suitable, path.name
        assert len(answer.teeth) >= 20, path.name
        assert 0.05 < answer.tooth_fraction < 0.3, path.name
