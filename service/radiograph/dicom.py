"""DICOM: a single-frame image as its display would show it, bright where the patient is dense."""

import io
import math
import struct

import cv2
import numpy as np
import simplejpeg
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset, read_partial
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import as_pixel_options
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from service.errors import DamagedImage, UnsupportedFormat
from service.radiograph.dicom_display import display
from service.radiograph.grey import spread, to_grey, to_rgb
from service.radiograph.isolated import decode_isolated
from service.radiograph.jpeg import read_jpeg_header
from service.radiograph.radiograph import Decoded, Limits, Radiograph
from service.radiograph.rle import decode_rle

_NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
_JPEG_LS = frozenset(JPEGLSTransferSyntaxes)
_JPEG = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, *_JPEG_LS})
_ONLY_WITH_GDCM = frozenset({JPEGLossless, JPEGLosslessSV1, *_JPEG_LS})
_JPEG_2000 = frozenset({JPEG2000, JPEG2000Lossless})
_LOSSY = frozenset({JPEG2000, JPEGLSNearLossless})
"""Of those that may hold more than 8 bits."""
_TAKEN_SYNTAXES = _NATIVE | _JPEG | _JPEG_2000 | {RLELossless}

_GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
_COLOUR = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})
_CONVERTED = frozenset({"YBR_FULL", "YBR_FULL_422"})
"""To RGB by us; decoders of JPEG 2000 do the others."""

_KEYWORDS = (
    "BitsAllocated",
    "BitsStored",
    "Columns",
    "HighBit",
    "ImagerPixelSpacing",
    "ModalityLUTSequence",
    "NumberOfFrames",
    "PatientOrientation",
    "PhotometricInterpretation",
    "PixelData",
    "PixelPaddingValue",
    "PixelRepresentation",
    "PixelSpacing",
    "PlanarConfiguration",
    "RescaleIntercept",
    "RescaleSlope",
    "Rows",
    "SOPClassUID",
    "SamplesPerPixel",
    "VOILUTFunction",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
)
_TAGS = frozenset(Tag(keyword) for keyword in _KEYWORDS)
_FILE_META_GROUP = 2

_OTHER_SYNTAX = (
    "The DICOM file's transfer syntax is not taken; send it uncompressed, or as RLE, JPEG baseline, "
    "JPEG lossless, JPEG-LS or JPEG 2000."
)

_MOST_ELEMENTS = 10_000
"""Reading takes some microseconds for each; a file of many more is made to keep a reader busy."""

_MOST_PLAIN_BYTES = 1 << 16
"""Of all elements that are read, but for those that may be longer; pydicom makes an object of each of their values."""

_MAY_BE_LONGER = frozenset(Tag(keyword) for keyword in ("ModalityLUTSequence", "PixelData", "VOILUTSequence"))
_LONGER_KINDS = frozenset({None, "OB", "OW", "SQ", "UN"})
"""VRs of what may be longer, none of which pydicom reads as a list of values."""

_READ_ANYWAY = Tag("SpecificCharacterSet")

_NEEDED = (
    "PhotometricInterpretation",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
)
"""Without which nobody can tell what the pixel data mean."""

_ITEM, _ITEM_BIG_ENDIAN = b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00"
_START_OF_CODE_STREAM, _SIZ = b"\xff\x4f\xff\x51", struct.Struct(">8IHB")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_SEQUENCE_DELIMITER = b"\xfe\xff\xdd\xe0"
"""Followed by a length of four bytes (PS3.5, 7.5); no compressed syntax is big-endian."""


def decode_dicom(data: bytes, limits: Limits) -> Radiograph:
    """Decode a DICOM file of one frame; raises as `service.radiograph.decode.decode` says."""
    # Before the data set is read: pydicom would inflate a deflated one whole, whatever its size.
    meta = _read_file_meta(data)
    syntax = str(meta.get("TransferSyntaxUID") or "")
    if not syntax:
        raise DamagedImage("The DICOM file's header does not tell its transfer syntax; export it again.")
    if syntax not in _TAKEN_SYNTAXES:
        raise UnsupportedFormat(_OTHER_SYNTAX)
    dataset = _read_data_set(data, syntax)
    _refuse_what_is_no_image(dataset, meta)
    _refuse_what_tells_too_little(dataset)
    photometric, bits = str(dataset.PhotometricInterpretation), int(dataset.BitsStored)
    _refuse_other_kinds(dataset, syntax, photometric, bits)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    limits.check(columns, rows)
    _check_pixel_data(dataset, data)
    stored = _read_stored(dataset, syntax, rows, columns)
    colourfulness = 0.0
    if photometric in _GREY:
        grey = display(stored, dataset, lossy=syntax in _LOSSY)
    else:
        grey, colourfulness = to_grey(cv2.cvtColor(stored, cv2.COLOR_RGB2BGR))
        grey = spread(grey)
    return Radiograph(grey, "dicom", bits, photometric, _read_spacing(dataset), colourfulness, _is_mirrored(dataset))


def _read_file_meta(data: bytes) -> Dataset:
    file = io.BytesIO(data)
    file.seek(132)
    return read_dataset(file, False, True, stop_when=_Elements(of_group=_FILE_META_GROUP))


def _read_data_set(data: bytes, syntax: str) -> Dataset:
    """The elements that the picture needs; those of the patient are passed over unread."""
    if data.count(_ITEM_BIG_ENDIAN if syntax == ExplicitVRBigEndian else _ITEM) > _MOST_ELEMENTS:
        raise DamagedImage("The DICOM file holds more sequence items than an image has; send the image object alone.")
    return read_partial(io.BytesIO(data), stop_when=_Elements(), specific_tags=list(_TAGS))


class _Elements:
    """Told of each element before it is read; stops at the end of a group, and where there are too many or too long."""

    def __init__(self, of_group: int | None = None) -> None:
        self._of_group = of_group
        self._seen = 0
        self._plain_bytes = 0

    def __call__(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        self._seen += 1
        if self._seen > _MOST_ELEMENTS:
            raise DamagedImage("The DICOM file holds more elements than an image has; send the image object alone.")
        is_read = tag.group == _FILE_META_GROUP or tag == _READ_ANYWAY or tag in _TAGS
        may_be_longer = tag in _MAY_BE_LONGER and vr in _LONGER_KINDS
        if is_read and not may_be_longer:
            self._plain_bytes += length
        if self._plain_bytes > _MOST_PLAIN_BYTES:
            raise DamagedImage("The DICOM file's header holds far longer values than an image has; export it again.")
        return self._of_group is not None and tag.group != self._of_group


def _refuse_what_is_no_image(dataset: Dataset, meta: Dataset) -> None:
    """Refuse a report, a document or a directory, each of which is whole without a picture."""
    # Of a directory, the file's own header alone tells the kind.
    kind = UID(str(dataset.get("SOPClassUID") or meta.get("MediaStorageSOPClassUID") or ""))
    is_known = kind.name != kind
    if "PhotometricInterpretation" not in dataset and is_known and "Image" not in kind.name:
        raise UnsupportedFormat(
            "The DICOM file is no image but a report, document or directory; send the image object."
        )


def _refuse_what_tells_too_little(dataset: Dataset) -> None:
    for keyword in _NEEDED:
        if dataset.get(keyword) in (None, ""):
            raise DamagedImage(
                f"The DICOM file does not tell its {keyword}, or ends before it does; send the whole image object."
            )


def _refuse_other_kinds(dataset: Dataset, syntax: str, photometric: str, bits: int) -> None:
    if syntax == JPEGExtended12Bit and bits > 8:
        raise UnsupportedFormat(_OTHER_SYNTAX)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise UnsupportedFormat("The DICOM file has several frames; send one radiograph in a file.")
    samples = int(dataset.SamplesPerPixel)
    if (photometric, samples) not in {*((name, 1) for name in _GREY), *((name, 3) for name in _COLOUR)}:
        raise UnsupportedFormat("The DICOM file is neither a grey nor an RGB or YBR picture; send one that is.")
    if int(dataset.BitsAllocated) not in (8, 16) or not 0 < bits <= int(dataset.BitsAllocated):
        raise UnsupportedFormat("The DICOM file's pixels are neither of 8 nor of 16 bits; send one of these.")
    if dataset.get("HighBit") not in (None, bits - 1):
        # Retired (PS3.5, 8.1.1), and the decoders would read the lowest bits all the same.
        raise UnsupportedFormat("The DICOM file's pixels are not in the lowest bits of their words; export it again.")


def _check_pixel_data(dataset: Dataset, data: bytes) -> None:
    """Refuse pixel data that are missing or cut, which pydicom itself lets pass where few bytes are missing."""
    element = dataset.get_item("PixelData")
    if element is None or not element.value:
        raise DamagedImage("The DICOM file holds no pixel data, or ends before they do; send the whole image object.")
    if isinstance(element, RawDataElement) and element.length != _UNDEFINED_LENGTH:
        complete = len(element.value) == element.length
    else:
        complete = data.rfind(_SEQUENCE_DELIMITER) + 8 <= len(data)
    if not complete:
        raise DamagedImage("The DICOM file ends before its pixel data do; send the whole file.")


def _read_stored(dataset: Dataset, syntax: str, rows: int, columns: int) -> Decoded:
    """The stored values, `(rows, columns)`, or `(rows, columns, 3)` as RGB."""
    if syntax in _NATIVE:
        return _decode_with_pydicom(dataset, syntax)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if syntax == RLELossless:
        return decode_rle(frame, dataset, rows, columns)
    samples, signed = int(dataset.SamplesPerPixel), bool(dataset.PixelRepresentation)
    width, height, channels, bits = _read_stream_shape(frame, syntax)
    # The decoders set aside what the stream declares, not what the data set does.
    if (width, height, channels) != (columns, rows, samples) or bits > int(dataset.BitsAllocated):
        raise DamagedImage("The DICOM file declares another shape than its compressed picture has; export it again.")
    if syntax in _JPEG - _JPEG_LS and samples == 1 and bits == 8:
        stored: Decoded = simplejpeg.decode_jpeg(frame, colorspace="GRAY", strict=True)[..., 0]
        return stored.view(np.int8) if signed else stored
    if syntax in _ONLY_WITH_GDCM:
        return decode_isolated(frame, dataset, syntax, bits)
    return _decode_with_pydicom(dataset, syntax, "pillow")


def _decode_with_pydicom(dataset: Dataset, syntax: str, plugin: str = "") -> Decoded:
    options = as_pixel_options(dataset, as_rgb=False)
    stored, properties = get_decoder(syntax).as_array(dataset, decoding_plugin=plugin, **options)
    # As the decoder found it, which may be another than the data set declares.
    photometric = str(properties["photometric_interpretation"])
    return to_rgb(stored, photometric) if photometric in _CONVERTED else stored


def _read_stream_shape(frame: bytes, syntax: str) -> tuple[int, int, int, int]:
    """Width, height, channels and bits that a JPEG, JPEG-LS or JPEG 2000 stream declares."""
    if syntax in _JPEG:
        header = read_jpeg_header(frame)
        return header.width, header.height, header.components, header.bits
    # DICOM keeps the bare code stream (PS3.5, A.4.4); in a wrapper the decoder might take another one than this.
    if not frame.startswith(_START_OF_CODE_STREAM):
        raise DamagedImage("The DICOM file's JPEG 2000 data do not begin with a code stream; export it again.")
    # The SIZ segment (ITU T.800, A.5.1): the picture is the reference grid less its offset.
    x_end, y_end, x_start, y_start, _, _, _, _, channels, depth = _SIZ.unpack_from(frame, 8)
    return x_end - x_start, y_end - y_start, channels, (depth & 0x7F) + 1


def _is_mirrored(dataset: Dataset) -> bool:
    """Whether rows run towards the patient's right (PS3.3, C.7.6.1.1.1); on a panoramic they run to the left."""
    along_rows, *_ = np.atleast_1d(dataset.get("PatientOrientation") or "").tolist()
    return str(along_rows).startswith("R")


def _read_spacing(dataset: Dataset) -> tuple[float, float] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        try:
            down, across = (float(distance) for distance in dataset.get(keyword) or ())
        except (TypeError, ValueError):
            continue
        if 0 < down < math.inf and 0 < across < math.inf:
            return down, across
    return None
