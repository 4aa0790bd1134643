"""Tells from a file's first bytes which format it is, and names what to send where it is none that is taken."""

from service.errors import UnsupportedFormat
from service.radiograph.radiograph import Format

_TAKEN: tuple[tuple[bytes, Format], ...] = (
    # Shorter than the whole signatures, so that a file cut or altered inside its signature counts as damaged.
    (b"\x89PNG", "png"),
    (b"\xff\xd8", "jpeg"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
)

_BASE64 = "Base64 text instead of the file's own bytes"
_BARE_DICOM = "DICOM without its preamble of 128 bytes and `DICM`"

_NOT_TAKEN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftypavi", "AVIF"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000 without DICOM"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000 without DICOM"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (0, b"II+\0", "BigTIFF"),
    (0, b"MM\0+", "BigTIFF"),
    (0, b"%PDF", "PDF"),
    (0, b"\x1f\x8b", "Gzip"),
    (0, b"PK\x03\x04", "ZIP"),
    (0, b"iVBORw0KGgo", _BASE64),
    (0, b"/9j/", _BASE64),
    (0, b"data:image", "A data: URI instead of the file's own bytes"),
    # A data set from its first element on: of the file's own group, or of the group that identifies the image.
    (0, b"DICM", _BARE_DICOM),
    (0, b"\x02\0\0\0", _BARE_DICOM),
    (0, b"\x08\0\0\0", _BARE_DICOM),
    (0, b"\x08\0\x05\0", _BARE_DICOM),
    (0, b"\x08\0\x08\0", _BARE_DICOM),
    (0, b"\x08\0\x16\0", _BARE_DICOM),
)
"""Offset, signature and name of formats that a technician may send and that are not taken."""

_BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})


def sniff(data: bytes) -> Format:
    """The format of a file.

    Raises:
        UnsupportedFormat: a format that is known and not taken, or none that is known.
    """
    # First, because the 128 bytes before the prefix are free to hold another format's signature (PS3.10, 7.1).
    if data[128:132] == b"DICM":
        return "dicom"
    for signature, image_format in _TAKEN:
        if data.startswith(signature):
            return image_format
    if _is_bmp(data):
        return "bmp"
    for offset, signature, name in _NOT_TAKEN:
        if data.startswith(signature, offset):
            raise UnsupportedFormat(f"{name} is not taken; send the radiograph as PNG, JPEG, TIFF, BMP or DICOM.")
    raise UnsupportedFormat("The file is no image of a known format; send PNG, JPEG, TIFF, BMP or DICOM.")


def _is_bmp(data: bytes) -> bool:
    """Two letters alone begin many a text, so the reserved zeros and the size of the second header must fit too."""
    if not data.startswith(b"BM") or data[6:10].strip(b"\0"):
        return False
    return len(data) < 18 or int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES
