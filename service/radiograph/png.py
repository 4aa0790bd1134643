"""PNG: the chunks are checked to the last, and only those that make the picture are handed to the decoder."""

import struct
from dataclasses import dataclass

import cv2
import numpy as np
from isal import isal_zlib

from service.errors import DamagedImage, UnsupportedFormat
from service.radiograph.grey import orient, read_orientation, spread, to_grey
from service.radiograph.png_rows import can_undo, undo_filters
from service.radiograph.radiograph import Decoded, Limits, Radiograph

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PICTURE_CHUNKS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_MOST_CHUNKS = 100_000
"""Encoders put some KiB into a chunk; a file of more chunks than this is made to keep a reader busy."""

_PHOTOMETRIC = {0: "MONOCHROME2", 2: "RGB", 3: "PALETTE COLOR", 4: "MONOCHROME2", 6: "RGB"}
_IHDR = struct.Struct(">4sIIBBBBB")

_GREY = 0
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PLAIN_METHODS = (0, 0, 0)
"""Of compression and filtering the only ones there are, and no interlace."""

_PROBE = 1 << 14
"""Bytes of the compressed stream that are inflated to see how the first rows are filtered."""

_PIECE = 1 << 14
"""Bytes of the compressed stream that are inflated at a time where what they hold is counted alone."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What a PNG file declares of its picture (PNG, 11.2.1)."""

    width: int
    height: int
    bits: int
    colour_type: int
    methods: tuple[int, int, int]

    @property
    def bytes_a_pixel(self) -> int:
        """At most, where several pixels share one."""
        return _CHANNELS[self.colour_type] * max(1, self.bits // 8)


@dataclass(frozen=True, slots=True)
class _Chunks:
    """What is needed of a PNG file: the picture's own chunks, each whole, and how the picture is to be turned."""

    picture: tuple[memoryview, ...]
    orientation: int

    @property
    def compressed(self) -> bytes:
        """The stream that the IDAT chunks hold together."""
        return b"".join(chunk[8:-4] for chunk in self.picture if bytes(chunk[4:8]) == b"IDAT")

    @property
    def are_plain(self) -> bool:
        """Whether nothing but the stream stands between the header and the end."""
        return {bytes(chunk[4:8]) for chunk in self.picture[1:-1]} == {b"IDAT"}


def decode_png(data: bytes, limits: Limits) -> Radiograph:
    """Decode a PNG file; raises as `service.radiograph.decode.decode` says."""
    header = _read_header(data)
    limits.check(header.width, header.height)
    chunks = _read_chunks(data)
    decoded = _decode_plain_grey(header, chunks)
    if decoded is None:
        _refuse_endless(chunks.compressed, 2 * header.height * (1 + header.width * header.bytes_a_pixel))
        decoded = _decode_any(chunks)
    grey, colourfulness = to_grey(decoded)
    pixels = orient(spread(grey), chunks.orientation)
    photometric = _PHOTOMETRIC[header.colour_type]
    return Radiograph(pixels, "png", header.bits, photometric, colourfulness=colourfulness)


def _decode_plain_grey(header: _Header, chunks: _Chunks) -> Decoded | None:
    """Grey values of whole bytes, where their rows' filters are such as can be undone fast; else None.

    Capture software writes such files. ISA-L takes half of zlib's time, and `undo_filters` less than libpng.
    """
    plain = header.colour_type == _GREY and header.bits in (8, 16) and header.methods == _PLAIN_METHODS
    if not plain or not chunks.are_plain:
        return None
    bytes_a_pixel = header.bits // 8
    row = 1 + header.width * bytes_a_pixel
    compressed = chunks.compressed
    beginning = isal_zlib.decompressobj().decompress(compressed[:_PROBE], row * header.height)
    if not can_undo(beginning, row):
        return None
    stream = isal_zlib.decompressobj()
    samples = stream.decompress(compressed, row * header.height + 1)
    # A stream that is not as it should be is left to the stricter eyes of libpng.
    if len(samples) != row * header.height or not stream.eof or not can_undo(samples, row):
        return None
    return undo_filters(samples, header.height, header.width, bytes_a_pixel)


def _refuse_endless(compressed: bytes, most: int) -> None:
    """Refuse a stream that holds more than `most` bytes: libpng inflates to the end whatever follows the picture.

    In pieces, of which each inflates to a thousand times its size at most, and none is kept.
    """
    stream, length = isal_zlib.decompressobj(), 0
    for start in range(0, len(compressed), _PIECE):
        try:
            length += len(stream.decompress(compressed[start : start + _PIECE]))
        except isal_zlib.IsalError:  # type: ignore[misc] # libpng stops there too, and says so
            return
        if length > most:
            raise DamagedImage("The PNG file holds more than the picture that it declares; export it again.")


def _decode_any(chunks: _Chunks) -> Decoded:
    """A picture of any kind, by OpenCV: it reads faster than Pillow, and keeps 16-bit colour."""
    file = b"".join((_SIGNATURE, *chunks.picture))
    decoded: Decoded | None = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    # It gives no picture where the data end too early.
    if decoded is None:
        raise DamagedImage("The PNG file's compressed data are damaged; send the whole file, or export it again.")
    return decoded


def _read_header(data: bytes) -> _Header:
    if not data.startswith(_SIGNATURE):
        raise DamagedImage("The PNG file's signature is damaged, as by a transfer in text mode; send it as binary.")
    name, width, height, bits, colour_type, *methods = _IHDR.unpack_from(data, 12)
    crc = isal_zlib.crc32(data[12:29])
    if name != b"IHDR" or crc != int.from_bytes(data[29:33]) or colour_type not in _PHOTOMETRIC:
        raise DamagedImage("The PNG file's header is damaged; send the whole file, or export it again.")
    return _Header(width, height, bits, colour_type, tuple(methods))


def _read_chunks(data: bytes) -> _Chunks:
    view = memoryview(data)
    picture: list[memoryview] = []
    orientation, position = 1, len(_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise DamagedImage("The PNG file ends before its picture does; send the whole file.")
        if isal_zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise DamagedImage("A checksum in the PNG file does not fit its data; send the file again.")
        body = view[position + 8 : end - 4]
        if name in _PICTURE_CHUNKS:
            picture.append(view[position:end])
        elif name == b"eXIf":
            orientation = read_orientation(bytes(body))
        elif name == b"acTL" and int.from_bytes(body[:4]) > 1:
            raise UnsupportedFormat("The PNG file is an animation of several frames; send one radiograph in a file.")
        if name == b"IEND":
            return _Chunks(tuple(picture), orientation)
        position = end
    raise DamagedImage("The PNG file is cut into more chunks than a picture needs; export it again.")
