"""From the values that a DICOM file stores to the grey values that a display shows (PS3.4, N.2).

Rescale or modality LUT, then VOI LUT or the first window, then the inversion of MONOCHROME1. pydicom's own functions
wrap what a table of 8 bits is looked up by, and invert a window where the slope is negative.
"""

import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import numpy as np
from pydicom import Dataset

from service.radiograph.grey import scale_table
from service.radiograph.radiograph import Decoded

_WINDOWS_OF_ANY_WIDTH: Final = ("SIGMOID", "LINEAR_EXACT")

_MOST_TABLE_ENTRIES: Final = 1 << 16
"""For which a table's descriptor says 0 (PS3.3, C.11.1.1.1)."""


def display(stored: Decoded, dataset: Dataset, *, lossy: bool) -> Decoded:
    """Grey values as displayed: `uint8` up to 8 bits stored, else `uint16` over the range that the content fills.

    Args:
        stored: `(rows, columns)`.
        dataset: has the elements that describe grey values, as many as the file holds.
        lossy: whether compression may have changed the values.
    """
    bits, signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    if not signed and bits < stored.dtype.itemsize * 8:
        most = stored.dtype.type((1 << bits) - 1)
        # Old files keep overlays in the bits above, but lossy compression shoots over the brightest value.
        stored = np.minimum(stored, most) if lossy else stored & most
    if bits <= 8:
        low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    else:
        low, high = int(stored.min()), int(stored.max())
    shown = _apply_look_up(np.arange(low, high + 1, dtype=np.int32), dataset)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = -shown
    if dataset.get("PixelPaddingValue") not in (None, ""):
        content = stored[stored != np.int64(dataset.PixelPaddingValue).astype(stored.dtype)]
        if content.size:
            of_content = shown[int(content.min()) - low : int(content.max()) - low + 1]
            shown = shown.clip(of_content.min(), of_content.max())
    table = scale_table(shown, np.uint8 if bits <= 8 else np.uint16)
    if table.dtype == stored.dtype == np.uint8 and np.array_equal(table, np.arange(256)):
        return stored
    # The difference wraps within the stored width, which is what makes it an unsigned index.
    index = (stored - stored.dtype.type(low)).view(f"u{stored.dtype.itemsize}")
    grey: Decoded = table[index]
    return grey


def _apply_look_up(values: Decoded, dataset: Dataset) -> Decoded:
    """Values as displayed, but for their range: by table, else by slope or window."""
    rescaled = _apply_first(values, dataset, partial(_look_up, keyword="ModalityLUTSequence"), _rescale)
    return _apply_first(rescaled, dataset, partial(_look_up, keyword="VOILUTSequence"), _window)


def _apply_first(values: Decoded, dataset: Dataset, *steps: Callable[[Decoded, Dataset], Decoded]) -> Decoded:
    """What the first step gives that is there and shows something; `values` where none does."""
    for step in steps:
        # A slope without a number or a table too short is as good as none, and the picture is whole without it.
        with suppress(Exception):
            shown = np.asarray(step(values, dataset), np.float64)
            if np.ptp(shown) > 0:
                return shown
    return np.asarray(values, np.float64)


def _look_up(values: Decoded, dataset: Dataset, keyword: str) -> Decoded:
    """Values by the first table of a sequence."""
    table = dataset[keyword].value[0]
    order = "<" if dataset.original_encoding[1] else ">"
    # A table that begins below zero is of values that do.
    descriptor = struct.Struct(f"{order}H{'h' if values.min() < 0 else 'H'}")
    count, first = descriptor.unpack_from(table.get_item("LUTDescriptor").value)
    count = count or _MOST_TABLE_ENTRIES
    data = table.get_item("LUTData").value
    # Entries of 8 bits stand in words of their own, or two in one (PS3.3, C.11.1.1.1).
    entries = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * count else np.uint8, count)
    index = np.rint(values - first).clip(0, count - 1).astype(np.intp)
    looked_up: Decoded = entries[index]
    return looked_up


def _rescale(values: Decoded, dataset: Dataset) -> Decoded:
    return values * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def _window(values: Decoded, dataset: Dataset) -> Decoded:
    """Values by the first window (PS3.3, C.11.2.1.2)."""
    center, width = (float(np.atleast_1d(dataset[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
    function = dataset.get("VOILUTFunction")
    if width <= 0 or (width < 1 and function not in _WINDOWS_OF_ANY_WIDTH):
        raise ValueError("a window without width")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return ((values - center) / width).clip(-0.5, 0.5)
    # One pixel value wide: a step.
    return ((values - center + 0.5) / max(width - 1, 1e-6)).clip(-0.5, 0.5)
