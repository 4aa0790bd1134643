"""Undoes the filters of a grey PNG picture's rows, where each keeps the value or its difference to the left.

Differences to the left alone, or none, are what OpenCV and most capture software write. The other filters (above,
average, Paeth) lean on the row above and are left to libpng.
"""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.radiograph.radiograph import Decoded

_NONE, _LEFT = 0, 1
"""Filter types (PNG, 9.2)."""

_BAND: Final = 200_000
"""Pixels whose running sums, of four bytes each, stay within a core's own cache."""


def can_undo(samples: bytes, row: int) -> bool:
    """Whether the filters of these rows are of the kinds that are known here.

    Args:
        samples: rows, each a byte that tells its filter and the filtered bytes; the last may be cut.
        row: bytes of one.
    """
    filters = np.frombuffer(samples, np.uint8)[::row]
    return bool((filters <= _LEFT).all())


def undo_filters(samples: bytes, height: int, width: int, bytes_a_pixel: int) -> Decoded:
    """Grey values, `(height, width)`, `uint8` or for two bytes a pixel `uint16`.

    Args:
        samples: as `can_undo` takes them, whole.
        bytes_a_pixel: 1 or 2.
    """
    rows = np.frombuffer(samples, np.uint8).reshape(height, 1 + width * bytes_a_pixel)
    filtered = rows[:, 1:].reshape(height, width, bytes_a_pixel)
    values = np.empty_like(filtered)
    step = max(1, _BAND // (width * bytes_a_pixel))
    for top in range(0, height, step):
        _sum_from_the_left(filtered[top : top + step], values[top : top + step])
    unfiltered = rows[:, 0] == _NONE
    if unfiltered.any():
        values[unfiltered] = filtered[unfiltered]
    return values[..., 0] if bytes_a_pixel == 1 else values.view(">u2")[..., 0].astype(np.uint16)


def _sum_from_the_left(filtered: npt.NDArray[np.uint8], values: npt.NDArray[np.uint8]) -> None:
    """Running sums along each row, modulo 256: OpenCV's sum over all above and left, less that of a row before."""
    sums = cv2.integral(filtered).reshape(len(filtered) + 1, -1, filtered.shape[2])
    values[:] = sums[1:, 1:] - sums[:-1, 1:]
