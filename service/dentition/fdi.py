"""FDI tooth numbers (ISO 3950): which there are, their Universal numbers, and their mirror images.

The first digit is the patient's quadrant (1 upper right, 2 upper left, 3 lower left, 4 lower right), the
second counts from the midline, 1 to 8. A panoramic radiograph shows the patient's right on the picture's left.
"""

from functools import cache
from typing import Final

FDI_NUMBERS: Final[tuple[int, ...]] = tuple(10 * quadrant + tooth for quadrant in (1, 2, 3, 4) for tooth in range(1, 9))
"""The 32 permanent teeth, in the order of the model's classes 1 to 32 and of its evidence."""

CLASSES: Final = (0, *FDI_NUMBERS)
"""What each of the model's classes stands for: background, then the teeth."""

UPPER: Final = (*range(18, 10, -1), *range(21, 29))
LOWER: Final = (*range(48, 40, -1), *range(31, 39))
"""The two arches, each from the patient's right to the left, as a picture shows them."""

_ALONG_THE_ARCHES: Final = (*UPPER, *reversed(LOWER))
"""As Universal numbers count."""

_MIRRORED_QUADRANT: Final = {1: 2, 2: 1, 3: 4, 4: 3}


def universal(fdi: int) -> int:
    """The Universal number (ADA), 1 to 32, of an FDI number.

    Universal numbers run along the upper arch from the patient's right to left (18 is 1, 28 is 16) and back along
    the lower arch (38 is 17, 48 is 32).

    Raises:
        ValueError: `fdi` is no permanent tooth.
    """
    if fdi not in FDI_NUMBERS:
        raise ValueError(f"{fdi} is not the FDI number of a permanent tooth")
    return 1 + _ALONG_THE_ARCHES.index(fdi)


@cache
def neighbours(fdi: int) -> tuple[int, ...]:
    """The FDI numbers beside one in its arch, across the midline too: two, or one of a wisdom tooth.

    Raises:
        ValueError: `fdi` is no permanent tooth.
    """
    arch = UPPER if fdi in UPPER else LOWER
    place = arch.index(fdi)
    return arch[max(place - 1, 0) : place] + arch[place + 1 : place + 2]


def mirrored(fdi: int) -> int:
    """The FDI number that a tooth would seem to have in a picture turned left to right (11 becomes 21).

    Raises:
        ValueError: `fdi` is no permanent tooth.
    """
    if fdi not in FDI_NUMBERS:
        raise ValueError(f"{fdi} is not the FDI number of a permanent tooth")
    quadrant, tooth = divmod(fdi, 10)
    return 10 * _MIRRORED_QUADRANT[quadrant] + tooth
