"""The answer to a radiograph: which teeth stand where, and what was noticed; and the arrays that it is about."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS, neighbours, universal

Severity = Literal["warning", "error"]

Grey = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
"""Grey values, `(height, width)`."""

Picture = npt.NDArray[np.uint8]
"""Grey values `(height, width)`, or red, green and blue `(height, width, 3)`."""

Labels = npt.NDArray[np.uint8]
"""The FDI number of each pixel, `(height, width)`, 0 where there is no tooth."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels: left, top, width, height."""

    x: int
    y: int
    width: int
    height: int

    @property
    def index(self) -> tuple[slice, slice]:
        """What picks its pixels out of an array."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)


@dataclass(frozen=True, slots=True, eq=False)
class Tooth:
    """One tooth found, in pixels of the picture as viewers show it.

    Attributes:
        fdi: FDI number (ISO 3950).
        confidence: probability that the tooth is right (its own number, IoU at least 0.5), 0..1.
        uncertain: whether the confidence is below the model's own limit.
        area_px: number of pixels.
        bbox: the smallest box around it.
        polygons: outlines, one for each separate piece: closed rings `(points, 2)` `int32` of x, y, without the first
            point again.
    """

    fdi: int
    confidence: float
    uncertain: bool
    area_px: int
    bbox: Box
    polygons: tuple[npt.NDArray[np.int32], ...]

    @property
    def universal(self) -> int:
        """The Universal number, 1 to 32."""
        return universal(self.fdi)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing noticed about a picture.

    Attributes:
        code: a word for programs, such as `low-contrast`.
        severity: `error` where the picture must be turned first, or is none of ours.
        message: a sentence a technician understands.
        value: what was measured.
        limit: the value at which the finding is made.
    """

    code: str
    severity: Severity
    message: str
    value: float
    limit: float


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Everything found in one radiograph, in pixels of the picture as viewers show it.

    Attributes:
        labels: in pixels of the picture as viewers show it.
        teeth: in the order of their FDI numbers, one for each number that occurs in `labels`.
        findings: what was noticed about the picture.
    """

    labels: Labels
    teeth: tuple[Tooth, ...]
    findings: tuple[Finding, ...]

    @property
    def missing(self) -> tuple[int, ...]:
        """FDI numbers of the 32 permanent teeth that were not found."""
        present = {tooth.fdi for tooth in self.teeth}
        return tuple(fdi for fdi in FDI_NUMBERS if fdi not in present)

    @property
    def missing_uncertain(self) -> tuple[int, ...]:
        """Those of `missing` beside which an uncertain tooth stands, so that they may be there under its number."""
        doubtful = {fdi for tooth in self.teeth if tooth.uncertain for fdi in neighbours(tooth.fdi)}
        return tuple(fdi for fdi in self.missing if fdi in doubtful)

    @property
    def tooth_fraction(self) -> float:
        """The share of the picture's pixels that are tooth, 0..1."""
        return sum(tooth.area_px for tooth in self.teeth) / self.labels.size

    @property
    def suitable(self) -> bool:
        """Whether the picture can be used: no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)
