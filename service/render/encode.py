"""Pictures to files: PNG and JPEG, by the fastest encoder that keeps the size sane."""

import struct
from typing import Final, Literal

import cv2
import simplejpeg
from isal import isal_zlib

from service.parallel import both
from service.render.draw import Overlay
from service.segmentation import Picture

OverlayFormat = Literal["jpeg", "png"]

_JPEG_QUALITY: Final = 90

_PICTURE: Final = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
]
"""One filter for all rows, half the time of choosing one for each, and no larger a file."""

_SQUARE: Final = 16
"""Pixels along a side of JPEG's unit, where colour is kept at half the size."""

_MOST_SQUARES: Final = 0xFFFF
"""As many as a JPEG file can tell to lie between two marks at which its coding starts anew."""

_START_OF_FRAME, _START_OF_SCAN, _RESTART_INTERVAL, _RESTART = 0xC0, 0xDA, 0xDD, 0xD0
"""JPEG's markers (ITU-T T.81, table B.1): what a baseline picture's size is told in, and where its coded data begin."""

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY_OF_8_BITS: Final = bytes((8, 0, 0, 0, 0))
"""Bits of a sample, colour type, and the only compression, filter method and interlace (PNG, 11.2.1)."""

_QUICKEST: Final = 1
"""ISA-L's level at which it looks for runs at all; none of its others makes masks notably smaller."""


def encode_png(picture: Picture) -> bytes:
    """A PNG file of a grey `(height, width)` or RGB `(height, width, 3)` picture."""
    if picture.ndim == 3:
        return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _PICTURE)[1].tobytes()
    height, width = picture.shape
    # A byte before each row says that it is not filtered: masks are runs of one value, packed in no time as they are.
    rows = cv2.copyMakeBorder(picture, 0, 0, 1, 0, cv2.BORDER_CONSTANT, value=0)
    header = struct.pack(">II", width, height) + _GREY_OF_8_BITS
    compressed = isal_zlib.compress(rows.data, _QUICKEST)
    return b"".join((_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", compressed), *_chunk(b"IEND", b"")))


def encode_jpeg(picture: Picture) -> bytes:
    """A JPEG file, quality 90 with halved chroma, of an RGB `(height, width, 3)` picture."""
    encoded: bytes = simplejpeg.encode_jpeg(picture, quality=_JPEG_QUALITY, colorspace="RGB", colorsubsampling="420")
    return encoded


def encode_overlay(overlay: Overlay, overlay_format: OverlayFormat) -> bytes:
    """A file of an overlay; as JPEG, of the same quality as `encode_jpeg` gives, from the planes as they are."""
    if overlay_format == "png":
        return encode_png(overlay.to_rgb())
    height, width = overlay.height, overlay.width

    def encode_rows(first: int, after: int) -> bytes:
        of_colour = slice(first // 2, after // 2)
        planes = overlay.luma[first:after], overlay.blue[of_colour], overlay.red[of_colour]
        encoded: bytes = simplejpeg.encode_jpeg_yuv_planes(*planes, quality=_JPEG_QUALITY)
        return encoded

    rows = -(-height // (2 * _SQUARE))
    middle, squares = rows * _SQUARE, rows * -(-width // _SQUARE)
    if middle >= height or squares > _MOST_SQUARES:
        return _declare_size(encode_rows(0, len(overlay.luma)), height, width)
    upper, lower = both(lambda: encode_rows(0, middle), lambda: encode_rows(middle, len(overlay.luma)))
    return _join(_declare_size(upper, height, width), lower, squares)


def _join(upper: bytes, lower: bytes, squares: int) -> bytes:
    """The file of a picture from the files of its upper and its lower part: coding starts anew after so many squares.

    Both have the same tables. The size that the upper one declares is that of the whole (ITU-T T.81, B.2.4.4).
    """
    scan, scan_of_lower = _find(upper, _START_OF_SCAN), _find(lower, _START_OF_SCAN)
    header_of_scan = 2 + int.from_bytes(lower[scan_of_lower + 2 : scan_of_lower + 4])
    interval = struct.pack(">BBHH", 0xFF, _RESTART_INTERVAL, 4, squares)
    coded = memoryview(lower)[scan_of_lower + header_of_scan :]
    return b"".join((upper[:scan], interval, upper[scan:-2], bytes((0xFF, _RESTART)), coded))


def _declare_size(jpeg: bytes, height: int, width: int) -> bytes:
    """The same file as one of a picture of another size, such as one whose last row is not shown (T.81, B.2.2)."""
    position = _find(jpeg, _START_OF_FRAME)
    return jpeg[: position + 5] + struct.pack(">HH", height, width) + jpeg[position + 9 :]


def _find(jpeg: bytes, marker: int) -> int:
    """Where the first segment with a marker begins."""
    position = 2
    while jpeg[position + 1] != marker:
        position += 2 + int.from_bytes(jpeg[position + 2 : position + 4])
    return position


def _chunk(name: bytes, body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    checksum = isal_zlib.crc32(body, isal_zlib.crc32(name))
    return struct.pack(">I", len(body)), name, body, struct.pack(">I", checksum)
