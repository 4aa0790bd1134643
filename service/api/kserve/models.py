"""What the Open Inference Protocol can run: the graph itself, and `radiograph`, the whole way from file to teeth."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.api.kserve.tensors import Inference, Values
from service.api.schemas import segment_answer, to_json
from service.errors import RequestError, UnknownModel
from service.model.signature import Tensor, graph_input, graph_outputs
from service.segmenter import Segmenter, Wanted
from service.ticket import Ticket

RADIOGRAPH: Final = "radiograph"

_FILE: Final = Tensor("radiograph", "BYTES", (), in_json=False)
_ANSWER: Final = (Tensor("segmentation", "BYTES", ()), Tensor("mask", "BYTES", (), in_json=False))


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A model by the protocol's idea of one.

    Attributes:
        infer: its results for a request, an entry for each output that is wanted.
    """

    name: str
    version: str
    platform: str
    takes: Tensor
    gives: Sequence[Tensor]
    infer: Callable[[Segmenter, Inference, Ticket], Mapping[str, Values]]


def offered(segmenter: Segmenter) -> tuple[OfferedModel, OfferedModel]:
    """What a loaded package offers."""
    manifest = segmenter.package.manifest
    version = manifest.version
    return (
        OfferedModel(
            manifest.name, version, "onnxruntime_onnx", graph_input(manifest), graph_outputs(manifest), _run_graph
        ),
        OfferedModel(RADIOGRAPH, version, "panoseg", _FILE, _ANSWER, _segment_radiographs),
    )


def find_offered(segmenter: Segmenter, name: str, version: str | None) -> OfferedModel:
    """The model of a name, and of a version where one is given.

    Raises:
        UnknownModel: it is not offered.
    """
    models = offered(segmenter)
    for model in models:
        if name == model.name and version in (None, model.version):
            return model
    known = " and ".join(f"{model.name} (version {model.version})" for model in models)
    raise UnknownModel(f"There is no such model here; there is {known}.")


def _run_graph(segmenter: Segmenter, inference: Inference, ticket: Ticket) -> Mapping[str, Values]:
    """The graph's own outputs for prepared pictures; they take their turn one by one, so that others get theirs."""
    assert isinstance(inference.values, np.ndarray)
    predictions = [segmenter.engine.predict(picture, ticket) for picture in inference.values]
    outputs = {name: np.stack([getattr(prediction, name) for prediction in predictions]) for name in inference.outputs}
    if "distance" in outputs:
        outputs["distance"] = outputs["distance"].astype(np.float32)[:, np.newaxis]
    if "view" in outputs:
        outputs["view"] = outputs["view"].astype(np.float32)
    return outputs


def _segment_radiographs(segmenter: Segmenter, inference: Inference, ticket: Ticket) -> Mapping[str, Values]:
    """Of each radiograph's file the JSON of `/v1/segment`, and the FDI number of each pixel as PNG."""
    wanted = Wanted(mask="fdi" if "mask" in inference.outputs else None)
    results: dict[str, list[bytes]] = {name: [] for name in inference.outputs}
    for number, upload in enumerate(inference.values, 1):
        try:
            answer = segmenter.segment(bytes(upload), wanted, ticket)
        except RequestError as error:
            if len(inference.values) > 1:
                error.args = (f"Picture {number} of {len(inference.values)}: {error}",)
            raise
        if answer.mask is not None:
            results["mask"].append(answer.mask)
        if "segmentation" in results:
            content = segment_answer(segmenter, answer, ticket.clock.read_ms(), pictures=False)
            results["segmentation"].append(to_json(content))
    return results
