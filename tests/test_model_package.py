"""A model package is served as it is described, or not at all; a provider is what was asked for, or nothing."""

import json
import re
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from service import opening
from service.dentition.fdi import CLASSES, FDI_NUMBERS
from service.errors import ModelPackageError, ProviderUnavailable
from service.model import runtimes
from service.model.binding import in_one_thread, run_bound
from service.model.check import check_known_answer
from service.model.interpret import find_teeth
from service.model.package import ModelPackage, choose_package, find_packages, load_package, read_manifests
from service.model.prepare import prepare
from service.model.providers import Provider
from service.model.session import Session, open_session
from service.opening import OpenModel, open_model
from service.settings import Settings
from service.tuning import Ground, Tuning, Way
from training.phantom import Phantom

INPUT = {"height": 256, "width": 512, "low_percentile": 0.5, "high_percentile": 99.5}


@pytest.fixture
def copied(package: ModelPackage, tmp_path: Path) -> Path:
    """The shipped package in a folder of its own, to be spoilt."""
    return Path(shutil.copytree(package.folder, tmp_path / package.manifest.name / package.manifest.version))


def open_with(package: ModelPackage, provider: str = "auto", tuning: Path = Path("none.json")) -> OpenModel:
    """With one thread, so that it is loaded once."""
    return open_model(package, Settings(provider=provider, threads=1, spinning=False, tuning=tuning))


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_the_shipped_package_gives_its_known_answer(package: ModelPackage) -> None:
    check_known_answer(package, open_session(package, "cpu"))


def test_an_altered_file_is_refused(copied: Path) -> None:
    model = copied / load_package(copied).manifest.files[0].path
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    with pytest.raises(ModelPackageError, match="sha256 differs"):
        load_package(copied)


def test_a_missing_file_is_named(copied: Path) -> None:
    path = copied / load_package(copied).manifest.files[0].path
    path.unlink()
    with pytest.raises(ModelPackageError, match=path.name):
        load_package(copied)


@pytest.mark.parametrize(
    ("raw", "confidence"),
    [
        ([0, 1], [0.5, 0.4]),
        ([0, 0.5], [0, 1]),
        ([0, 0.5, 0.5, 1], [0, 0, 1, 1]),
        ([0, 1], [0, 0.5, 1]),
        ([0, 1], [0, 2]),
    ],
    ids=["falling", "not to 1", "twice the same", "too long", "no probability"],
)
def test_a_table_of_confidences_that_makes_no_sense_is_refused(
    copied: Path, raw: list[float], confidence: list[float]
) -> None:
    edit_manifest(copied, calibration={"method": "beta", "raw": raw, "confidence": confidence})
    with pytest.raises(ModelPackageError, match=r"cannot be used.*calibration"):
        load_package(copied)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": [0, *reversed(FDI_NUMBERS)]},
        {"classes": CLASSES[:-1]},
        {"classes": FDI_NUMBERS},
        {"surprise": 1},
        {"files": []},
        {"input": {**INPUT, "surprise": 1}},
        {"input": {**INPUT, "height": 0}},
        {"input": {"height": 256, "width": 512}},
    ],
    ids=[
        "another order",
        "fewer",
        "without background",
        "unknown key",
        "no files",
        "unknown key of a part",
        "no height",
        "no percentiles",
    ],
)
def test_a_manifest_that_says_something_else_is_refused(copied: Path, changes: dict[str, object]) -> None:
    edit_manifest(copied, **changes)
    with pytest.raises(ModelPackageError, match="cannot be used"):
        load_package(copied)


def test_the_newest_version_of_the_first_name_is_chosen_and_any_can_be_named(copied: Path) -> None:
    models = copied.parent.parent
    for version in ("2", "10"):
        newer = Path(shutil.copytree(copied, copied.parent / version))
        edit_manifest(newer, version=version)
    name = copied.parent.name
    assert [folder.name for folder in find_packages(models)] == ["10", "2", "1"]
    assert choose_package(models, None).manifest.version == "10"
    assert choose_package(models, f"{name}/2").manifest.version == "2"
    with pytest.raises(ModelPackageError, match=f"there is {name}/10, {name}/2, {name}/1"):
        choose_package(models, "another")


@pytest.mark.parametrize(
    "newest_first",
    [
        ["2025-11-01", "2025-05-01", "v12", "10", "2.0.1", "2", "1.10", "1.9", "1.1", "1"],
        ["2.0.1", "2", "2-rc10", "2-rc2", "2-beta", "2-alpha", "v1.0", "1.0", "1.0-rc1", "1"],
    ],
    ids=["by their numbers, whatever stands between", "letters behind them mark what came before the release"],
)
def test_versions_are_told_apart(tmp_path: Path, newest_first: list[str]) -> None:
    for version in sorted(newest_first):
        (tmp_path / "model" / version).mkdir(parents=True)
        (tmp_path / "model" / version / "manifest.json").touch()
    assert [folder.name for folder in find_packages(tmp_path)] == newest_first


def test_a_package_in_a_folder_of_another_name_or_version_is_refused(copied: Path) -> None:
    models = copied.parent.parent
    shutil.copytree(copied, copied.parent / "2")
    with pytest.raises(ModelPackageError, match=r"2 holds .*/1 by its manifest\.json; name the folders so"):
        choose_package(models, f"{copied.parent.name}/2")
    assert choose_package(models, f"{copied.parent.name}/1").manifest.version == "1"
    found, faults = read_manifests(models)
    assert [folder for folder, _ in found] == [copied]
    assert len(faults) == 1


def test_a_package_that_cannot_be_read_is_told_and_hides_no_other(copied: Path) -> None:
    models = copied.parent.parent
    (copied.parent / "0" / "manifest.json").mkdir(parents=True)  # root, who runs tests, may read any file
    found, faults = read_manifests(models)
    assert [folder for folder, _ in found] == [copied]
    assert "manifest.json cannot be read: Is a directory." in faults[0]


def test_what_is_asked_for_runs_or_nothing_does(package: ModelPackage) -> None:
    assert open_session(package, "cpu").execution_provider == "CPUExecutionProvider"
    assert open_session(package, "openvino").execution_provider == "OpenVINO"
    for provider, execution_provider in (("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")):
        if execution_provider not in onnxruntime.get_available_providers():
            with pytest.raises(ProviderUnavailable, match=execution_provider):
                open_session(package, provider)  # type: ignore[arg-type]


@pytest.mark.parametrize("graphs", [False, True])
def test_tensors_that_are_bound_to_memory_give_the_same_answers(
    package: ModelPackage, phantom: Phantom, graphs: bool
) -> None:
    """The way to a GPU, here in the processor's own memory, where there are no graphs to be had."""
    session = onnxruntime.InferenceSession(package.folder / package.manifest.files[0].path)
    anyhow, bound = runtimes.run_with(session), run_bound(session, "cpu", graphs=graphs)
    upright = prepare(phantom.pixels, package.manifest.input).pixels[np.newaxis]
    mirrored = upright[:, :, ::-1]
    batches = [upright, mirrored, np.concatenate([upright, mirrored]), upright]
    answers = [bound(batch) for batch in batches]
    for batch, answer in zip(batches, answers, strict=True):
        for expected, found in zip(anyhow(batch), answer, strict=True):
            np.testing.assert_array_equal(found, expected)


def test_a_gpu_is_asked_by_one_thread_whoever_asks() -> None:
    askers: set[int] = set()

    def run(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        askers.add(threading.get_ident())
        return [pixels + 1]

    ask = in_one_thread(run)
    with ThreadPoolExecutor(4) as callers:
        answers = list(callers.map(lambda number: ask(np.full(3, number, np.uint8)), range(40)))
    assert [int(answer[0][0]) for answer in answers] == list(range(1, 41))
    assert len(askers) == 1
    with pytest.raises(IndexError):
        in_one_thread(lambda _: [][0])(np.zeros(1, np.uint8))


def test_every_runtime_for_processors_finds_the_same_teeth(package: ModelPackage, phantom: Phantom) -> None:
    pixels = prepare(phantom.pixels, package.manifest.input).pixels
    found = [
        find_teeth(session.run(pixels[np.newaxis])[0], package.manifest.thresholds)
        for session in (open_session(package, "cpu"), open_session(package, "openvino"))
    ]
    assert (found[0] == found[1]).mean() > 0.995
    assert set(np.unique(found[0])) == set(np.unique(found[1]))


def test_left_to_itself_the_soonest_runtime_reads_and_says_why(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = open_with(package)
    assert model.session.provider in ("cpu", "openvino")
    times = r"soonest when loaded: CPUExecutionProvider \d+ ms, OpenVINO \d+ ms"
    assert re.fullmatch(f"threads and spinning as set; {times}", model.reason)
    told = dict(re.findall(r"(CPUExecutionProvider|OpenVINO) (\d+) ms", model.reason))
    assert int(told[model.session.execution_provider]) == min(map(int, told.values()))
    monkeypatch.setattr(opening, "is_installed", lambda _: False)
    model = open_with(package)
    assert (model.session.provider, model.reason, model.warnings) == ("cpu", "threads and spinning as set", ())


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_left_to_itself_what_tuning_found_best_reads(package: ModelPackage, tmp_path: Path, provider: str) -> None:
    best = Way(provider=provider, threads=1, spinning=False)  # type: ignore[arg-type]
    tuning = Tuning(date="2030-01-01", ground=Ground.here(package), best=best, measured=())
    path = tmp_path / "tuning.json"
    path.write_text(tuning.model_dump_json())
    assert open_with(package, tuning=path).session.provider == provider


def test_a_gpu_that_fails_at_its_first_picture_is_passed_over_and_said_to_be(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_processor = open_session

    def run_out(_: object) -> list[npt.NDArray[Any]]:
        raise onnxruntime.capi.onnxruntime_pybind11_state.Fail("CUDA failure 2: out of memory\nat line 1")

    def open_session_on(package: ModelPackage, provider: Provider, threads: int, spinning: bool) -> Session:
        if provider == "cuda":
            return Session(run_out, package.manifest.files[0], provider)
        return on_processor(package, provider, threads, spinning)

    monkeypatch.setattr(opening, "has_gpu", lambda: True)
    monkeypatch.setattr(opening, "is_installed", lambda _: True)
    monkeypatch.setattr(opening, "open_session", open_session_on)
    model = open_with(package)
    assert model.session.on_processor
    assert model.warnings == (
        "A GPU is there and is not used: "
        "CUDAExecutionProvider cannot run the model here: CUDA failure 2: out of memory",
    )
    with pytest.raises(ProviderUnavailable, match="out of memory"):
        open_with(package, "cuda")


def test_openvino_that_cannot_read_the_model_is_passed_over_and_said_to_be(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such primitive")

    monkeypatch.setattr("openvino.Core.compile_model", refuse)
    model = open_with(package)
    assert model.session.provider == "cpu"
    assert "OpenVINO is there and is not used" in str(model.warnings)
    with pytest.raises(ModelPackageError, match="no such primitive"):
        open_with(package, "openvino")


def test_openvino_that_cannot_be_imported_is_passed_over_and_said_to_be(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(opening, "is_installed", lambda provider: provider == "openvino")
    monkeypatch.setattr(runtimes, "is_installed", lambda _: True)
    model = open_with(package)
    assert model.session.provider == "cpu"
    assert "OpenVINO is there and is not used: OpenVINO cannot run here" in str(model.warnings)


def test_openvino_that_is_not_installed_is_asked_for_in_vain(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "is_installed", lambda provider: provider != "openvino")
    with pytest.raises(ProviderUnavailable, match=r"OpenVINO is not installed; install panoseg\[cpu\]"):
        open_session(package, "openvino")


def test_a_provider_that_falls_away_without_a_word_is_noticed(
    package: ModelPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime lists CUDA and then runs on the processor, without an error, where a library is missing."""
    on_processor = onnxruntime.InferenceSession
    monkeypatch.setattr(runtimes, "is_installed", lambda _: True)
    monkeypatch.setattr(runtimes.onnxruntime, "InferenceSession", lambda path, options, _: on_processor(path, options))
    with pytest.raises(ProviderUnavailable, match=r"libcud\w+\.so\.\d+.* is missing|does not hold it"):
        open_session(package, "cuda")


def test_left_to_itself_a_gpu_that_is_not_used_is_told(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_with(package).warnings == ()
    monkeypatch.setattr(opening, "has_gpu", lambda: True)
    model = open_with(package)
    assert model.session.on_processor
    assert "A GPU is there and is not used" in str(model.warnings)


def test_a_model_that_gives_another_answer_than_it_should_is_not_opened(copied: Path) -> None:
    labels = copied / load_package(copied).manifest.known_answer.labels
    known = cv2.imread(str(labels), cv2.IMREAD_GRAYSCALE)
    assert known is not None
    cv2.imwrite(str(labels), np.roll(known, 20, axis=1))
    with pytest.raises(ModelPackageError, match="does not give its known answer"):
        open_with(load_package(copied), "cpu")
