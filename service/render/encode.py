"""Pictures to files: PNG and JPEG, by the fastest encoder that keeps the size sane."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

_JPEG_QUALITY: Final = 90

_PNG: Final = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
]
"""Masks are runs of one value: run lengths alone pack them almost as well as a search for matches."""


def encode_png(picture: npt.NDArray[np.uint8]) -> bytes:
    """A PNG file of a grey `(height, width)` or RGB `(height, width, 3)` picture."""
    ordered = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", ordered, _PNG)
    return encoded.tobytes()


def encode_jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    """A JPEG file, quality 90 with halved chroma, of an RGB `(height, width, 3)` picture."""
    encoded: bytes = simplejpeg.encode_jpeg(picture, quality=_JPEG_QUALITY, colorspace="RGB", colorsubsampling="420")
    return encoded
