"""A clinic trains the shipped model further: it begins with the model's own answers, and both can be served."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import httpx
import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import numpy_helper
from typer.testing import CliRunner

from service.model.package import ModelPackage, choose_package, load_package
from service.model.prepare import prepare
from service.model.session import open_session
from tests.running import running_service
from training.begin import recover_network
from training.checkpoint import CheckpointError
from training.cli import app
from training.config import Config, ConfigError, load_config
from training.data import Sample
from training.data.numbering import number_teeth
from training.data.samples import TOOTH
from training.dequantize import to_float
from training.export import Provenance, export
from training.phantom import draw_phantom, draw_samples
from training.task import ToothTask
from training.train import train

CLINIC = Path(__file__).resolve().parents[2] / "training/configs/clinic.yaml"


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory, write_drawn_pairs: Callable[[Path, int, int], None]) -> Path:
    """The configuration that ships, with a folder of drawn radiographs and their masks, short and small."""
    folder = tmp_path_factory.mktemp("clinic")
    for split, count, seed in (("train", 4, 50), ("val", 4, 90), ("test", 2, 70)):
        write_drawn_pairs(folder / split, count, seed)
    config = yaml.safe_load(CLINIC.read_text())
    config["data"]["folder"] = str(folder)
    config["phases"] = [{"height": 128, "width": 256, "epochs": 2, "batch": 2}]
    (folder / "clinic.yaml").write_text(yaml.safe_dump(config))
    return folder / "clinic.yaml"


@pytest.fixture(scope="module")
def config(package: ModelPackage, clinic: Path) -> Config:
    return load_config(clinic).model_copy(update={"begin_with": package.folder})


def without_numbers(sample: Sample) -> Sample:
    return replace(sample, labels=np.where(sample.labels, TOOTH, 0).astype(np.uint8))


def test_the_network_taken_from_a_package_answers_as_its_file_does_also_while_it_is_trained(
    package: ModelPackage, config: Config
) -> None:
    task = ToothTask(config, steps=1)
    task.network.load_state_dict(recover_network(package, config).state_dict())
    task.train()
    pixels = np.stack([prepare(draw_phantom(seed).pixels, package.manifest.input).pixels for seed in (3, 4)])
    with torch.no_grad():
        probabilities = task.network(torch.from_numpy(pixels)).softmax(dim=1).numpy()
    for prediction, found in zip(open_session(package, "cpu").run(pixels), probabilities, strict=True):
        foreground = 255 * (1 - found[0])
        tooth = prediction.foreground >= 128
        assert np.abs(foreground - prediction.foreground).mean() < 2
        assert ((foreground >= 128) == tooth).mean() > 0.99
        assert (found[1:].argmax(axis=0) + 1 == prediction.tooth)[tooth].mean() > 0.97


def test_frozen_statistics_stay_when_a_batch_goes_through(config: Config) -> None:
    task = ToothTask(config, steps=1)
    before = {name: value.clone() for name, value in task.network.named_buffers()}
    task.train()
    task.network(torch.randint(0, 256, (2, 64, 128), dtype=torch.uint8))
    assert before
    assert all(torch.equal(before[name], value) for name, value in task.network.named_buffers())


def test_a_package_is_not_begun_with_where_statistics_of_batches_would_be_taken(
    package: ModelPackage, clinic: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load(clinic.read_text()) | {"begin_with": str(package.folder), "frozen_statistics": False}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match="frozen_statistics: true"):
        train(path, tmp_path / "runs", resume=False)


def test_a_package_of_another_network_is_refused(package: ModelPackage, config: Config) -> None:
    for network in ({"encoder": "resnet18"}, {"decoder_channels": (64, 32, 32, 16, 16)}, {"classes": 2}):
        other = config.model_copy(update={"network": config.network.model_copy(update=network)})
        with pytest.raises(CheckpointError, match="is not of the network") as refused:
            recover_network(package, other)
        assert "the package: decoder 256, 128, 64, 32, 16, 33 classes, " in str(refused.value)
        assert f"the configuration: {other.network.encoder}, decoder" in str(refused.value)


def test_a_package_without_its_version_is_refused_with_the_versions_name(clinic: Path, tmp_path: Path) -> None:
    named = CLINIC.parents[2] / "models" / "unet-resnet34-fdi"
    with pytest.raises(CheckpointError, match=r"name a version: .*models/unet-resnet34-fdi/1"):
        train(clinic, tmp_path / "runs", resume=False, begin_with=named)


def test_a_network_that_does_not_give_the_packages_known_answer_is_refused(
    package: ModelPackage, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: onnx.ModelProto) -> onnx.ModelProto:
        whole = to_float(model)
        (bias,) = (constant for constant in whole.graph.initializer if list(constant.dims) == [33])
        # All of the picture is background.
        wrong = numpy_helper.to_array(bias) + 50 * np.eye(33, dtype=np.float32)[0]
        bias.CopyFrom(numpy_helper.from_array(wrong, bias.name))
        return whole

    monkeypatch.setattr("training.begin.to_float", spoil)
    with pytest.raises(CheckpointError, match=r"cannot be trained further: .* does not give its known answer"):
        recover_network(package, config)


def test_masks_get_the_models_numbers_and_keep_every_pixel(config: Config) -> None:
    truths = draw_samples(2, 20)
    numbered = number_teeth([without_numbers(truth) for truth in truths], config)
    for truth, sample in zip(truths, numbered, strict=True):
        tooth = truth.labels > 0
        assert np.array_equal(sample.labels > 0, tooth)
        # The model has never seen a phantom, and still knows most of its teeth.
        assert (sample.labels == truth.labels)[tooth].mean() > 0.6


@pytest.mark.parametrize("width", [300, 470, 1000])
def test_masks_get_numbers_as_right_where_the_picture_is_smaller_than_the_models_input(
    config: Config, width: int
) -> None:
    (drawn,) = draw_samples(1, 21)
    side = (width, width // 2)
    resized = replace(
        drawn,
        pixels=cv2.resize(drawn.pixels, side, interpolation=cv2.INTER_AREA),
        labels=cv2.resize(drawn.labels, side, interpolation=cv2.INTER_NEAREST),
    )
    rights = []
    for truth in (drawn, resized):
        (numbered,) = number_teeth([without_numbers(truth)], config)
        rights.append((numbered.labels == truth.labels)[truth.labels > 0].mean())
    assert rights[1] == pytest.approx(rights[0], abs=0.02)


def test_numbers_that_the_data_tell_are_kept(config: Config) -> None:
    (drawn,) = draw_samples(1, 20)
    assert number_teeth([drawn], config)[0] is drawn
    first, second = number_teeth([drawn, without_numbers(draw_samples(1, 21)[0])], config)
    assert first is drawn
    assert not (second.labels == TOOTH).any()


def test_masks_without_numbers_teach_no_numbers_where_no_package_has_them(clinic: Path, tmp_path: Path) -> None:
    alone = yaml.safe_load(clinic.read_text()) | {"frozen_statistics": False}
    (tmp_path / "clinic.yaml").write_text(yaml.safe_dump(alone))
    with pytest.raises(ConfigError, match=r"--from models/<name>/<version>.*classes: 2"):
        train(tmp_path / "clinic.yaml", tmp_path / "runs", resume=False)


@pytest.fixture(scope="module")
def models(package: ModelPackage, clinic: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped package and the one that a clinic made of it, in one folder."""
    models, runs = tmp_path_factory.mktemp("models"), tmp_path_factory.mktemp("runs")
    shutil.copytree(package.folder, models / package.manifest.name / package.manifest.version)
    run = train(clinic, runs, resume=False, begin_with=package.folder)
    assert load_config(run / "config.yaml").begin_with == package.folder
    # So small a picture, so few of them: eight bits may cost more than they may in a clinic.
    provenance = Provenance("Apache-2.0", "drawn", "CC0-1.0")
    export(run, models, package.manifest.name, None, provenance, largest_loss=0.05)
    return models


def test_the_new_version_is_the_next_and_says_what_it_was_begun_with(models: Path, package: ModelPackage) -> None:
    newest = choose_package(models, None).manifest
    assert newest.version == str(int(package.manifest.version) + 1)
    assert newest.training.begun_with is not None
    named, sha256 = newest.training.begun_with.split(" sha256 ")
    assert sha256 == package.manifest.files[0].sha256[:12]
    assert choose_package(models, named).manifest == package.manifest
    # The numbers in the masks are the former model's, so nothing is said of how many stay right.
    cost = json.loads((choose_package(models, None).folder / "quantisation.json").read_text())
    assert set(cost) == {"fp32_dice", "int8_dice", "limit"}


def test_both_versions_are_listed_and_the_one_that_is_asked_for_answers(
    models: Path, package: ModelPackage, phantom_png: bytes
) -> None:
    wanted = f"{package.manifest.name}/{package.manifest.version}"
    with running_service("--models", str(models), "--model", wanted) as (url, _, _):
        listed = httpx.get(f"{url}/v1/models").json()["models"]
        answer = httpx.post(f"{url}/v1/segment", content=phantom_png, timeout=60)
    version = int(package.manifest.version)
    assert [(model["version"], model["active"]) for model in listed] == [
        (str(version + 1), False),
        (str(version), True),
    ]
    assert answer.headers["X-Model"] == wanted


def test_before_and_after_are_measured_on_the_clinics_own_pictures(
    models: Path, package: ModelPackage, clinic: Path
) -> None:
    old, new = models / package.manifest.name / package.manifest.version, choose_package(models, None).folder
    arguments = ["evaluate", str(new), "--config", str(clinic), "--before", str(old)]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert told.exit_code == 0
    written = json.loads((new / "comparison.json").read_text())
    assert written["before"]["pictures"] == written["after"]["pictures"] == 2
    dice = written["difference"]["dice"]
    assert dice["mean"] == pytest.approx(dice["after"] - dice["before"], abs=2e-4)
    # Masks say nothing of numbers, so nothing is said of them.
    assert set(written["difference"]) == {"dice", "iou", "pixel_accuracy"}
    assert "tooth" not in load_package(new).manifest.metrics["test"]
    assert not (old / "comparison.json").exists()
