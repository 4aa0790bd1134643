"""Takes the eight bits out of a quantised graph again: the same network in float32, from the file that ships.

For fine-tuning, for comparisons with what others run, and for providers that are faster in floating point. The weights
keep what rounding to eight bits did to them; the activations are exact again.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

_QUANTISE: Final = "QuantizeLinear"
_DEQUANTISE: Final = "DequantizeLinear"

WEIGHT: Final = "_DequantizeLinear_Output"
"""What `to_float` leaves at the end of the name of a weight that was eight bits; the rest is PyTorch's name of it."""


def to_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without its QuantizeLinear and DequantizeLinear nodes.

    ONNX Runtime leaves a Relu out where its result becomes unsigned bytes that count from 0, which cut off whatever is
    below; it is put back.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {constant.name: constant for constant in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    replaced: dict[str, str] = {}
    weights = []
    for node in graph.node:
        if node.op_type != _DEQUANTISE:
            continue
        source, output = node.input[0], node.output[0]
        if source in constants:
            weights.append(numpy_helper.from_array(_dequantise(node, constants), output))
        else:
            replaced[output] = producers[source].input[0]
    rectified = _rectified(graph.node, producers, constants)
    kept = []
    for node in graph.node:
        if node.op_type in (_QUANTISE, _DEQUANTISE):
            continue
        kept.append(node)
        if node.output[0] in rectified:
            output, before = node.output[0], f"{node.output[0]}_before_relu"
            node.output[0] = before
            kept.append(helper.make_node("Relu", [before], [output], f"{node.name}_relu"))
    for node in kept:
        for index, name in enumerate(node.input):
            while name in replaced:
                name = replaced[name]
            node.input[index] = name
    used = {name for node in kept for name in node.input}
    floats = [constant for constant in (*graph.initializer, *weights) if constant.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(floats)
    return result


def _rectified(
    nodes: Iterable[onnx.NodeProto],
    producers: Mapping[str, onnx.NodeProto],
    constants: Mapping[str, onnx.TensorProto],
) -> set[str]:
    """Names of the sums that are quantised to bytes which know nothing below 0."""
    found = set()
    for node in nodes:
        if node.op_type == _QUANTISE and node.input[0] in producers:
            zero = numpy_helper.to_array(constants[node.input[2]])
            if producers[node.input[0]].op_type in ("Conv", "Add") and zero.dtype == np.uint8 and not zero.any():
                found.add(node.input[0])
    return found


def cut(model: onnx.ModelProto, source: str, target: str, source_shape: tuple[int, ...]) -> onnx.ModelProto:
    """The part of a float32 graph between two of its tensors, as a model with one input and one output."""
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    wanted, needed = {target}, [target]
    while needed:
        node = producers.get(needed.pop())
        for name in node.input if node is not None else ():
            if name and name != source and name not in wanted:
                wanted.add(name)
                needed.append(name)
    nodes = [node for node in graph.node if wanted & set(node.output)]
    constants = [constant for constant in graph.initializer if constant.name in wanted]
    part = helper.make_graph(
        nodes,
        "part",
        [helper.make_tensor_value_info(source, onnx.TensorProto.FLOAT, source_shape)],
        [helper.make_tensor_value_info(target, onnx.TensorProto.FLOAT, None)],
        constants,
    )
    return helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version)


def _dequantise(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> np.ndarray:
    """(value - zero point) * scale, each output channel with its own (ONNX operator DequantizeLinear)."""
    value, scale = (numpy_helper.to_array(constants[name]) for name in node.input[:2])
    zero = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else np.zeros(1, value.dtype)
    if scale.ndim:
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        shape = [1] * value.ndim
        shape[axis] = -1
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    return ((value.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)
