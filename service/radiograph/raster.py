"""TIFF and BMP, whose many kinds Pillow knows; 16-bit colour, which Pillow would cut to 8 bits, goes to OpenCV."""

import io
import struct
from collections.abc import Mapping

import cv2
import numpy as np
from PIL import BmpImagePlugin, Image, ImageOps, ImagePalette, TiffImagePlugin

from service.errors import DamagedImage, UnsupportedFormat
from service.radiograph.grey import spread, to_grey
from service.radiograph.radiograph import Decoded, Limits, Radiograph

# Pillow's own limit would override ours, which is held against the declared size before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

_WIDTH, _HEIGHT, _BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES, _PLANES = 273, 277, 278, 279, 284
_COLOUR_MAP = 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 322, 323, 324, 325, 338, 339
_SEPARATE_PLANES = 2
_SHORTEST_TILE_SIDE = 16
_NUMBERS = {3: "H", 4: "I"}
"""The kinds of whole numbers of which sizes may be (TIFF 6.0, section 2), as `struct` knows them."""

_BYTES = (1, 2, 7)
"""Kinds of values that Pillow keeps as they are: it makes an object of each value of any other."""

_MOST_VALUES = 1 << 18
"""Of all tags together, strips and tiles aside; a 16-bit picture's transfer function alone has up to 3 x 65,536."""

_MINISWHITE, _RGB = 0, 2
_UNASSOCIATED_ALPHA = 2
_SIGNED = 2
_RUN_LENGTH_CODED = (1, 2)
_OLD_BMP_HEADER = 12

_OTHER_KIND = "The TIFF file is of a kind that is not taken; send it as PNG."

_TIFF_PHOTOMETRIC = {0: "MONOCHROME1", 1: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 5: "CMYK", 6: "YBR_FULL"}
_BMP_PHOTOMETRIC = {"1": "MONOCHROME2", "L": "MONOCHROME2", "P": "PALETTE COLOR"}


def decode_tiff(data: bytes, limits: Limits) -> Radiograph:
    """Decode a TIFF file; raises as `service.radiograph.decode.decode` says."""
    _check_directory(data, limits)
    try:
        image = _TiffFile(io.BytesIO(data))
    except SyntaxError as error:
        if str(error) == "unknown pixel mode":
            raise UnsupportedFormat(_OTHER_KIND) from None
        raise
    tags = image.tag_v2
    # A decoder sets a whole tile aside, however small the picture.
    if _TILE_WIDTH in tags:
        Limits(limits.max_megapixels, 1).check(int(tags[_TILE_WIDTH]), int(tags[_TILE_HEIGHT]))
    bits = tuple(tags.get(_BITS_PER_SAMPLE, (1,)))
    photometric = int(tags.get(_PHOTOMETRIC, 1))
    if image.mode in ("I", "F") or _SIGNED in tags.get(_SAMPLE_FORMAT, ()):
        raise UnsupportedFormat(
            "The TIFF file holds signed, 32-bit or fractional values; export it as PNG, or as unsigned 16-bit TIFF."
        )
    if image.mode == "P" and max(tags[_COLOUR_MAP]) < 256:
        # Old writers give colours of 8 bits; libtiff takes them as such, Pillow for black.
        image.palette = ImagePalette.raw("RGB;L", bytes(tags[_COLOUR_MAP]))
    is_deep_colour = len(bits) > 1 and max(bits) > 8
    decoded = _read_deep_colour(data, tags, photometric) if is_deep_colour else _to_array(image)
    grey, colourfulness = to_grey(decoded)
    if grey.dtype == np.uint16 and photometric == _MINISWHITE:
        grey = ~grey  # Pillow inverts 8 bits alone.
    name = _TIFF_PHOTOMETRIC.get(photometric, "RGB")
    # Both libraries have turned it as its orientation says.
    return Radiograph(spread(grey), "tiff", max(bits), name, colourfulness=colourfulness)


def _read_deep_colour(data: bytes, tags: TiffImagePlugin.ImageFileDirectory_v2, photometric: int) -> Decoded:
    # OpenCV takes the first of several planes for the whole picture.
    if photometric != _RGB or tags.get(_PLANES) == _SEPARATE_PLANES:
        raise UnsupportedFormat(_OTHER_KIND)
    decoded: Decoded | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DamagedImage("The TIFF file's data are damaged; send the whole file, or export it again.")
    # It takes any fourth sample for alpha. Colours are multiplied by an associated alpha already.
    return decoded if _UNASSOCIATED_ALPHA in tags.get(_EXTRA_SAMPLES, ()) else decoded[..., :3]


def decode_bmp(data: bytes, limits: Limits) -> Radiograph:
    """Decode a BMP file; raises as `service.radiograph.decode.decode` says."""
    try:
        image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    except OSError as error:
        if str(error).startswith("Unsupported BMP"):
            raise UnsupportedFormat("The BMP file is of a kind that is not taken; send it as PNG.") from None
        raise
    limits.check(*image.size)
    if image.info.get("compression") in _RUN_LENGTH_CODED:
        raise UnsupportedFormat("A BMP file with run-length compression is not taken; send it uncompressed or as PNG.")
    _check_bmp_rows(data, *image.size)
    photometric = _BMP_PHOTOMETRIC.get(image.mode, "RGB")
    bits = 1 if image.mode == "1" else 8
    decoded = _to_array(image)
    if image.mode == "RGBA" and not decoded[..., 3].any():
        # Some writers declare an alpha mask and never fill it; nobody sends a picture that is transparent all over.
        decoded = decoded[..., :3]
    grey, colourfulness = to_grey(decoded)
    return Radiograph(grey, "bmp", bits, photometric, colourfulness=colourfulness)


def _check_bmp_rows(data: bytes, width: int, height: int) -> None:
    """Refuse a BMP file that ends within its last row, which Pillow lets pass where only padding is missing."""
    (start,) = struct.unpack_from("<I", data, 10)
    (bits,) = struct.unpack_from("<H", data, 24 if data[14] == _OLD_BMP_HEADER else 28)
    if start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise DamagedImage("The BMP file ends before its picture does; send the whole file.")


class _TiffFile(TiffImagePlugin.TiffImageFile):
    """A TIFF file of which Pillow reads no more than the picture: not the directories of EXIF and GPS, to their end."""

    def load_end(self) -> None:
        """Turn the picture as its orientation says."""
        ImageOps.exif_transpose(self, in_place=True)


def _check_directory(data: bytes, limits: Limits) -> None:
    """Refuse a TIFF file by its first directory: one not whole, not the only one, or of more than a picture needs.

    Pillow makes an object of all that a directory lists, and decodes every strip and tile, however small the picture.
    """
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, start)
    (following,) = struct.unpack_from(order + "I", data, start + 2 + 12 * entries)
    if following:
        raise UnsupportedFormat("The TIFF file has several pages; send one radiograph in a file.")
    numbers: dict[int, int] = {}
    pieces: dict[int, int] = {}
    values = 0
    for position in range(start + 2, start + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", data, position)
        if tag in (_STRIPS, _TILES):
            pieces[tag] = max(count, pieces.get(tag, 0))
        elif tag == _BITS_PER_SAMPLE or (tag not in (_STRIP_SIZES, _TILE_SIZES) and kind not in _BYTES):
            values += count
        is_number = kind in _NUMBERS and count == 1
        # Pillow takes the first of several entries, too.
        (number,) = struct.unpack_from(order + _NUMBERS[kind], data, position + 8) if is_number else (0,)
        numbers.setdefault(tag, number)
    limits.check(numbers.get(_WIDTH, 0), numbers.get(_HEIGHT, 0))
    if numbers.get(_COMPRESSION, 1) not in TiffImagePlugin.COMPRESSION_INFO:
        raise UnsupportedFormat(_OTHER_KIND)
    strips, tiles = _pieces_needed(numbers)
    if pieces.get(_STRIPS, 0) > strips or pieces.get(_TILES, 0) > tiles or values > _MOST_VALUES:
        raise DamagedImage("The TIFF file lists more than a picture of its size needs; export it again.")


def _pieces_needed(numbers: Mapping[int, int]) -> tuple[int, int]:
    """How many strips a picture needs, or how many tiles, by the numbers in its directory."""
    width, height = numbers[_WIDTH], numbers[_HEIGHT]
    planes = numbers.get(_SAMPLES, 1) if numbers.get(_PLANES) == _SEPARATE_PLANES else 1
    rows = numbers.get(_ROWS_PER_STRIP) or height
    tile_width, tile_height = (max(numbers.get(side, 0), _SHORTEST_TILE_SIDE) for side in (_TILE_WIDTH, _TILE_HEIGHT))
    return planes * -(-height // rows), planes * -(-width // tile_width) * -(-height // tile_height)


def _to_array(image: Image.Image) -> Decoded:
    """Decode what Pillow has opened; orders the channels as `to_grey` wants them."""
    image.load()
    if image.mode in ("L", "LA") or image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    transparent = image.mode in ("RGBA", "PA")
    rgb = np.asarray(image.convert("RGBA" if transparent else "RGB"))
    return cv2.cvtColor(rgb, cv2.COLOR_RGBA2BGRA if transparent else cv2.COLOR_RGB2BGR)
