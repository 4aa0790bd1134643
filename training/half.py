"""The package's form for GPUs: its UNet in float16, derived from the int8 file that ships.

The scaling of the picture, the softmax and the distance stay in float32; a sum of squares of 512 features does not fit
float16. ONNX Runtime's own converter would round at every node that it leaves out, which is why the three places where
the type changes are set here.

The file is never committed: it is the int8 file in another form, twice as large. `panoseg derive` makes it where a GPU
image is built.
"""

import json
import shutil
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from service.errors import SetupError
from service.model.check import check_known_answer
from service.model.package import MANIFEST, ModelFile, ModelPackage, file_sha256, load_package
from service.model.runtimes import run_with
from service.model.session import Session
from training.dequantize import to_float

FP16, HALF = "model.fp16.onnx", "half.json"

LARGEST_LOSS: Final = 0.001
"""Of mean Dice on the validation pictures, from the int8 file to the float16 file."""

_GPUS: Final = ("TensorrtExecutionProvider", "CUDAExecutionProvider")

_NETWORK: Final = ("Conv", "Relu", "Add", "MaxPool", "Concat", "Resize")
"""The UNet's own operators; each gives the type that it is given."""


class DeriveError(SetupError):
    """A package that has no form for GPUs."""


def derive(package_folder: Path, models: Path, config_path: Path | None = None) -> Path:
    """Write the package's copy for GPUs, `models/<name>/<version>`, which has a float16 file for CUDA and TensorRT too.

    Name, version, thresholds and known answer are the same; the service picks the file by its provider.

    Args:
        config_path: a configuration on whose validation pictures the two files' Dice is compared, for the copy's
            `half.json`; this alone needs the training extra.

    Raises:
        ModelPackageError: the package is damaged, or its float16 form does not give its known answer.
        DeriveError: the folder is there already, the package has no int8 file or a float16 file already, or float16
            costs more than `LARGEST_LOSS`.
        ConfigError, DataError: the configuration or its data cannot be used.
    """
    package = load_package(package_folder)
    manifest = package.manifest
    source = next((file for file in manifest.files if file.precision == "int8"), None)
    if source is None:
        raise DeriveError(f"{package_folder} has no int8 file to derive another from.")
    if any(file.precision == "fp16" for file in manifest.files):
        raise DeriveError(f"{package_folder} has a float16 file already.")
    folder = models / manifest.name / manifest.version
    if folder.exists():
        raise DeriveError(f"{folder} is there already; name another folder of models, or remove it.")
    made = models / ".made"
    shutil.rmtree(made, ignore_errors=True)
    try:
        _make(package, source, made, config_path)
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(made, folder))
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _make(package: ModelPackage, source: ModelFile, made: Path, config_path: Path | None) -> None:
    """The copy, checked before anybody can take it for done."""
    shutil.copytree(package.folder, made)
    onnx.save(to_half(to_float(onnx.load(package.folder / source.path))), made / FP16)
    half = ModelFile(path=FP16, sha256=file_sha256(made / FP16), precision="fp16", providers=_GPUS)
    others = tuple(
        file.model_copy(update={"providers": tuple(name for name in file.providers if name not in _GPUS)})
        for file in package.manifest.files
    )
    manifest = package.manifest.model_copy(update={"files": (*others, half)})
    (made / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    check_known_answer(load_package(made), open_on_processor(made, half))
    if config_path is None:
        return
    loss = _measure(made, source, half, config_path)
    (made / HALF).write_text(json.dumps(loss, indent=1) + "\n", encoding="utf-8")
    if loss["int8_dice"] - loss["fp16_dice"] > LARGEST_LOSS:
        raise DeriveError(
            f"float16 costs too much: mean Dice on the validation pictures falls from {loss['int8_dice']:.4f} to "
            f"{loss['fp16_dice']:.4f}, and {LARGEST_LOSS} is allowed."
        )


def _measure(folder: Path, int8: ModelFile, half: ModelFile, config_path: Path) -> dict[str, float]:
    """Mean Dice of both files on the validation pictures, on the processor."""
    # Here alone: an image for GPUs is built where PyTorch is not installed.
    from training.config import load_config
    from training.data import load_split
    from training.data.loader import prepare_sample
    from training.thresholds import mean_dice

    manifest = load_package(folder).manifest
    samples = load_split(load_config(config_path).data, "val")
    # Tooth or not, since pairs of image and mask tell no numbers.
    prepared = [prepare_sample(sample, manifest.input.height, manifest.input.width, classes=2) for sample in samples]
    pictures, truths = zip(*prepared, strict=True)
    figures = {}
    for name, file in (("int8_dice", int8), ("fp16_dice", half)):
        session = open_on_processor(folder, file)
        predictions = [session.run(picture[np.newaxis])[0] for picture in pictures]
        figures[name] = mean_dice(predictions, truths, manifest.thresholds)
    return {**figures, "pictures": len(samples), "limit": LARGEST_LOSS}


def open_on_processor(folder: Path, file: ModelFile) -> Session:
    """A file's session on the processor, whichever provider it is for; slow, and with the same roundings to float16."""
    runtime = onnxruntime.InferenceSession(folder / file.path, providers=["CPUExecutionProvider"])
    return Session(run_with(runtime), file)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its convolutions, and all that lies between them, in float16; inputs and outputs stay.

    Args:
        model: in float32, as `training.dequantize.to_float` gives it.
    """
    result = onnx.shape_inference.infer_shapes(model)
    graph = result.graph
    _enlarge_by_factors(graph)
    weights: set[str] = set()
    half: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type == "Conv":
            if node.input[0] not in half:
                nodes += _cast(node, 0, "half", onnx.TensorProto.FLOAT16)
            weights.update(node.input[1:])
            half.update(node.output)
        elif node.op_type in _NETWORK and node.input[0] in half:
            half.update(node.output)
        else:
            for index, name in enumerate(node.input):
                if name in half:
                    nodes += _cast(node, index, f"float_{len(nodes)}", onnx.TensorProto.FLOAT)
        nodes.append(node)
    for constant in graph.initializer:
        if constant.name in weights:
            value = numpy_helper.to_array(constant).astype(np.float16)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return result


def _enlarge_by_factors(graph: onnx.GraphProto) -> None:
    """Have each `Resize` know its factor, not a size that would be worked out on the processor amid the GPU's work.

    A CUDA graph holds none of the processor's work.
    """
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    makers = {output: node for node in graph.node for output in node.output}
    unused = set()
    for node in list(graph.node):
        if node.op_type == "Resize" and len(node.input) == 4 and (maker := makers.get(node.input[3])):
            sides = [side.dim_value for side in shapes[node.input[0]]][2:]
            factors = constants[maker.input[1]] / sides
            scales = numpy_helper.from_array(np.array([1, 1, *factors], np.float32), f"{node.output[0]}_scales")
            graph.initializer.append(scales)
            node.input[2], node.input[3] = scales.name, ""
            for other in (maker, makers[maker.input[0]]):
                graph.node.remove(other)
            unused.add(maker.input[1])
    for constant in [constant for constant in graph.initializer if constant.name in unused]:
        graph.initializer.remove(constant)


def _cast(node: onnx.NodeProto, index: int, suffix: str, to: int) -> list[onnx.NodeProto]:
    """Let a node read one of its inputs in another type: the node that turns it."""
    name = f"{node.input[index]}_{suffix}"
    cast = helper.make_node("Cast", [node.input[index]], [name], to=to)
    node.input[index] = name
    return [cast]
