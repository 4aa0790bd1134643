"""A run becomes a package that the service loads, or an error that says why not."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
import yaml
from typer.testing import CliRunner

from service.model.package import ModelPackage, load_package
from service.model.session import Session, open_session
from training.checkpoint import CheckpointError, load_network
from training.cli import app
from training.config import Config, ConfigError, load_config
from training.data import DataError, load_splits
from training.data.loader import prepare_sample
from training.export import FP32, LEAKS, Provenance, export
from training.graph import ExportError, shrink_covariance
from training.loss import segmentation_loss
from training.quantize import quantize
from training.task import ToothTask
from training.thresholds import choose_thresholds

PROVENANCE = Provenance("Apache-2.0", "drawn rectangles", "CC0-1.0")
HEIGHT, WIDTH = 64, 128
UPPER, LOWER = (14, 12, 11, 21, 22, 24), (44, 42, 41, 31, 32, 34)
PICTURES = {"train": 12, "val": 3, "test": 1}

CONFIG = {
    "name": "tiny",
    "data": {"kind": "coco", "folder": ""},
    "network": {"encoder": "resnet18", "decoder_channels": [64, 32, 32, 16, 16], "classes": 33},
    "phases": [{"height": HEIGHT, "width": WIDTH, "epochs": 1, "batch": 4}],
    "optimiser": {"name": "adam", "learning_rate": 3e-3},
    "scheduler": {"name": "one-cycle"},
}


def draw_split(folder: Path, split: str, generator: np.random.Generator) -> None:
    """Two rows of bright boxes, each with its FDI number, as a COCO file."""
    images, annotations = [], []
    for number in range(PICTURES[split]):
        pixels = generator.integers(0, 60, (HEIGHT, WIDTH), np.uint8)
        left, top = generator.integers(6, 14), generator.integers(8, 14)
        for row, teeth in enumerate((UPPER, LOWER)):
            for column, fdi in enumerate(teeth):
                x, y = int(left + 18 * column), int(top + 24 * row)
                pixels[y : y + 18, x : x + 14] += 150
                box = [x, y, x + 14, y, x + 14, y + 18, x, y + 18]
                annotations.append(
                    {"id": len(annotations), "image_id": number, "category_id": fdi, "segmentation": [box]}
                )
        name = f"{split}-{number}.png"
        cv2.imwrite(str(folder / "images" / name), pixels)
        images.append({"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH})
    (folder / f"{split}.json").write_text(json.dumps({"images": images, "annotations": annotations}))


def train_briefly(config: Config) -> ToothTask:
    """A network that reads the boxes; the project's own trainer would take longer to start than this to learn."""
    torch.manual_seed(0)
    task = ToothTask(config, steps=1)
    samples = load_splits(config.data, names=("train",)).train
    prepared = [prepare_sample(sample, HEIGHT, WIDTH, 33) for sample in samples]
    pixels, classes = (torch.from_numpy(np.stack(planes)) for planes in zip(*prepared, strict=True))
    optimiser = torch.optim.Adam(task.parameters(), lr=3e-3)
    for step in range(60):
        chosen = slice(4 * (step % 3), 4 * (step % 3) + 4)
        optimiser.zero_grad()
        segmentation_loss(task.network(pixels[chosen]), classes[chosen], config.loss).backward()
        optimiser.step()
    return task


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    data = tmp_path_factory.mktemp("data")
    folder.mkdir()
    (data / "images").mkdir()
    generator = np.random.default_rng(0)
    for split in PICTURES:
        draw_split(data, split, generator)
    (folder / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "data": {"kind": "coco", "folder": str(data)}}))
    task = train_briefly(load_config(folder / "config.yaml"))
    torch.save({"state_dict": task.state_dict()}, folder / "best.ckpt")
    return folder


@pytest.fixture(scope="module")
def package(run: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """Made by the command line, of a run that was begun with --allow-leaks."""
    models = tmp_path_factory.mktemp("models")
    leaking = copy_run(run, tmp_path_factory.mktemp("leaking") / "tiny", allow_leaks=True)
    shutil.copy(run / "best.ckpt", leaking)
    # A network this narrow loses more to eight bits than one that ships may.
    words = ["export", str(leaking), "--name", "tiny", "--models", str(models), "--largest-loss", "0.03"]
    told = ["--data", PROVENANCE.data, "--data-licence", PROVENANCE.data_licence]
    said = CliRunner().invoke(app, [*words, *told])
    assert said.exit_code == 0, said.output
    (run / FP32).write_bytes((leaking / FP32).read_bytes())
    return load_package(models / "tiny" / "1")


@pytest.fixture(scope="module")
def session(package: ModelPackage) -> Session:
    return open_session(package, "cpu", threads=1)


@pytest.fixture(scope="module")
def pictures(run: Path) -> npt.NDArray[np.uint8]:
    samples = load_splits(load_config(run / "config.yaml").data, names=("val",)).val
    return np.stack([prepare_sample(sample, HEIGHT, WIDTH, 33)[0] for sample in samples])


def copy_run(run: Path, to: Path, **changes: object) -> Path:
    """The run with another configuration and without its checkpoint."""
    to.mkdir()
    config = yaml.safe_load((run / "config.yaml").read_text())
    (to / "config.yaml").write_text(yaml.safe_dump({**config, **changes}))
    return to


def test_the_exported_model_finds_and_numbers_the_teeth(session: Session, package: ModelPackage, run: Path) -> None:
    sample = load_splits(load_config(run / "config.yaml").data, names=("val",)).val[0]
    pixels, classes = prepare_sample(sample, HEIGHT, WIDTH, 33)
    (prediction,) = session.run(pixels[np.newaxis])
    sure = prediction.foreground >= 255 * package.manifest.thresholds.foreground
    assert (sure == (classes > 0)).mean() > 0.95
    assert (prediction.tooth == classes)[classes > 0].mean() > 0.8


def test_each_map_is_bytes_of_the_size_of_the_input_and_no_tooth_is_background(
    session: Session, pictures: npt.NDArray[np.uint8]
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, pictures.shape, np.uint8)
    for prediction in session.run(np.concatenate([pictures, noise])):
        for plane in (prediction.tooth, prediction.foreground, prediction.confidence):
            assert plane.shape == (HEIGHT, WIDTH)
            assert plane.dtype == np.uint8
        assert 1 <= prediction.tooth.min() <= prediction.tooth.max() <= 32
        # One tooth cannot be more probable than all of them together, but for the rounding.
        assert (prediction.confidence <= prediction.foreground).all()


def test_a_picture_is_read_the_same_alone_and_among_others(session: Session, pictures: npt.NDArray[np.uint8]) -> None:
    together = session.run(pictures)
    for picture, among in zip(pictures, together, strict=True):
        (alone,) = session.run(picture[np.newaxis])
        assert (alone.tooth == among.tooth).mean() > 0.999
        assert np.abs(alone.foreground.astype(int) - among.foreground).max() <= 1
        assert alone.distance == pytest.approx(among.distance, rel=1e-3)


def test_noise_is_farther_from_the_training_pictures_than_a_picture_of_their_kind(
    session: Session, package: ModelPackage, pictures: npt.NDArray[np.uint8]
) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (1, HEIGHT, WIDTH), np.uint8)
    limit = package.manifest.thresholds.max_distance
    assert session.run(noise)[0].distance > limit
    assert all(prediction.distance <= limit for prediction in session.run(pictures))


def test_the_package_holds_one_small_file_and_says_what_eight_bits_cost(package: ModelPackage, run: Path) -> None:
    assert {path.name for path in package.folder.iterdir()} == {
        "manifest.json",
        "model.int8.onnx",
        "known-answer.png",
        "known-answer-labels.png",
        "quantisation.json",
        "calibration.json",
    }
    assert (package.folder / "model.int8.onnx").stat().st_size < 0.3 * (run / FP32).stat().st_size
    told = json.loads((package.folder / "quantisation.json").read_text())
    assert 0 < told["int8_dice"] <= 1
    assert 0 < told["int8_tooth_f1"] <= 1
    assert told["fp32_dice"] - told["int8_dice"] <= told["limit"] == 0.03


def test_a_package_tells_that_its_run_was_begun_with_leaks(package: ModelPackage) -> None:
    assert package.manifest.training.data == f"{PROVENANCE.data}, {LEAKS}"


def test_the_packages_confidences_are_fitted_to_its_own_validation_pictures(package: ModelPackage) -> None:
    told = json.loads((package.folder / "calibration.json").read_text())
    assert told["method"] == package.manifest.calibration.method
    assert told["uncertain"]["limit"] == package.manifest.thresholds.uncertain
    assert 0 < told["teeth"] <= PICTURES["val"] * 32


def test_every_convolution_of_the_package_multiplies_weights_of_seven_bits(package: ModelPackage) -> None:
    graph = onnx.load(package.folder / "model.int8.onnx").graph
    weights = {constant.name: onnx.numpy_helper.to_array(constant) for constant in graph.initializer}
    made_by = {name: node for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    for convolution in convolutions:
        stored = weights[made_by[convolution.input[1]].input[0]]
        assert stored.dtype == np.int8
        assert np.abs(stored.astype(int)).max() <= 64


def test_a_version_that_is_there_is_not_written_over(package: ModelPackage, run: Path) -> None:
    before = (package.folder / "manifest.json").read_bytes()
    with pytest.raises(ExportError, match="is there already"):
        export(run, package.folder.parent.parent, "tiny", "1", PROVENANCE)
    assert (package.folder / "manifest.json").read_bytes() == before


def test_eight_bits_that_cost_too_much_make_no_package(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quantize_badly(fp32: Path, int8: Path, pictures: npt.NDArray[np.uint8], *, seed: int | None) -> None:
        # Ranges learnt from black pictures clip every other one.
        quantize(fp32, int8, np.zeros_like(pictures[:1]))

    monkeypatch.setattr("training.export.quantize", quantize_badly)
    with pytest.raises(ExportError, match=r"Eight bits cost too much: .* 3 validation pictures .* --largest-loss"):
        export(run, tmp_path, "tiny", "1", PROVENANCE)
    assert not list(tmp_path.glob("tiny/*"))


def test_a_network_that_does_not_number_teeth_is_refused(run: Path, tmp_path: Path) -> None:
    binary = copy_run(run, tmp_path / "binary", network={**CONFIG["network"], "classes": 2})
    with pytest.raises(ConfigError, match="numbered teeth"):
        export(binary, tmp_path / "models", "tiny", "1", PROVENANCE)


@pytest.mark.parametrize(("name", "version"), [("Tiny", "1"), ("tiny", "../1"), ("", "1")])
def test_a_name_that_no_package_can_have_is_refused_before_any_work(
    run: Path, tmp_path: Path, name: str, version: str
) -> None:
    with pytest.raises(ExportError, match="cannot be a package's"):
        export(run, tmp_path / "models", name, version, PROVENANCE)


@pytest.mark.parametrize("made", [False, True], ids=["absent", "without a picture"])
def test_a_folder_without_foreign_pictures_is_refused_before_the_data_are_read(
    run: Path, tmp_path: Path, made: bool
) -> None:
    bare = copy_run(run, tmp_path / "bare", data={"kind": "coco", "folder": "absent"})
    shutil.copy(run / "best.ckpt", bare)
    foreign = tmp_path / "foreign"
    if made:
        foreign.mkdir()
        (foreign / "notes.txt").write_text("no picture")
    with pytest.raises(DataError, match=r"foreign (is no folder|holds no picture); name one of pictures"):
        export(bare, tmp_path / "models", "tiny", "1", PROVENANCE, foreign=foreign)


def test_a_run_without_a_checkpoint_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="train first"):
        export(copy_run(run, tmp_path / "bare"), tmp_path / "models", "tiny", "1", PROVENANCE)


def test_a_checkpoint_of_another_network_is_refused(run: Path, tmp_path: Path) -> None:
    other = copy_run(run, tmp_path / "other", network={**CONFIG["network"], "decoder_channels": [32, 32, 32, 16, 16]})
    shutil.copy(run / "best.ckpt", other)
    with pytest.raises(CheckpointError, match="is not of the network"):
        export(other, tmp_path / "models", "tiny", "1", PROVENANCE)


def test_weights_of_another_runs_network_are_refused_with_both_networks(run: Path) -> None:
    config = load_config(run / "config.yaml")
    other = config.model_copy(update={"network": config.network.model_copy(update={"encoder": "resnet34"})})
    decoder = "decoder 64, 32, 32, 16, 16, 33 classes"
    told = f"the run: resnet18, {decoder}; the configuration: resnet34, {decoder}"
    with pytest.raises(CheckpointError, match=told):
        load_network(run, other)


def test_many_points_shrink_little_and_few_shrink_to_a_sphere() -> None:
    generator = np.random.default_rng(3)
    deviations = np.array([1.0, 2.0, 3.0])
    many = generator.standard_normal((100_000, 3)) * deviations
    assert shrink_covariance(many) == pytest.approx(np.diag(deviations**2), abs=0.1)
    few = generator.standard_normal((30, 200))
    plain, shrunk = few.T @ few / 30, shrink_covariance(few)
    assert _largest_off_diagonal(plain) > 0.5
    assert _largest_off_diagonal(shrunk) < 0.2


def _largest_off_diagonal(matrix: npt.NDArray[np.float64]) -> float:
    return float(np.abs(matrix - np.diag(np.diag(matrix))).max())


def test_thresholds_are_not_chosen_where_no_tooth_is_seen() -> None:
    with pytest.raises(DataError, match="show no tooth"):
        choose_thresholds([], [np.zeros((4, 4), np.uint8)])
