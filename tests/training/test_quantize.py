"""Eight bits keep what training changed, also where it changed a weight by less than a step of them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper

from training.dequantize import to_float
from training.quantize import quantize

STEP = 0.01
CHANNELS = 64


def write_convolution(path: Path, weight: npt.NDArray[np.float32]) -> None:
    """A graph that is one convolution of the pixels."""
    nodes = [
        helper.make_node("Unsqueeze", ["pixels", "axis"], ["planes"], "unsqueeze"),
        helper.make_node("Cast", ["planes"], ["grey"], "cast", to=onnx.TensorProto.FLOAT),
        helper.make_node("Conv", ["grey", "weight"], ["out"], "conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "convolution",
        [helper.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["batch", 16, 16])],
        [helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["batch", CHANNELS, 10, 10])],
        [numpy_helper.from_array(weight, "weight"), numpy_helper.from_array(np.array([1]), "axis")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)


def weight_of(path: Path) -> npt.NDArray[np.float32]:
    graph = to_float(onnx.load(path)).graph
    (convolution,) = (node for node in graph.node if node.op_type == "Conv")
    constants = {constant.name: numpy_helper.to_array(constant) for constant in graph.initializer}
    return constants[convolution.input[1]]


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_weights_a_part_of_a_step_away_go_back_to_the_nearest_and_stay_in_the_mean_at_random(
    tmp_path: Path, share: float
) -> None:
    generator = np.random.default_rng(0)
    begun = generator.integers(-40, 41, (CHANNELS, 1, 7, 7)).astype(np.float32) * STEP
    # The largest of each channel, which sets its steps, has not moved.
    moved = begun + np.float32(share * STEP)
    moved[:, 0, 0, 0] = begun[:, 0, 0, 0] = 64 * STEP
    write_convolution(tmp_path / "fp32.onnx", moved)
    pictures = generator.integers(0, 256, (4, 16, 16), np.uint8)
    shifts = {}
    for name, seed in (("nearest", None), ("random", 5)):
        quantize(tmp_path / "fp32.onnx", tmp_path / f"{name}.onnx", pictures, seed=seed)
        shifts[name] = ((weight_of(tmp_path / f"{name}.onnx") - begun) / STEP)[:, 0].reshape(CHANNELS, -1)[:, 1:]
    assert np.abs(shifts["nearest"]).max() < 0.01
    # Of 3072 weights, each 0 or 1: the mean is within five of its standard deviations.
    assert shifts["random"].mean() == pytest.approx(share, abs=5 * 0.5 / np.sqrt(shifts["random"].size))
    assert set(np.round(shifts["random"], 2).ravel().tolist()) == {0.0, 1.0}
