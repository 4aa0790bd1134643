"""The model repository for Triton, read with Triton's own description of its configuration."""

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest

from service.errors import ModelPackageError, SetupError
from service.model.package import ModelPackage
from service.model.signature import MAX_BATCH
from service.triton import write_triton_repository


@pytest.fixture(scope="module")
def model_config() -> ModuleType:
    """Triton's `model_config.proto`; its package wants gRPC when it is imported as a whole."""
    pytest.importorskip("google.protobuf", reason="needs protobuf")
    try:
        path = importlib.metadata.distribution("tritonclient").locate_file("tritonclient/grpc/model_config_pb2.py")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs tritonclient")
    specification = importlib.util.spec_from_file_location("model_config_pb2", str(path))
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
def test_triton_reads_the_configuration_and_it_fits_the_graph(
    model_config: ModuleType, package: ModelPackage, tmp_path: Path, gpu: bool
) -> None:
    from google.protobuf import text_format

    folder = write_triton_repository(package, tmp_path, gpu)
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config.ModelConfig())
    file = folder / package.manifest.version / "model.onnx"
    runtime = onnxruntime.InferenceSession(file)
    assert config.name == folder.name == package.manifest.name
    assert config.platform == "onnxruntime_onnx"
    kinds = {"tensor(uint8)": model_config.TYPE_UINT8, "tensor(float)": model_config.TYPE_FP32}
    for told, real in ((config.input, runtime.get_inputs()), (config.output, runtime.get_outputs())):
        assert {each.name: kinds[each.type] for each in real} == {each.name: each.data_type for each in told}
        for tensor in told:
            batch, *graph_dims = next(each.shape for each in real if each.name == tensor.name)
            assert isinstance(batch, str)  # any number of pictures
            assert list(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims) == graph_dims
            assert np.prod(tensor.dims) == np.prod(graph_dims)
    assert config.max_batch_size == MAX_BATCH
    group = model_config.ModelInstanceGroup
    assert [each.kind for each in config.instance_group] == [group.KIND_GPU if gpu else group.KIND_CPU]
    assert config.HasField("dynamic_batching") == gpu
    assert config.parameters["fdi_classes"].string_value.split() == [str(each) for each in package.manifest.classes]
    (warm_up,) = config.model_warmup
    zeros = warm_up.inputs["pixels"]
    assert (list(zeros.dims), zeros.data_type) == (list(config.input[0].dims), config.input[0].data_type)
    assert (warm_up.batch_size, zeros.zero_data) == (1, True)
    told = {key: config.parameters[key].string_value for key in ("sha256", "licence", "foreground_threshold")}
    assert told["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert told["licence"] == package.manifest.licence
    assert float(told["foreground_threshold"]) == package.manifest.thresholds.foreground


def test_a_licence_may_be_any_text(model_config: ModuleType, package: ModelPackage, tmp_path: Path) -> None:
    from google.protobuf import text_format

    licence = 'for "research" only, of the Universität\n\\ see LICENCE'
    manifest = package.manifest.model_copy(update={"licence": licence})
    folder = write_triton_repository(ModelPackage(package.folder, manifest), tmp_path, gpu=False)
    config = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), model_config.ModelConfig())
    assert config.parameters["licence"].string_value == licence


def test_the_file_is_the_one_for_what_it_runs_on(package: ModelPackage, tmp_path: Path) -> None:
    (shipped,) = package.manifest.files
    for name in ("processor", "gpu"):
        (tmp_path / name).write_text(name)
    files = (
        shipped.model_copy(update={"path": "processor", "providers": ("CPUExecutionProvider",)}),
        shipped.model_copy(update={"path": "gpu", "providers": ("CUDAExecutionProvider",)}),
    )
    both = ModelPackage(tmp_path, package.manifest.model_copy(update={"files": files}))
    for gpu, name in ((False, "processor"), (True, "gpu")):
        folder = write_triton_repository(both, tmp_path / f"for-{name}", gpu)
        assert (folder / package.manifest.version / "model.onnx").read_text() == name
    no_gpu = ModelPackage(tmp_path, package.manifest.model_copy(update={"files": files[:1]}))
    with pytest.raises(ModelPackageError, match="no file for CUDAExecutionProvider"):
        write_triton_repository(no_gpu, tmp_path / "none", gpu=True)


def test_nothing_is_written_over(package: ModelPackage, tmp_path: Path) -> None:
    write_triton_repository(package, tmp_path, gpu=False)
    before = (tmp_path / package.manifest.name / "config.pbtxt").read_bytes()
    another = ModelPackage(package.folder, package.manifest.model_copy(update={"version": "2"}))
    for again in (package, another):
        with pytest.raises(SetupError, match="there already"):
            write_triton_repository(again, tmp_path, gpu=False)
    assert (tmp_path / package.manifest.name / "config.pbtxt").read_bytes() == before


def test_a_version_is_written_as_triton_reads_it(package: ModelPackage, tmp_path: Path) -> None:
    manifest = package.manifest.model_copy(update={"version": "02"})
    folder = write_triton_repository(ModelPackage(package.folder, manifest), tmp_path, gpu=False)
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["2"]  # with zeros before it, it is passed over


@pytest.mark.parametrize("version", ["1.2", "0"])
def test_a_version_that_triton_cannot_have_is_refused(package: ModelPackage, tmp_path: Path, version: str) -> None:
    manifest = package.manifest.model_copy(update={"version": version})
    with pytest.raises(ModelPackageError, match="whole numbers"):
        write_triton_repository(ModelPackage(package.folder, manifest), tmp_path, gpu=False)
    assert not list(tmp_path.iterdir())
