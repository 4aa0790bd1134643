"""The routes that take a radiograph: its teeth as JSON, its mask, its overlay."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.parameters import refuse_unknown_parameters
from service.api.problems import IMAGE_PROBLEMS
from service.api.schemas import SegmentAnswer, segment_answer, to_json
from service.api.state import ServiceState, State
from service.api.uploads import file_of
from service.errors import InvalidParameter
from service.render.draw import MaskKind
from service.render.encode import OverlayFormat
from service.segmenter import Answer, Segmenter, Wanted
from service.ticket import Ticket

router: Final = APIRouter(prefix="/v1", tags=["radiographs"], dependencies=[Depends(refuse_unknown_parameters)])

_UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A radiograph (PNG, JPEG, TIFF, BMP or DICOM): its bytes as the body, or the form part `file`.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

PATHS: Final = ("/v1/segment", "/v1/mask", "/v1/overlay")

_PARTS: Final = ("mask", "overlay", "polygons")

Include = Annotated[list[str], Query(description="mask, overlay, polygons: separated by commas, or one each time.")]
Opacity = Annotated[float, Query(ge=0, le=1, description="Of the overlay's colours.")]
Strict = Annotated[
    bool, Query(description="Refuse a picture that has the finding `not-a-panoramic`; no other is refused.")
]


@router.post(
    "/segment",
    summary="The teeth of a radiograph as JSON",
    response_model=SegmentAnswer,
    responses=IMAGE_PROBLEMS,
    openapi_extra=_UPLOAD,
)
async def segment(
    request: Request,
    state: State,
    include: Include = ["polygons"],  # noqa: B006 - FastAPI makes a copy
    overlay_format: OverlayFormat = "jpeg",
    opacity: Opacity = 0.4,
    strict: Strict = False,
) -> Response:
    """Teeth with their FDI numbers, missing teeth, what was noticed about the picture, and how long each step took."""
    parts = {part.strip() for each in include for part in each.split(",") if part.strip()}
    if not parts <= set(_PARTS):
        raise InvalidParameter(f"include takes {', '.join(_PARTS)}, separated by commas.")
    wanted = Wanted(
        "binary" if "mask" in parts else None, overlay_format if "overlay" in parts else None, opacity, strict
    )
    segmenter, answer, timings_ms = await _answer(request, state, wanted)
    content = segment_answer(segmenter, answer, timings_ms, polygons="polygons" in parts)
    request.state.log["answer_id"] = content["id"]
    return Response(to_json(content), media_type="application/json")


@router.post(
    "/mask",
    summary="The mask of a radiograph as PNG",
    response_class=Response,
    responses={**IMAGE_PROBLEMS, 200: {"content": {"image/png": {}}}},
    openapi_extra=_UPLOAD,
)
async def mask(
    request: Request,
    state: State,
    kind: Annotated[MaskKind, Query(description="255 where tooth, or the FDI number of the pixel's tooth.")] = "binary",
    strict: Strict = False,
) -> Response:
    """8-bit grey, the size of the picture as viewers show it (`image.width` x `image.height` of `/v1/segment`)."""
    _, answer, _ = await _answer(request, state, Wanted(mask=kind, strict=strict))
    return Response(answer.mask, media_type="image/png")


@router.post(
    "/overlay",
    summary="The radiograph with its teeth in colour, as JPEG or PNG",
    response_class=Response,
    responses={**IMAGE_PROBLEMS, 200: {"content": {"image/jpeg": {}, "image/png": {}}}},
    openapi_extra=_UPLOAD,
)
async def overlay(
    request: Request,
    state: State,
    format: Annotated[  # noqa: A002 - the contract's word
        OverlayFormat | None, Query(description="jpeg or png; where not given, as `Accept` asks, else jpeg.")
    ] = None,
    opacity: Opacity = 0.4,
    strict: Strict = False,
) -> Response:
    """The size of the picture as viewers show it; each tooth in its colour, outlined, with its FDI number."""
    chosen: OverlayFormat = format or _accepted(request.headers.get("accept", ""))
    wanted = Wanted(overlay=chosen, opacity=opacity, strict=strict)
    _, answer, _ = await _answer(request, state, wanted)
    return Response(answer.overlay, media_type=f"image/{chosen}")


def _accepted(accept: str) -> OverlayFormat:
    """What an `Accept` header would rather have (RFC 9110, 12.5.1), JPEG where it is all the same."""
    weights: dict[str, float] = {}
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
        weights[kind] = float(weight) if re.fullmatch(r"[01](\.\d{0,3})?", weight) else 0.0
    png, jpeg = (
        next((weights[kind] for kind in (f"image/{name}", "image/*", "*/*") if kind in weights), 0.0)
        for name in ("png", "jpeg")
    )
    return "png" if png > jpeg else "jpeg"


async def _answer(request: Request, state: ServiceState, wanted: Wanted) -> tuple[Segmenter, Answer, dict[str, float]]:
    """What answered, its answer to the request's upload, and the times as the caller is told them."""
    max_mb, content_type = state.settings.max_upload_mb, request.headers.get("content-type", "")

    def segment(body: bytes, segmenter: Segmenter, ticket: Ticket) -> Answer:
        return segmenter.segment(file_of(body, content_type, max_mb), wanted, ticket)

    segmenter, answer, timings_ms = await state.answer(request, segment)
    if findings := answer.segmentation.findings:
        request.state.answer_headers["X-Findings"] = ", ".join(finding.code for finding in findings)
    height, width = answer.radiograph.pixels.shape
    request.state.log.update(format=answer.radiograph.format, width=width, height=height)
    return segmenter, answer, timings_ms
