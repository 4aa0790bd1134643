"""Fits a radiograph to the model: surroundings cut off, resized, grey scale stretched. Training and serving share it.

What capture software, screenshots and prints show around a radiograph (a frame, a name, a viewer's buttons) is cut off,
what is left is stretched to the model's size whatever its aspect ratio (training pictures are themselves squeezed), and
its grey values are stretched so that two fixed percentiles become black and white, which makes the answer the same for
8 and 16 bits and for a flat picture.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from service.model.shrink import shrink
from service.segmentation import Box, Grey, Picture

_GRAIN_SAMPLES = 320
"""Along the longer side, about how many pixels are looked at to find where a picture lies among other things."""

_GRAIN_STEP = 0.012
"""Share of the range by which neighbouring pixels of a radiograph differ nearly everywhere: it has grain."""

_LEAST_GRAIN, _MOST_GRAIN, _FULL_BOX = 0.12, 0.9, 0.75
"""A radiograph among other things takes between so much of the whole, and fills so much of its box."""

_FRAME_SAMPLES = 512
"""Along each side, how many pixels are looked at to find a frame."""

_FRAME_SPREAD = 0.03
"""A line of frame keeps to its colour within this share of the picture's range."""

_LARGEST_FRAME = 0.35
"""A frame that would leave less than this share of a side is no frame but a picture without content."""


_Percentile = Annotated[float, Field(ge=0, le=100)]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a radiograph becomes the model's input; checked where a manifest is read.

    Attributes:
        height, width: of the model's input, in pixels.
        low_percentile, high_percentile: the grey values that become black and white, 0..100.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    height: Annotated[int, Field(gt=0)]
    width: Annotated[int, Field(gt=0)]
    low_percentile: _Percentile
    high_percentile: _Percentile


def fit_to(height: int, width: int) -> Fit:
    """The fit to a model's input of a size, as models are trained with it."""
    return Fit(height, width, low_percentile=0.5, high_percentile=99.5)


@dataclass(frozen=True, slots=True, eq=False)
class ModelInput:
    """A radiograph as the model takes it.

    Attributes:
        pixels: `(height, width)` `uint8`, stretched to the full grey range.
        content: the part of the radiograph that `pixels` shows, in pixels of the radiograph.
        grey_range: the share of the radiograph's own grey scale that lay between the two percentiles, 0..1; near
            1 where it has more than 8 bits, since decoding spreads these over the range that they fill.
    """

    pixels: Picture
    content: Box
    grey_range: float


def prepare(pixels: Grey, fit: Fit) -> ModelInput:
    """Fit a radiograph to the model.

    Args:
        pixels: `(height, width)` `uint8` or `uint16`, bright where the patient is dense.
        fit: what the model wants.
    """
    content = find_content(pixels)
    resized = shrink(pixels[content.index], fit.height, fit.width)
    low, high = np.percentile(resized, (fit.low_percentile, fit.high_percentile))
    return ModelInput(_stretch(resized, low, high), content, float(high - low) / np.iinfo(pixels.dtype).max)


def find_content(pixels: Grey) -> Box:
    """The part of a picture that shows the radiograph; the whole picture where there is nothing around it.

    First the largest piece that has grain, as no text, button or empty page has; then, within it, what lies inside a
    frame of one colour.
    """
    outer = _find_grain(pixels)
    inner = _trim_frame(pixels[outer.index])
    return Box(outer.x + inner.x, outer.y + inner.y, inner.width, inner.height)


def _find_grain(pixels: Grey) -> Box:
    """The box of the largest piece with grain; the whole picture where that is no picture among other things."""
    height, width = pixels.shape
    step = max(1, -(-max(height, width) // _GRAIN_SAMPLES))
    sample: Grey = pixels[::step, ::step].copy()
    change = cv2.morphologyEx(sample, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    grainy = (change > _GRAIN_STEP * (int(sample.max()) - int(sample.min()))).view(np.uint8)
    # Mostly grain around each pixel; then thin things go, such as lines of text, and small holes close.
    mostly = (cv2.blur(grainy * np.uint8(255), (5, 5)) > 127).view(np.uint8)
    square = np.ones((9, 9), np.uint8)
    pieces = cv2.morphologyEx(cv2.morphologyEx(mostly, cv2.MORPH_OPEN, square), cv2.MORPH_CLOSE, square)
    count, _, stats, _ = cv2.connectedComponentsWithStats(pieces)
    whole = Box(0, 0, width, height)
    if count < 2:
        return whole
    x, y, across, down, area = stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())].tolist()
    box = across * down
    if area < _LEAST_GRAIN * sample.size or area < _FULL_BOX * box or box > _MOST_GRAIN * sample.size:
        return whole
    x, y, across, down = (step * side for side in (x, y, across, down))
    return Box(x, y, min(across, width - x), min(down, height - y))


def _trim_frame(pixels: Grey) -> Box:
    """The part of a picture inside a frame of one colour; the whole picture where there is no frame."""
    height, width = pixels.shape
    step_y, step_x = max(1, height // _FRAME_SAMPLES), max(1, width // _FRAME_SAMPLES)
    sample: Grey = pixels[::step_y, ::step_x].copy()
    top, bottom = _inside(sample, step_y, height)
    left, right = _inside(sample[top // step_y : -(-bottom // step_y)].T, step_x, width)
    return Box(left, top, right - left, bottom - top)


def _inside(lines: Grey, step: int, length: int) -> tuple[int, int]:
    """First and one past the last of the picture's lines that are not frame; `lines` is every `step`-th of them."""
    tolerance = _FRAME_SPREAD * (int(lines.max()) - int(lines.min()))
    first, after = _count_frame(lines, tolerance), _count_frame(lines[::-1], tolerance)
    if len(lines) - first - after < _LARGEST_FRAME * len(lines):
        return 0, length
    return first * step, length if after == 0 else (len(lines) - after) * step


def _count_frame(lines: Grey, tolerance: float) -> int:
    """How many lines from the first on are of one colour, that of the first."""
    (colour,) = _percentiles(lines[0], 50)
    for count, line in enumerate(lines):
        low, high = _percentiles(line, 5, 95)
        if low < colour - tolerance or high > colour + tolerance:
            return count
    return len(lines)


def _percentiles(line: Grey, *percentages: float) -> list[float]:
    """As NumPy's, with its linear interpolation, but without what it needs for other dtypes and axes."""
    ordered = np.sort(line)
    percentiles = []
    for percentage in percentages:
        index = percentage / 100 * (len(ordered) - 1)
        below = int(index)
        low, high = float(ordered[below]), float(ordered[min(below + 1, len(ordered) - 1)])
        percentiles.append(low + (index - below) * (high - low))
    return percentiles


def _stretch(pixels: npt.NDArray[np.generic], low: float, high: float) -> Picture:
    """Grey values from `low` to `high` spread over 0..255; a picture of one value becomes black."""
    scale = 255.0 / max(high - low, 1e-6)
    stretched = np.rint((pixels.astype(np.float32) - np.float32(low)) * np.float32(scale))
    return np.asarray(stretched.clip(0, 255), np.uint8)
