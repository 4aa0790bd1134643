"""Decodes a radiograph."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from service.errors import DamagedImage


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before it is decoded."""

    max_megapixels: float = 100.0
    min_side: int = 128


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """A radiograph's grey values and what its file says of them.

    Attributes:
        pixels: `(height, width)`, `uint8` or `uint16` (spread over the full 16 bits), bright where the patient is dense.
        format: `png`, `jpeg`, `tiff`, `bmp` or `dicom`.
        bits_stored: bits of a grey value in the file.
        photometric_interpretation: DICOM's word for the file's own pixels, such as `MONOCHROME2` or `RGB`.
        pixel_spacing_mm: distance of neighbouring pixels, down then across, in mm; None where the file does not say.
        colourfulness: mean difference between the colour channels as a share of the range, 0..1; 0 for a grey picture.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    format: str
    bits_stored: int
    photometric_interpretation: str
    pixel_spacing_mm: tuple[float, float] | None = None
    colourfulness: float = 0.0


def decode(data: bytes, limits: Limits) -> Radiograph:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise DamagedImage("x")
    return Radiograph(pixels, "jpeg", 8, "MONOCHROME2")
