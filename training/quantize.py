"""Makes the int8 file: ONNX Runtime's static quantisation, calibrated on training pictures.

Activations are uint8 and weights int8, a scale for each output channel, since that is the pair of types that processors
multiply fastest. On a processor with AVX2 alone two such products are added in 16 bits, where they saturate; weights of
7 bits (`reduce_range`) keep the sum within them, so that every processor gives the same answer. With AVX-512 VNNI
nothing saturates, and the missing bit costs nothing: at 256 x 512 on one core (Zen 5) 59 ms, with 8 bits 58, with both
int8 114, in float32 146.

Mean Dice on the validation pictures of UFBA-425, of a network half trained at 128 x 256: float32 0.8922, this 0.8915,
with weights of 8 bits 0.8915, with ranges by percentile (99.99) 0.8916 or by entropy 0.8915, with the last convolution
in float32 0.8920 (3 ms more), with the first 0.8916. So the plainest is taken.

A network that was fine-tuned from an int8 package needs one thing more. Its weights began on the steps of seven bits,
and most have moved by a small part of a step (median 0.02 to 2.5 by layer); rounding to the nearest would put those
back, and the training would be undone. So each is rounded up or down at random, with the probability that makes its
mean right. Of a network fine-tuned on 12 pictures at 128 x 256, mean Dice on 8 others: before 0.445, after 0.889 in
float32, 0.790 with its weights rounded to the nearest, 0.888 at random.
"""

import logging
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

RANGE_PICTURES: Final = 48
"""Training pictures, or a few more, over which the range of each plane is measured."""

_STEPS: Final = 64
"""From 0 to the largest weight of a channel, in seven bits with a sign."""

_OPERATORS: Final = ["Conv", "Relu", "Add", "Concat", "Resize", "MaxPool"]
"""The UNet's own."""


class _Pictures(CalibrationDataReader):
    """Hands prepared pictures out one by one."""

    def __init__(self, pictures: npt.NDArray[np.uint8]) -> None:
        self._pictures = pictures
        self._left = iter(pictures)

    def __len__(self) -> int:
        return len(self._pictures)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Hand out only these from now on; the calibrator asks for slices, to keep few pictures' planes in memory."""
        self._left = iter(self._pictures[start_index:end_index])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        """The next picture as the graph's input, None after the last."""
        picture = next(self._left, None)
        return None if picture is None else {"pixels": picture[np.newaxis]}


def quantize(fp32: Path, int8: Path, pictures: npt.NDArray[np.uint8], *, seed: int | None = None) -> None:
    """Write the int8 file of a graph.

    Args:
        fp32: the file that `training.graph.write_onnx` wrote.
        int8: the file to write.
        pictures: `(pictures, height, width)`, prepared; the smallest and largest value of each plane over them is what
            its eight bits span.
        seed: of rounding weights at random, for a network that began as an int8 file; None rounds to the nearest.
    """
    with tempfile.TemporaryDirectory() as folder:
        merged = Path(folder) / "merged.onnx"
        # Merges each batch normalisation into its convolution.
        quant_pre_process(fp32, merged, skip_symbolic_shape=True)
        if seed is not None:
            onnx.save(_dither(onnx.load(merged), seed), merged)
        root_level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)
        try:
            quantize_static(
                merged,
                int8,
                _Pictures(pictures),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                nodes_to_exclude=_after_last_convolution(merged),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
                extra_options={"CalibStridedMinMax": 1},
            )
        finally:
            logging.getLogger().setLevel(root_level)


def _dither(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Shift each weight by up to half a step, evenly, so that rounding to the nearest becomes rounding at random."""
    generator = np.random.default_rng(seed)
    weights = {node.input[1] for node in model.graph.node if node.op_type == "Conv"}
    for constant in model.graph.initializer:
        if constant.name in weights:
            weight = numpy_helper.to_array(constant)
            largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
            shift = (generator.random(weight.shape, np.float32) - np.float32(0.5)) * (largest / _STEPS)
            # The largest stays as it is, or every step of its channel would become another.
            shifted = np.where(np.abs(weight) < largest, np.clip(weight + shift, -largest, largest), weight)
            constant.CopyFrom(numpy_helper.from_array(shifted, constant.name))
    return model


def _after_last_convolution(path: Path) -> list[str]:
    """Names of what follows the UNet; a sum of exponentials in eight bits is nothing but its largest."""
    nodes = onnx.load(path).graph.node
    last = max(index for index, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for node in nodes[last + 1 :]]
