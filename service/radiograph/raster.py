"""TIFF and BMP, whose many kinds Pillow knows; 16-bit colour, which Pillow would cut to 8 bits, goes to OpenCV."""

import io
import struct

import cv2
import numpy as np
from PIL import BmpImagePlugin, Image, TiffImagePlugin

from service.errors import DamagedImage, UnsupportedFormat
from service.radiograph.grey import spread, to_grey
from service.radiograph.radiograph import Decoded, Limits, Radiograph

# Pillow's own limit would override ours, which is held against the declared size before a pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

_BITS_PER_SAMPLE, _PHOTOMETRIC, _TILE_WIDTH, _TILE_HEIGHT = 258, 262, 322, 323
_MINISWHITE = 0
_RUN_LENGTH_CODED = (1, 2)
_OLD_BMP_HEADER = 12

_TIFF_PHOTOMETRIC = {0: "MONOCHROME1", 1: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 5: "CMYK", 6: "YBR_FULL"}
_BMP_PHOTOMETRIC = {"1": "MONOCHROME2", "L": "MONOCHROME2", "P": "PALETTE COLOR"}


def decode_tiff(data: bytes, limits: Limits) -> Radiograph:
    """Decode a TIFF file; raises as `service.radiograph.decode.decode` says."""
    _check_directory(data)
    try:
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    except SyntaxError as error:
        if str(error) == "unknown pixel mode":
            raise UnsupportedFormat("The TIFF file is of a kind that is not taken; send it in 8 or 16 bits.") from None
        raise
    tags = image.tag_v2
    limits.check(*image.size)
    # A decoder sets a whole tile aside, however small the picture.
    if _TILE_WIDTH in tags:
        Limits(limits.max_megapixels, 1).check(int(tags[_TILE_WIDTH]), int(tags[_TILE_HEIGHT]))
    bits = tuple(tags.get(_BITS_PER_SAMPLE, (1,)))
    photometric = int(tags.get(_PHOTOMETRIC, 1))
    if image.mode in ("I", "F"):
        raise UnsupportedFormat("The TIFF file holds signed, 32-bit or fractional values; export it as 16-bit TIFF.")
    if len(bits) > 1 and max(bits) > 8:
        decoded: Decoded | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None:
            raise DamagedImage("The TIFF file's data are damaged; send the whole file, or export it again.")
    else:
        decoded = _to_array(image)
    grey, colourfulness = to_grey(decoded)
    if grey.dtype == np.uint16 and photometric == _MINISWHITE:
        grey = ~grey  # Pillow inverts 8 bits alone.
    name = _TIFF_PHOTOMETRIC.get(photometric, "RGB")
    # Both libraries have turned it as its orientation says.
    return Radiograph(spread(grey), "tiff", max(bits), name, colourfulness=colourfulness)


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
    grey, colourfulness = to_grey(_to_array(image))
    return Radiograph(grey, "bmp", bits, photometric, colourfulness=colourfulness)


def _check_bmp_rows(data: bytes, width: int, height: int) -> None:
    """Refuse a BMP file that ends within its last row, which Pillow lets pass where only padding is missing."""
    (start,) = struct.unpack_from("<I", data, 10)
    (bits,) = struct.unpack_from("<H", data, 24 if data[14] == _OLD_BMP_HEADER else 28)
    if start + (width * bits + 31) // 32 * 4 * height > len(data):
        raise DamagedImage("The BMP file ends before its picture does; send the whole file.")


def _check_directory(data: bytes) -> None:
    """Refuse a TIFF file whose first directory is not whole, or is not its only one."""
    order = "<" if data.startswith(b"II") else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (entries,) = struct.unpack_from(order + "H", data, start)
    (following,) = struct.unpack_from(order + "I", data, start + 2 + 12 * entries)
    if following:
        raise UnsupportedFormat("The TIFF file has several pages; send one radiograph in a file.")


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
