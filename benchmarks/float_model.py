"""The network of the shipped file as a tutorial would have it: float32, logits out."""

from pathlib import Path

import onnx

from service.model.package import choose_package
from training.dequantize import cut, to_float


def write_float_model(models: Path, path: Path) -> Path:
    """Write the shipped network in float32, from the scaled picture to the logits of its classes."""
    package = choose_package(models, None)
    size = package.manifest.input
    model = to_float(onnx.load(package.folder / package.manifest.files[0].path))
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    first, last = convolutions[0].input[0], convolutions[-1].output[0]
    onnx.save(cut(model, first, last, (1, 1, size.height, size.width)), path)
    return path
