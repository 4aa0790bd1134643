"""DICOM's run-length coding (PS3.5, annex G), whose runs Pillow's PackBits decoder reads natively."""

import struct

import numpy as np
from PIL import Image
from pydicom import Dataset

from service.errors import DamagedImage
from service.radiograph.grey import to_rgb
from service.radiograph.radiograph import Decoded

_HEADER = struct.Struct("<16I")


def decode_rle(frame: bytes, dataset: Dataset, rows: int, columns: int) -> Decoded:
    """The stored values of one frame, `(rows, columns)`, or `(rows, columns, 3)` as RGB.

    pydicom's own decoder gives the same in about ten times the time.

    Raises:
        DamagedImage: another number of segments than the pixels need.
        ValueError: a segment ends before its plane is full.
    """
    samples, width = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated) // 8
    count, *offsets = _HEADER.unpack_from(frame)
    if count != samples * width:
        raise DamagedImage("The DICOM file's run-length coding does not fit its pixels; export it again.")
    ends = [*offsets[1:count], len(frame)]
    planes = [
        np.asarray(Image.frombytes("L", (columns, rows), frame[start:end], "packbits", "L"))
        for start, end in zip(offsets, ends, strict=False)
    ]
    # Each sample's most significant byte comes first, each byte in a plane of its own.
    big_endian = np.stack(planes, axis=-1).view(f">u{width}")
    kind = "i" if int(dataset.PixelRepresentation) else "u"
    stored = big_endian.astype(f"={kind}{width}")
    if samples == 1:
        return stored[..., 0]
    return to_rgb(stored, str(dataset.PhotometricInterpretation))
