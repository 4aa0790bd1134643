"""Writes a model package as a model repository for NVIDIA's Triton Inference Server: the graph and its configuration.

Triton then serves what `/v2/models/<name>` serves here: the graph alone. Preparing a radiograph, and making teeth of
the maps, are left to the client (`service.model.prepare`, `service.model.interpret`). The fields are those of
Triton's `model_config.proto`.
"""

import json
import shutil
from pathlib import Path

from service.errors import ModelPackageError, SetupError
from service.model.package import ModelPackage
from service.model.providers import EXECUTION_PROVIDERS
from service.model.signature import MAX_BATCH, Tensor, graph_input, graph_outputs


def write_triton_repository(package: ModelPackage, out: Path, gpu: bool) -> Path:
    """Write `out/<name>/config.pbtxt` and `out/<name>/<version>/model.onnx`; returns the model's folder.

    Args:
        gpu: whether it is to run on a GPU; on a processor pictures are not gathered into batches, which gains nothing.

    Raises:
        ModelPackageError: the package has no file for that, or its version is no number, which Triton's are.
        SetupError: the model is there already.
    """
    manifest = package.manifest
    execution_provider = EXECUTION_PROVIDERS["cuda" if gpu else "cpu"]
    file = package.file_for(execution_provider)
    if file is None:
        raise ModelPackageError(f"{package.folder} has no file for {execution_provider}.")
    if not manifest.version.isdigit() or int(manifest.version) < 1:
        raise ModelPackageError(f"Triton's versions are whole numbers from 1 on, and this one is {manifest.version}.")
    folder = out / manifest.name
    if folder.exists():
        # Another version too: its configuration would be this one's.
        raise SetupError(f"{folder} is there already, and nothing is written over; name another folder.")
    version = folder / str(int(manifest.version))
    version.mkdir(parents=True)
    shutil.copyfile(package.folder / file.path, version / "model.onnx")
    (folder / "config.pbtxt").write_text(_configuration(package, file.sha256, gpu), encoding="utf-8")
    return folder


def _configuration(package: ModelPackage, sha256: str, gpu: bool) -> str:
    manifest = package.manifest
    takes = graph_input(manifest)
    parameters = {
        "fdi_classes": " ".join(map(str, manifest.classes)),
        "foreground_threshold": f"{manifest.thresholds.foreground:g}",
        "sha256": sha256,
        "licence": manifest.licence,
    }
    lines = [
        f'name: "{manifest.name}"',
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {MAX_BATCH}",
        f"input [ {{ {_tensor(takes)} }} ]",
        *(f"output [ {{ {_tensor(tensor)} }} ]" for tensor in graph_outputs(manifest)),
        f"instance_group [ {{ count: 1 kind: {'KIND_GPU' if gpu else 'KIND_CPU'} }} ]",
        *(["dynamic_batching { }"] if gpu else []),
        'model_warmup [ { name: "first" batch_size: 1 inputs { key: "pixels" '
        f"value {{ data_type: TYPE_UINT8 dims: {list(takes.dims)} zero_data: true }} }} }} ]",
        # Quotes and line ends of a licence are written alike in JSON and in protobuf's text.
        *(
            f'parameters {{ key: "{key}" value {{ string_value: {json.dumps(text, ensure_ascii=False)} }} }}'
            for key, text in parameters.items()
        ),
    ]
    return "\n".join(lines) + "\n"


def _tensor(tensor: Tensor) -> str:
    # A batch of single numbers has no dimension besides the batch, and Triton's dims must not be empty.
    reshape = " reshape { shape: [ ] }" if tensor.dims == (1,) else ""
    return f'name: "{tensor.name}" data_type: TYPE_{tensor.datatype} dims: {list(tensor.dims)}{reshape}'
