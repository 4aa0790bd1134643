"""JPEG: the header of a stream, and the decoding of a file."""

from dataclasses import dataclass

import simplejpeg

from service.errors import DamagedImage, UnsupportedFormat
from service.radiograph.grey import orient, read_orientation, to_grey
from service.radiograph.radiograph import Limits, Radiograph

_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
"""Start of frame, by process (ITU T.81, table B.1); 0xF7 is JPEG-LS (ITU T.87)."""

_LONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_TAKEN_PROCESSES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
"""Baseline, extended, progressive and lossless; extended and progressive with either entropy coding."""

_MOST_SCANS = 200
"""Progressive encoders write about a dozen; a file of many more is made to keep a decoder busy."""

_PHOTOMETRIC = {"Gray": "MONOCHROME2", "YCbCr": "YBR_FULL", "RGB": "RGB", "CMYK": "CMYK", "YCCK": "CMYK"}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a JPEG or JPEG-LS stream declares before its first scan.

    Attributes:
        process: the second byte of the start-of-frame marker.
        bits: of a sample.
        width, height: in pixels.
        components: colour channels.
        orientation: as EXIF counts it, 1 to 8.
    """

    process: int
    bits: int
    width: int
    height: int
    components: int
    orientation: int


def read_jpeg_header(data: bytes) -> JpegHeader:
    """Read a stream's segments up to its start of frame.

    Raises:
        DamagedImage: the stream ends or goes astray before that.
    """
    orientation, position = 1, 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _LONE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        body = data[position + 4 : position + 2 + int.from_bytes(data[position + 2 : position + 4])]
        if marker in _FRAME_MARKERS and len(body) >= 6:
            height, width = int.from_bytes(body[1:3]), int.from_bytes(body[3:5])
            return JpegHeader(marker, body[0], width, height, body[5], orientation)
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = read_orientation(body)
        position += 4 + len(body)
    raise DamagedImage("The JPEG file's header is damaged; send the whole file, or export it again.")


def decode_jpeg(data: bytes, limits: Limits) -> Radiograph:
    """Decode a JPEG file; raises as `service.radiograph.decode.decode` says."""
    header = read_jpeg_header(data)
    if header.process not in _TAKEN_PROCESSES or header.bits != 8:
        raise UnsupportedFormat(
            "JPEG-LS and JPEG of more than 8 bits are taken in DICOM alone; send the radiograph as PNG or DICOM."
        )
    limits.check(header.width, header.height)
    if data.count(b"\xff\xda") > _MOST_SCANS:
        raise DamagedImage("The JPEG file holds more scans than a picture needs; export it again.")
    colour_space = simplejpeg.decode_jpeg_header(data)[2]
    if header.components == 1:
        grey, colourfulness = simplejpeg.decode_jpeg(data, colorspace="GRAY", strict=True)[..., 0], 0.0
    else:
        grey, colourfulness = to_grey(simplejpeg.decode_jpeg(data, colorspace="BGR", strict=True))
    return Radiograph(
        orient(grey, header.orientation), "jpeg", 8, _PHOTOMETRIC[colour_space], colourfulness=colourfulness
    )
