"""Decoded pixels to grey values: colour, alpha, depth and orientation are settled here, alike for every format."""

from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image
from pydicom.pixels.processing import convert_color_space

from service.radiograph.radiograph import Decoded

_ORIENTATION_TAG = 0x0112

_MOST_EXIF = 1 << 16
"""Bytes of an EXIF block that are looked at, as many as JPEG allows; Pillow makes an object of each of its values."""

_BAND = 64
"""Rows that are computed at once: the fractions of a whole picture would take twenty times its memory."""

_COLOUR_SAMPLES = 128
"""Along each side, how many pixels are looked at to tell colour."""


def to_grey(pixels: Decoded) -> tuple[Decoded, float]:
    """The grey values of decoded pixels, alpha composed over black, and the picture's colourfulness.

    Args:
        pixels: `(height, width)`, or `(height, width, channels)` in the order grey, alpha or blue, green, red, alpha.

    Returns:
        `(height, width)` of the same dtype, where blue, green and red are equal exactly their value; and 0..1.
    """
    if pixels.ndim == 2:
        return pixels, 0.0
    channels = pixels.shape[2]
    alpha = pixels[..., -1] if channels in (2, 4) else None
    if channels >= 3:
        # OpenCV's weights for whole numbers sum to one, so that a grey keeps its value.
        grey: Decoded = cv2.cvtColor(pixels, cv2.COLOR_BGRA2GRAY if channels == 4 else cv2.COLOR_BGR2GRAY)
        colourfulness = _colourfulness(pixels)
    else:
        grey, colourfulness = np.ascontiguousarray(pixels[..., 0]), 0.0
    full = np.iinfo(pixels.dtype).max
    if alpha is not None and int(alpha.min()) < full:
        for band in _bands(grey):
            grey[band] = np.rint(grey[band] * (alpha[band] / np.float64(full)))
    return grey, colourfulness


def to_rgb(pixels: Decoded, photometric: str) -> Decoded:
    """Pixels of DICOM's `RGB`, `YBR_FULL` or `YBR_FULL_422` as RGB: `pixels` themselves, changed, where they can be."""
    if photometric == "RGB":
        return pixels
    rgb = pixels if pixels.flags.writeable else np.empty_like(pixels)
    for band in _bands(pixels):
        rgb[band] = convert_color_space(pixels[band], photometric, "RGB")
    return rgb


def spread(pixels: Decoded) -> Decoded:
    """16-bit grey values with the lowest that occurs at 0 and the highest at 65535; 8-bit ones as they are.

    A 16-bit picture of one value becomes black.
    """
    if pixels.dtype == np.uint8:
        return pixels
    low, high = int(pixels.min()), int(pixels.max())
    if (low, high) == (0, 65535):
        return pixels
    return scale_table(np.arange(low, high + 1), np.uint16)[pixels - np.uint16(low)]


def scale_table(values: Decoded, dtype: type[np.uint8] | type[np.uint16]) -> Decoded:
    """Values with the lowest at 0 and the highest at the most that `dtype` holds; all 0 where they are equal."""
    floats = values.astype(np.float64)
    floats -= floats.min()
    return np.rint(floats * (np.iinfo(dtype).max / max(float(floats.max()), 1e-12))).astype(dtype)


def read_orientation(exif: bytes) -> int:
    """The orientation that an EXIF block tells, 1 to 8; 1 (upright) where it tells none or is broken."""
    try:
        block = Image.Exif()
        block.load(exif[:_MOST_EXIF])
        orientation = int(block.get(_ORIENTATION_TAG, 1))
    except Exception:  # Pillow raises anything on a broken block, and the picture is whole without it.
        return 1
    return orientation if 1 <= orientation <= 8 else 1


def orient(pixels: Decoded, orientation: int) -> Decoded:
    """Pixels as they are to be looked at; `orientation` as EXIF and TIFF count it."""
    if orientation >= 5:
        pixels = pixels.T
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _bands(pixels: Decoded) -> Iterator[slice]:
    return (slice(first, first + _BAND) for first in range(0, len(pixels), _BAND))


def _colourfulness(pixels: Decoded) -> float:
    step_y, step_x = (max(1, side // _COLOUR_SAMPLES) for side in pixels.shape[:2])
    sample = pixels[::step_y, ::step_x, :3].astype(np.float32)
    # Film on a light box and photos of a monitor are tinted all over, and no less grey for it.
    means = sample.mean(axis=(0, 1))
    sample *= means.mean() / np.maximum(means, 1e-6)
    return float(np.ptp(sample, axis=2).mean()) / float(np.iinfo(pixels.dtype).max)
