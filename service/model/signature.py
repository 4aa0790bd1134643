"""The tensors of a package's graph by name, type and size, as other programs are told of them."""

from dataclasses import dataclass
from typing import Final, Literal

from service.dentition.fdi import FDI_NUMBERS
from service.model.package import Manifest
from service.model.prediction import EVIDENCE_CELL, VIEWS

Datatype = Literal["UINT8", "FP32", "BYTES"]
"""Element types by their names in the Open Inference Protocol."""

MAX_BATCH: Final = 32
"""Pictures that one request of another program may hold."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that goes in or comes out.

    Attributes:
        dims: its size without the batch, which comes first.
        in_json: whether its values can be written as JSON; a file's bytes cannot.
    """

    name: str
    datatype: Datatype
    dims: tuple[int, ...]
    in_json: bool = True


def graph_input(manifest: Manifest) -> Tensor:
    """The prepared pictures."""
    return Tensor("pixels", "UINT8", (manifest.input.height, manifest.input.width))


def graph_outputs(manifest: Manifest) -> tuple[Tensor, ...]:
    """What the graph gives, in its order; see `Prediction`. The distance has no dimension of its own there."""
    height, width = manifest.input.height, manifest.input.width
    return (
        *(Tensor(name, "UINT8", (height, width)) for name in ("tooth", "foreground", "confidence")),
        Tensor("distance", "FP32", (1,)),
        Tensor("view", "FP32", (len(VIEWS),)),
        Tensor("evidence", "UINT8", (height // EVIDENCE_CELL, width // EVIDENCE_CELL, len(FDI_NUMBERS))),
    )
