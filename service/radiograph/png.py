"""PNG: the chunks are checked to the last, and only those that make the picture are handed to the decoder."""

import struct
import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from service.errors import DamagedImage, UnsupportedFormat
from service.radiograph.grey import orient, read_orientation, spread, to_grey
from service.radiograph.radiograph import Decoded, Limits, Radiograph

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_MOST_CHUNKS = 100_000
"""Encoders put some KiB into a chunk; a file of more chunks than this is made to keep a reader busy."""

_PHOTOMETRIC = {0: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 4: "MONOCHROME2", 6: "RGB"}
_IHDR = struct.Struct(">4sIIBBBBB")


@dataclass(frozen=True, slots=True)
class _Chunks:
    """What is needed of a PNG file: a file of the picture's own chunks, and how the picture is to be turned."""

    picture: bytes
    orientation: int


def decode_png(data: bytes, limits: Limits) -> Radiograph:
    """Decode a PNG file; raises as `service.radiograph.decode.decode` says."""
    width, height, bits, colour_type = _read_header(data)
    limits.check(width, height)
    chunks = _read_chunks(data)
    # OpenCV reads faster than Pillow, keeps 16-bit colour, and gives no picture where the data end too early.
    decoded: Decoded | None = cv2.imdecode(np.frombuffer(chunks.picture, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise DamagedImage("The PNG file's compressed data are damaged; send the whole file, or export it again.")
    grey, colourfulness = to_grey(decoded)
    pixels = orient(spread(grey), chunks.orientation)
    return Radiograph(pixels, "png", bits, _PHOTOMETRIC[colour_type], colourfulness=colourfulness)


def _read_header(data: bytes) -> tuple[int, int, int, int]:
    """Declared width, height, bits of a sample and colour type."""
    if not data.startswith(_SIGNATURE):
        raise DamagedImage("The PNG file's signature is damaged, as by a transfer in text mode; send it as binary.")
    name, width, height, bits, colour_type, *_ = _IHDR.unpack_from(data, 12)
    if name != b"IHDR" or zlib.crc32(data[12:29]) != int.from_bytes(data[29:33]) or colour_type not in _PHOTOMETRIC:
        raise DamagedImage("The PNG file's header is damaged; send the whole file, or export it again.")
    return width, height, bits, colour_type


def _read_chunks(data: bytes) -> _Chunks:
    view = memoryview(data)
    picture: list[bytes | memoryview] = [_SIGNATURE]
    orientation, position = 1, len(_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise DamagedImage("The PNG file ends before its picture does; send the whole file.")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise DamagedImage("A checksum in the PNG file does not fit its data; send the file again.")
        body = view[position + 8 : end - 4]
        if name in _PICTURE_CHUNKS:
            picture.append(view[position:end])
        elif name == b"eXIf":
            orientation = read_orientation(bytes(body))
        elif name == b"acTL" and int.from_bytes(body[:4]) > 1:
            raise UnsupportedFormat("The PNG file is an animation of several frames; send one radiograph in a file.")
        if name == b"IEND":
            return _Chunks(b"".join(picture), orientation)
        position = end
    raise DamagedImage("The PNG file is cut into more chunks than a picture needs; export it again.")
