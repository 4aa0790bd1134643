"""What is derived from the eight-bit file that ships answers as that file does: in float32, and in float16 for GPUs."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import numpy_helper

from service.model.check import check_known_answer
from service.model.package import ModelPackage, find_packages, load_package
from service.model.prepare import prepare
from service.model.runtimes import run_with
from service.model.session import Session, open_session
from tests.running import run_without_training
from training.config import ConfigError
from training.dequantize import to_float
from training.half import DeriveError, derive, open_on_processor, to_half
from training.phantom import draw_phantom

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def float_graph(package: ModelPackage) -> onnx.ModelProto:
    return to_float(onnx.load(package.folder / package.manifest.files[0].path))


def open_graph(graph: onnx.ModelProto, package: ModelPackage) -> Session:
    runtime = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return Session(run_with(runtime), package.manifest.files[0])


@pytest.fixture(scope="module")
def derived(package: ModelPackage, tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """Derived where PyTorch cannot be imported, as in a stage of the GPU image."""
    models = tmp_path_factory.mktemp("half")
    done = run_without_training("derive", str(package.folder), "--models", str(models))
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = find_packages(models)
    return load_package(folder)


@pytest.mark.parametrize("form", [lambda graph: graph, to_half], ids=["float32", "float16"])
def test_without_eight_bits_the_graph_gives_the_known_answer(form, float_graph, package) -> None:
    check_known_answer(package, open_graph(form(float_graph), package))


def test_float16_reads_other_pictures_as_float32_does(float_graph, package) -> None:
    whole, half = open_graph(float_graph, package), open_graph(to_half(float_graph), package)
    fit = package.manifest.input
    noise = np.random.default_rng(0).integers(0, 256, (fit.height, fit.width), np.uint8)
    for pixels in (prepare(draw_phantom(11).pixels, fit).pixels, noise, np.zeros_like(noise)):
        (one,), (other,) = whole.run(pixels[np.newaxis]), half.run(pixels[np.newaxis])
        assert np.abs(one.foreground.astype(int) - other.foreground).max() <= 12
        assert ((one.foreground >= 128) == (other.foreground >= 128)).mean() > 0.999
        assert other.distance == pytest.approx(one.distance, rel=0.01)


def test_float16_is_what_the_convolutions_multiply_and_what_no_caller_sees(float_graph) -> None:
    graph = to_half(float_graph).graph
    weights = {constant.name: constant.data_type for constant in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert convolutions
    assert {weights[name] for node in convolutions for name in node.input[1:]} == {onnx.TensorProto.FLOAT16}
    for side in ("input", "output"):
        assert [(value.name, value.type) for value in getattr(graph, side)] == [
            (value.name, value.type) for value in getattr(float_graph.graph, side)
        ]


def test_float16_leaves_no_sizes_to_work_out_beside_the_gpu(float_graph) -> None:
    """CUDA graphs hold none of the processor's work, and ONNX Runtime gives it whatever comes of a shape."""
    graph = to_half(float_graph).graph
    assert any(node.op_type == "Shape" for node in float_graph.graph.node)
    assert not any(node.op_type == "Shape" for node in graph.node)
    constants = {constant.name: numpy_helper.to_array(constant).tolist() for constant in graph.initializer}
    factors = [constants[node.input[2]] for node in graph.node if node.op_type == "Resize"]
    assert factors == [[1, 1, 2, 2]] * 5


def test_a_derived_package_gives_each_provider_its_own_file(derived: ModelPackage, package: ModelPackage) -> None:
    precisions = {
        provider: derived.file_for(provider).precision
        for provider in ("CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider")
    }
    assert precisions == {
        "CPUExecutionProvider": "int8",
        "CUDAExecutionProvider": "fp16",
        "TensorrtExecutionProvider": "fp16",
    }
    assert (derived.manifest.name, derived.manifest.version) == (package.manifest.name, package.manifest.version)
    assert derived.manifest.thresholds == package.manifest.thresholds
    # The package that it is from has not changed.
    assert load_package(package.folder).manifest == package.manifest


def test_a_derived_package_is_served_on_a_processor_as_the_one_it_is_from(derived: ModelPackage) -> None:
    session = open_session(derived, "cpu")
    assert session.file.precision == "int8"
    check_known_answer(derived, session)
    check_known_answer(derived, open_on_processor(derived.folder, derived.file_for("CUDAExecutionProvider")))


def test_a_package_is_not_derived_over_another(package: ModelPackage, derived: ModelPackage) -> None:
    before = (derived.folder / "manifest.json").read_bytes()
    for models in (derived.folder.parent.parent, package.folder.parent.parent):
        with pytest.raises(DeriveError, match="is there already"):
            derive(package.folder, models)
    assert (derived.folder / "manifest.json").read_bytes() == before


def test_a_package_without_an_int8_file_is_refused(derived: ModelPackage, tmp_path: Path) -> None:
    half = derived.file_for("CUDAExecutionProvider")
    told = derived.manifest.model_dump(mode="json") | {"files": [half.model_dump(mode="json")]}
    (tmp_path / "manifest.json").write_text(json.dumps(told))
    (tmp_path / half.path).hardlink_to(derived.folder / half.path)
    with pytest.raises(DeriveError, match="has no int8 file"):
        derive(tmp_path, tmp_path / "models")


def test_a_derived_package_is_not_derived_from_again(derived: ModelPackage, tmp_path: Path) -> None:
    with pytest.raises(DeriveError, match="has a float16 file already"):
        derive(derived.folder, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_package_that_cannot_be_derived_leaves_nothing(package: ModelPackage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml"):
        derive(package.folder, tmp_path, tmp_path / "no.yaml")
    assert not list(tmp_path.iterdir())


def test_float16_is_measured_on_masks_without_numbers_too(
    package: ModelPackage, tmp_path: Path, write_drawn_pairs
) -> None:
    write_drawn_pairs(tmp_path / "val", 1, 5)
    config = yaml.safe_load((REPOSITORY / "training" / "configs" / "clinic.yaml").read_text())
    path = tmp_path / "clinic.yaml"
    path.write_text(yaml.safe_dump({**config, "data": {"kind": "pairs", "folder": str(tmp_path)}}))
    loss = json.loads((derive(package.folder, tmp_path / "models", path) / "half.json").read_text())
    assert loss["int8_dice"] > 0.8
    assert loss["fp16_dice"] == pytest.approx(loss["int8_dice"], abs=0.001)
