"""Makes a picture smaller: each pixel becomes the mean of the area that it covers, partly covered pixels included.

It is what OpenCV's INTER_AREA gives, but for the rounding of halves, in about half of its time: the sum over an
area is a difference of sums over all that is above and left (Crow 1984, "Summed-area tables for texture mapping"), and
between whole pixels these sums run straight.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from service.segmentation import Grey

_BAND: Final = 32
"""Rows of the small picture made at once, so that their sums stay within a core's own cache."""

_MOST: Final = (2**31 - 1) // 255
"""Pixels whose sum 32 bits hold, whatever they are."""


def shrink(pixels: Grey, height: int, width: int) -> npt.NDArray[Any]:
    """A picture resized to `(height, width)`, of the same dtype; where a side grows, as OpenCV's INTER_AREA does it."""
    if pixels.dtype != np.uint8 or height > pixels.shape[0] or width > pixels.shape[1]:
        return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    rows, columns = _Edges.between(pixels.shape[0], height), _Edges.between(pixels.shape[1], width)
    # Fewer rows where the sums of a large picture would not be held by their 32 bits.
    step = pixels.shape[0] // height + 1
    band_rows = min(_BAND, int((_MOST // pixels.shape[1] - 2) / step))
    sums = np.empty((band_rows * step + 2, pixels.shape[1] + 1), np.int32)
    total = np.empty((height, width), np.float64)
    for first in range(0, height, band_rows):
        band = rows.part(first, min(first + band_rows, height) + 1)
        top, bottom = band.before[0], band.before[-1] + 1
        above = cv2.integral(pixels[top:bottom], sums[: bottom - top + 1])
        upper = _interpolate_columns(above[band.before - top], columns)
        lower = _interpolate_columns(above[band.before - top + 1], columns)
        until_edge = upper + (lower - upper) * band.past[:, np.newaxis]
        total[first : first + band_rows] = np.diff(np.diff(until_edge, axis=0), axis=1)
    return np.rint(total * (height * width / pixels.size)).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class _Edges:
    """Where the small picture's pixels begin and end along one side of the large one.

    Attributes:
        before: the whole pixels before each edge, at most all but one.
        past: how far each edge is past those, 0..1.
    """

    before: npt.NDArray[np.intp]
    past: npt.NDArray[np.float64]

    @staticmethod
    def between(large: int, small: int) -> "_Edges":
        edges = np.linspace(0, large, small + 1)
        before = np.minimum(edges.astype(np.intp), large - 1)
        return _Edges(before, np.asarray(edges - before, np.float64))

    def part(self, first: int, after: int) -> "_Edges":
        return _Edges(self.before[first:after], self.past[first:after])


def _interpolate_columns(sums: npt.NDArray[np.int32], columns: _Edges) -> npt.NDArray[np.float64]:
    left = np.take(sums, columns.before, axis=1)
    return left + (np.take(sums, columns.before + 1, axis=1) - left) * columns.past
