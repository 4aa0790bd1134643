"""The one door from a file's bytes to a radiograph."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from service.errors import DamagedImage, EmptyUpload, PanosegError
from service.radiograph.dicom import decode_dicom
from service.radiograph.jpeg import decode_jpeg
from service.radiograph.png import decode_png
from service.radiograph.quiet import quiet_libraries
from service.radiograph.radiograph import Format, Limits, Radiograph
from service.radiograph.raster import decode_bmp, decode_tiff
from service.radiograph.sniff import sniff

_DECODERS: Mapping[Format, Callable[[bytes, Limits], Radiograph]] = {
    "png": decode_png,
    "jpeg": decode_jpeg,
    "tiff": decode_tiff,
    "bmp": decode_bmp,
    "dicom": decode_dicom,
}

# The standard library's, which says nothing where nobody asked for a log, as on the command line.
_log: Final = logging.getLogger("panoseg.radiograph")

quiet_libraries()


def decode(data: bytes, limits: Limits) -> Radiograph:
    """Decode a radiograph of any format taken; what the bytes are is read from the bytes alone.

    Safe to call from several threads at once.

    Args:
        data: the whole file.
        limits: held against the size that the file declares, before a pixel is decoded.

    Raises:
        EmptyUpload: no bytes.
        UnsupportedFormat: no known image format, a format or a kind of it that is not taken, or several frames.
        DamagedImage: a format that is known, but does not decode to its end.
        TooManyPixels: a declared size above the limit.
        TooSmall: a side below the limit.
    """
    if not data:
        raise EmptyUpload("The upload holds no bytes; send the radiograph's file.")
    image_format = sniff(data)
    try:
        return _DECODERS[image_format](data, limits)
    except (PanosegError, MemoryError):
        raise
    # Given damaged bytes the libraries raise whatever they stumble over, with text from the file in it: that is why
    # every exception counts here, and why none is handed on as a cause. Its kind alone tells a fault of the library.
    except Exception as error:
        _log.info("damaged image: %s, %s", image_format, type(error).__name__)
        raise DamagedImage(
            f"The {image_format.upper()} file is truncated or damaged and does not decode to its end; "
            "send the whole file, or export it again."
        ) from None
