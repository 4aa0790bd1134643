"""A radiograph as the rest of the service sees it, and the limits of what becomes one."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy.typing as npt

from service.errors import DamagedImage, TooManyPixels, TooSmall
from service.segmentation import Grey

Format = Literal["png", "jpeg", "tiff", "bmp", "dicom"]

Decoded = npt.NDArray[Any]
"""What a library decoded, of a dtype and a number of channels that only the file tells."""

_MAX_SIDE: Final = 65_500
"""Pixels of the longest side that JPEG encoders take (libjpeg's own limit)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is refused before it is decoded.

    Attributes:
        max_megapixels: the largest picture, in millions of pixels.
        min_side: the shortest side, in pixels.
    """

    max_megapixels: float = 40.0
    min_side: int = 128

    def check(self, width: int, height: int) -> None:
        """Hold a picture's declared size against the limits.

        Raises:
            DamagedImage: a side is not positive.
            TooManyPixels: the picture is larger than `max_megapixels`, or a side longer than a JPEG file's can be.
            TooSmall: a side is shorter than `min_side`.
        """
        if width <= 0 or height <= 0:
            raise DamagedImage("The file declares a picture without pixels; export it again.")
        if width * height > self.max_megapixels * 1e6:
            raise TooManyPixels(
                f"The picture is declared as {width} x {height} pixels; "
                f"at most {self.max_megapixels:g} million pixels are taken."
            )
        if max(width, height) > _MAX_SIDE:
            raise TooManyPixels(
                f"The picture is declared as {width} x {height} pixels; a side of at most {_MAX_SIDE} is taken."
            )
        if min(width, height) < self.min_side:
            raise TooSmall(
                f"The picture has {width} x {height} pixels; each side must have at least {self.min_side}, "
                "so send the radiograph at full size."
            )


@dataclass(frozen=True, slots=True, eq=False)
class Radiograph:
    """A radiograph's grey values and what its file says of them.

    Attributes:
        pixels: `(height, width)`, `uint8` or `uint16` (spread over the full 16 bits), bright where the
            patient is dense.
        format: `png`, `jpeg`, `tiff`, `bmp` or `dicom`.
        bits_stored: bits of a grey value in the file.
        photometric_interpretation: DICOM's word for the file's own pixels, such as `MONOCHROME2` or `RGB`.
        pixel_spacing_mm: distance of neighbouring pixels, down then across, in mm; None where the file does not say.
        colourfulness: mean difference between the colour channels, once an even tint is taken out, as a share of the
            range; 0 for a grey picture.
        mirrored: whether the file says that the patient's right is on the picture's right.
    """

    pixels: Grey
    format: Format
    bits_stored: int
    photometric_interpretation: str
    pixel_spacing_mm: tuple[float, float] | None = None
    colourfulness: float = 0.0
    mirrored: bool = False
