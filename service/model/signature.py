"""The tensors of a package's graph by name, type and size, as other programs are told of them."""

from dataclasses import dataclass
from typing import Final, Literal

from service.model.package import Manifest

Datatype = Literal["UINT8", "FP32", "BYTES"]
"""Element types by their names in the Open Inference Protocol."""

MAX_BATCH: Final = 32
"""Pictures that one request of another program may hold."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that goes in or comes out.

    Attributes:
        dims: its size without the batch, which comes first.
    """

    name: str
    datatype: Datatype
    dims: tuple[int, ...]


def graph_input(manifest: Manifest) -> Tensor:
    """The prepared pictures."""
    return Tensor("pixels", "UINT8", (manifest.input.height, manifest.input.width))


def graph_outputs(manifest: Manifest) -> tuple[Tensor, ...]:
    """The maps, and the distance, which the graph itself gives without a dimension of its own; see `Prediction`."""
    size = (manifest.input.height, manifest.input.width)
    maps = (Tensor(name, "UINT8", size) for name in ("tooth", "foreground", "confidence"))
    return (*maps, Tensor("distance", "FP32", (1,)))
