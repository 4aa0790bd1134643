"""One way through: the same teeth from any container, from the command line as from the service."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.api.state import ServiceState
from service.errors import NotReady
from service.model.package import ModelPackage
from service.segmentation import Segmentation
from service.segmenter import Segmenter, Wanted
from service.settings import Settings
from service.ticket import Ticket
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


def run_segment(*arguments: object, out: Path) -> Result:
    return CliRunner().invoke(app, ["segment", *map(str, arguments), "--out", str(out)])


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def answers_of(*names: str) -> set[str]:
    return {f"{name}{ending}" for name in names for ending in (".json", ".mask.png", ".overlay.jpg")}


def test_openvino_answers_the_same_whatever_the_processor_can_multiply(phantom_png: bytes, tmp_path: Path) -> None:
    file = tmp_path / "radiograph.png"
    file.write_bytes(phantom_png)
    answers = []
    for kind in ("AVX2", "ALL"):
        command = [sys.executable, "-m", "training.cli", "segment", str(file), "--out", str(tmp_path / kind)]
        # What OpenVINO computes with believes that the processor has no more than this.
        environment = {**os.environ, "PANOSEG_PROVIDER": "openvino", "ONEDNN_MAX_CPU_ISA": kind}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        answer = json.loads((tmp_path / kind / "radiograph.json").read_text())
        mask = (tmp_path / kind / "radiograph.mask.png").read_bytes()
        answers.append((answer["teeth"], answer["missing"], answer["quality"], mask))
    assert answers[0] == answers[1]


def test_files_that_cannot_be_read_are_named_and_the_others_answered(phantom_png: bytes, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(phantom_png)
    (tmp_path / "bad.png").write_bytes(phantom_png[:5000])
    whole = cv2.imencode(".tif", np.eye(256, dtype=np.uint8))[1]
    (tmp_path / "worse.tif").write_bytes(whole[: len(whole) // 2].tobytes())
    (tmp_path / "circle.png").symlink_to(tmp_path / "circle.png")
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with (tmp_path / "film.mp4").open("wb") as file:
        file.truncate(65_000_000)
    unread = [tmp_path / name for name in ("missing.png", "bad.png", "worse.tif", "circle.png", "empty", "film.mp4")]
    outcome = run_segment(*unread, tmp_path / "good.png", out=tmp_path / "out")
    assert outcome.exit_code == 1
    assert outcome.stdout.startswith("1 of 7 segmented")
    for path in unread:
        assert f"{path}: " in outcome.stderr
    assert "missing.png: It cannot be read: No such file or directory." in outcome.stderr
    assert "film.mp4: It has 65 MB, and PANOSEG_MAX_UPLOAD_MB allows 64 MB." in outcome.stderr
    assert names_in(tmp_path / "out") == answers_of("good")


def test_a_file_that_may_not_be_read_is_named_and_the_others_answered(phantom_png: bytes, tmp_path: Path) -> None:
    files = [tmp_path / "locked.png", tmp_path / "closed" / "x.png", tmp_path / "good.png"]
    files[1].parent.mkdir()
    for file in files:
        file.write_bytes(phantom_png)
    files[0].chmod(0)
    files[1].parent.chmod(0)
    if os.access(files[0], os.R_OK):
        pytest.skip("this user may read everything")
    outcome = run_segment(*files, out=tmp_path / "out")
    files[1].parent.chmod(0o700)
    assert outcome.exit_code == 1, outcome.output
    assert "locked.png: It cannot be read: Permission denied." in outcome.stderr
    assert "x.png: It cannot be read: Permission denied." in outcome.stderr
    assert names_in(tmp_path / "out") == answers_of("good")


def test_without_a_model_nothing_is_done_and_the_exit_code_is_another(
    phantom_png: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.png").write_bytes(phantom_png)
    monkeypatch.setenv("PANOSEG_MODELS", str(tmp_path / "modles"))
    assert run_segment(tmp_path / "x.png", tmp_path / "missing.png", out=tmp_path / "out").exit_code == 2


def test_a_folder_is_the_files_in_it(phantom_png: bytes, tmp_path: Path) -> None:
    (tmp_path / "case" / "deeper").mkdir(parents=True)
    for name in ("one.png", "two.png", ".hidden.png", "deeper/three.png"):
        (tmp_path / "case" / name).write_bytes(phantom_png)
    (tmp_path / "case" / "notes.txt").write_text("Came in with pain.")
    outcome = run_segment(tmp_path / "case", tmp_path / "case" / "one.png", out=tmp_path / "out")
    assert outcome.exit_code == 1
    assert outcome.stdout.startswith("2 of 3 segmented")
    assert "notes.txt: The file is no image of a known format" in outcome.stderr
    assert names_in(tmp_path / "out") == answers_of("one", "two")


def test_answers_are_called_by_what_tells_their_files_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {
        "other.png": "other",
        # Of several folders.
        "a/pano.png": "a-pano",
        "b/pano.png": "b-pano",
        "a/in/deep.png": "a-in-deep",
        "b/in/deep.png": "b-in-deep",
        # Of several endings.
        "x.png": "x.png",
        "x.dcm": "x.dcm",
        # Of both.
        "a/both.png": "a-both.png",
        "a/both.dcm": "a-both.dcm",
        "b/both.png": "b-both.png",
        "b/both.dcm": "b-both.dcm",
        # Where letter case does not count, these would be one.
        "a/Case.png": "a-Case",
        "b/case.png": "b-case",
        # Called as another would be by its folder.
        "a-like.bmp": "a-like.bmp",
        "a/like.png": "a-like.png",
        "b/like.png": "b-like",
    }
    monkeypatch.chdir(tmp_path)
    widths = {file: 200 + count for count, file in enumerate(names)}
    for file, width in widths.items():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(cv2.imencode(".png", np.zeros((128, width), np.uint8))[1].tobytes())
    outcome = run_segment(*names, "a/../other.png", out=tmp_path / "out")
    assert outcome.exit_code == 0, outcome.output
    assert names_in(tmp_path / "out") == answers_of(*names.values())
    for file, name in names.items():
        assert json.loads((tmp_path / "out" / f"{name}.json").read_text())["image"]["width"] == widths[file], file


def test_files_whose_answers_would_be_one_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    files = [tmp_path / "A" / "x.png", tmp_path / "a" / "x.png"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"any")
    if files[0].samefile(files[1]):
        pytest.skip("letter case does not count here")
    outcome = run_segment(*files, out=tmp_path / "out")
    assert outcome.exit_code == 2
    assert "would be called alike" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_in_the_way_of_answers_stays_unless_it_may_be_written_over(phantom_png: bytes, tmp_path: Path) -> None:
    files = [tmp_path / "one.png", tmp_path / "two.png"]
    for file in files:
        file.write_bytes(phantom_png)
    truth = tmp_path / "two.mask.png"
    truth.write_bytes(b"drawn by hand")
    before = names_in(tmp_path)
    refused = run_segment(*files, out=tmp_path)
    assert refused.exit_code == 2
    assert f"{truth} is there already; give" in refused.stderr
    assert (names_in(tmp_path), truth.read_bytes()) == (before, b"drawn by hand")
    assert run_segment(*files, "--overwrite", out=tmp_path).exit_code == 0
    assert truth.read_bytes().startswith(b"\x89PNG")
    assert f"{tmp_path / 'one.json'} is there already, and so are 5 more" in run_segment(*files, out=tmp_path).stderr


def test_no_answer_takes_the_place_of_a_file_to_segment(phantom_png: bytes, tmp_path: Path) -> None:
    (tmp_path / "case").mkdir()
    for name in ("x.png", "x.mask.png"):
        (tmp_path / "case" / name).write_bytes(phantom_png)
    (tmp_path / "link").symlink_to(tmp_path / "case")
    outcome = run_segment(tmp_path / "case", "--overwrite", out=tmp_path / "link")
    assert outcome.exit_code == 2
    assert "x.mask.png is one of the files to segment" in outcome.stderr
    assert names_in(tmp_path / "case") == {"x.png", "x.mask.png"}
    assert (tmp_path / "case" / "x.mask.png").read_bytes() == phantom_png


def test_the_help_of_segment_tells_the_exit_codes() -> None:
    told = CliRunner().invoke(app, ["segment", "--help"], env={"COLUMNS": "200"}).stdout
    assert "0: every file has its answers." in told
    assert "1: some files or folders could not be read" in told
    assert "2: the run could not start" in told


def test_a_folder_for_answers_that_cannot_be_made_is_said_before_any_work(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(b"any")
    outcome = run_segment(file, out=file / "out")
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
    outcome = run_segment(tmp_path / "x.png", "--overwrite", out=tmp_path / "out")
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


def test_a_service_that_nobody_asks_reads_a_picture_now_and_then_until_nobody_has_asked_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[float] = []
    monkeypatch.setattr(Segmenter, "keep_warm", lambda _: read.append(time.monotonic()))
    monkeypatch.setattr("service.api.state._WARM_EVERY_S", 0.01)

    async def try_out() -> None:
        state = ServiceState(Settings(provider="openvino"))
        await state.load(lambda: None)
        async with asyncio.timeout(60):
            while len(read) < 3:
                await asyncio.sleep(0.01)
        monkeypatch.setattr("service.api.state._WARM_FOR_S", 0.0)
        await asyncio.sleep(0.1)
        before = len(read)
        await asyncio.sleep(0.2)
        assert len(read) == before
        await state.stop()

    asyncio.run(try_out())


def test_to_keep_warm_is_to_go_the_whole_way_and_ends_with_the_model(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    monkeypatch.setattr("service.segmenter.encode_overlay", lambda overlay, _: encoded.append(overlay.width))
    opened = Segmenter(package, Settings(provider="openvino"))
    opened.keep_warm()
    assert encoded == [package.manifest.input.width]
    assert opened.engine.under_way == 0
    opened.close()
    with pytest.raises(NotReady):
        opened.keep_warm()
