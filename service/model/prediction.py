"""What the model says of one picture, and what the parts of it stand for."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

View = Literal["panoramic", "upside-down", "left-side-down", "right-side-down", "foreign"]

VIEWS: Final[tuple[View, ...]] = get_args(View)
"""What a picture can show, in the order of the graph's output `view`: a panoramic, one that lies on its head or on the
left or right side of the picture as it should be, or something else."""

EVIDENCE_CELL: Final = 4
EVIDENCE_STEPS: Final = 42
"""Bytes end at six natural logarithms: the network is too sure of itself where it errs to be heard beyond."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the model says of one picture; maps are `(height, width)` of the model's input, `uint8`.

    Attributes:
        tooth: for each pixel the most probable tooth, as the index of its class (never 0).
        foreground: probability that the pixel is tooth, times 255.
        confidence: probability of the class `tooth`, times 255.
        distance: how far the network's features lie from those of the training pictures; about 1 for those.
        view: probability of each of `VIEWS`.
        evidence: `(rows, columns, 32)`, for each cell of `EVIDENCE_CELL` pixels a side how little it looks like each
            tooth: minus the natural logarithm of the tooth's probability among the teeth, times `EVIDENCE_STEPS`.
    """

    tooth: npt.NDArray[np.uint8]
    foreground: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    distance: float
    view: tuple[float, ...]
    evidence: npt.NDArray[np.uint8]

    @property
    def likely_view(self) -> View:
        """What the picture most probably shows."""
        return VIEWS[int(np.argmax(self.view))]


OUTPUTS: Final = tuple(field.name for field in fields(Prediction))
"""The graph's outputs, in its order."""

Run = Callable[[npt.NDArray[np.uint8]], list[npt.NDArray[Any]]]
"""Prepared pictures `(batch, height, width)` `uint8` to the tensors `OUTPUTS`, each with the batch first; OpenVINO
takes one picture at a time."""
