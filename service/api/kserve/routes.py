"""The routes of the Open Inference Protocol under `/v2`; errors have its form (see `service.api.problems`)."""

from importlib.metadata import version as installed_version
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from service.api.kserve.models import RADIOGRAPH, OfferedModel, find_offered
from service.api.kserve.schemas import (
    InferAnswer,
    InferRequest,
    ModelMetadata,
    ModelReady,
    ProtocolError,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from service.api.kserve.tensors import HEADER_LENGTH, describe_shape, read_inference, write_inference
from service.api.state import ServiceState, State
from service.errors import EmptyUpload
from service.model.signature import Tensor
from service.segmenter import Segmenter
from service.ticket import Ticket

router: Final = APIRouter(
    prefix="/v2",
    tags=["Open Inference Protocol"],
    responses={500: {"model": ProtocolError, "description": "A fault that nobody foresaw."}},
)

_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ProtocolError, "description": description}
    for status, description in (
        (400, "Nothing was sent, or an image is damaged."),
        (404, "There is no such model."),
        (413, "The request or a radiograph is too large."),
        (415, "A radiograph is of no format that is taken."),
        (422, "The request is not of the protocol, or a picture is too small."),
        (503, "Busy, or no model is loaded; with `Retry-After`."),
        (504, "The deadline passed before the answer."),
    )
}

_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": f"JSON, and with the header {HEADER_LENGTH} the tensor's bytes behind it.",
        "content": {
            "application/json": {"schema": {"$ref": f"#/components/schemas/{InferRequest.__name__}"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: _ERRORS[status] for status in statuses}


@router.get("", summary="What the server is")
@router.get("/", include_in_schema=False)  # as the protocol's own OpenAPI description has it
async def server() -> ServerMetadata:
    """Name, version and what it can besides the protocol itself."""
    return ServerMetadata(version=installed_version("panoseg"))


@router.get("/health/live", summary="The process runs")
async def live() -> ServerLive:
    """200 while the process runs."""
    return ServerLive()


@router.get("/health/ready", summary="A model is loaded", responses=_errors(503))
async def ready(state: State) -> ServerReady:
    """200 once the model is loaded and warmed up."""
    state.check_ready()
    return ServerReady()


@router.get("/models/{name}", summary="A model's tensors", responses=_errors(404, 503))
async def model(state: State, name: str) -> ModelMetadata:
    """The graph of the model package by its name, or `radiograph`, which takes files."""
    return _metadata(find_offered(state.segmenter, name, None))


@router.get("/models/{name}/versions/{version}", summary="A version's tensors", responses=_errors(404, 503))
async def model_version(state: State, name: str, version: str) -> ModelMetadata:
    """As without the version, and only for the version that is loaded."""
    return _metadata(find_offered(state.segmenter, name, version))


@router.get("/models/{name}/ready", summary="A model answers", responses=_errors(404, 503))
async def model_ready(state: State, name: str) -> ModelReady:
    """200 where the model is the one that is loaded."""
    return ModelReady(name=find_offered(state.segmenter, name, None).name)


@router.get("/models/{name}/versions/{version}/ready", summary="A version answers", responses=_errors(404, 503))
async def model_version_ready(state: State, name: str, version: str) -> ModelReady:
    """200 where the version is the one that is loaded."""
    return ModelReady(name=find_offered(state.segmenter, name, version).name)


_INFER: Final[dict[str, Any]] = {
    "response_model": InferAnswer,
    "responses": {**_ERRORS, 200: {"content": {"application/octet-stream": {}}}},
    "openapi_extra": _BODY,
}


@router.post("/models/{name}/infer", summary="Run a model", **_INFER)
async def infer(request: Request, state: State, name: str) -> Response:
    """Prepared pictures to the graph's maps, or radiographs to their teeth; several at once, answered in order."""
    return await _infer(request, state, name, None)


@router.post("/models/{name}/versions/{version}/infer", summary="Run a version", **_INFER)
async def infer_version(request: Request, state: State, name: str, version: str) -> Response:
    """As without the version, and only for the version that is loaded."""
    return await _infer(request, state, name, version)


async def _infer(request: Request, state: ServiceState, name: str, version: str | None) -> Response:
    find_offered(state.segmenter, name, version)
    header_length = request.headers.get(HEADER_LENGTH)
    # A batch, or tensors, are not what the latency target is for; how many there are shows once they have been read.
    one_radiograph = name == RADIOGRAPH

    def work(body: bytes, segmenter: Segmenter, ticket: Ticket) -> tuple[bytes, bytes]:
        nonlocal one_radiograph
        if not body:
            raise EmptyUpload("The request holds no bytes; send the tensors.")
        # The model may have been replaced while the body was read, and large JSON would hold up the event loop.
        offered = find_offered(segmenter, name, version)
        inference = read_inference(body, header_length, offered.takes, offered.gives)
        one_radiograph = name == RADIOGRAPH and len(inference.values) == 1
        results = offered.infer(segmenter, inference, ticket)
        return write_inference(inference, offered.name, offered.version, offered.gives, results)

    _, (header, behind), _ = await state.answer(request, work, long=True, counts=lambda: one_radiograph)
    if not behind:
        return Response(header, media_type="application/json")
    headers = {HEADER_LENGTH: str(len(header))}
    return Response(header + behind, media_type="application/octet-stream", headers=headers)


def _metadata(model: OfferedModel) -> ModelMetadata:
    return ModelMetadata(
        name=model.name,
        versions=[model.version],
        platform=model.platform,
        inputs=[_tensor(model.takes)],
        outputs=[_tensor(tensor) for tensor in model.gives],
    )


def _tensor(tensor: Tensor) -> TensorMetadata:
    return TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=describe_shape(tensor))
