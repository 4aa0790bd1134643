"""The JSON that goes over the wire; the contract that other people's programs hold on to.

The answer to a radiograph is made of typed dictionaries, which orjson writes as they are: models would keep the event
loop, where it is made, for twice as long, even without their checks.
"""

from importlib.metadata import version
from typing import Annotated, Any, Final, Literal, NotRequired

import numpy as np
import orjson
import pybase64
from pydantic import BaseModel, Field, InstanceOf, TypeAdapter, WithJsonSchema
from typing_extensions import TypedDict  # Pydantic takes the standard library's own from Python 3.12 on

from service.api.identity import new_id
from service.latency import LatencyReport, Percentiles
from service.model.package import Manifest
from service.model.session import Session
from service.radiograph import Format
from service.segmentation import Finding, Severity, Tooth
from service.segmenter import Answer, Segmenter

_CODES: Final = [
    "not-a-panoramic",
    "upside-down",
    "sideways",
    "inverted",
    "mirrored",
    "low-contrast",
    "cropped",
    "few-teeth",
]
"""Of the findings; examples in the description, since programs made from an enumeration would fail at a new one."""

Ring = Annotated[
    np.ndarray[Any, np.dtype[np.int32]],
    InstanceOf(),
    WithJsonSchema(TypeAdapter(list[tuple[int, int]]).json_schema(), mode="serialization"),
]
"""Points `(points, 2)`, which orjson writes as they are."""


class Service(TypedDict):
    """Which panoseg gave the answer."""

    version: str


class Image(TypedDict):
    """What the file says of itself; boxes, outlines, mask and overlay are in pixels of this picture."""

    width: Annotated[
        int, Field(description="Of the picture as viewers show it, with any EXIF or TIFF orientation applied.")
    ]
    height: Annotated[int, Field(description="As `width`, of the picture as viewers show it.")]
    format: Format
    bits_stored: int
    photometric_interpretation: str
    pixel_spacing_mm: Annotated[
        tuple[float, float] | None,
        Field(
            description="Down, then across: DICOM's PixelSpacing, else ImagerPixelSpacing, which lies in the plane of "
            "the detector and so is longer than in the patient; null where the file has neither."
        ),
    ]


class Model(TypedDict):
    """What gave the answer."""

    name: str
    version: str
    sha256: str
    provider: str
    precision: str


class ToothAnswer(TypedDict):
    """One tooth, in pixels of the picture as viewers show it (`image.width` x `image.height`)."""

    fdi: Annotated[int, Field(description="FDI number (ISO 3950).", examples=[11])]
    universal: Annotated[int, Field(description="Universal number, 1 to 32.", examples=[8])]
    confidence: Annotated[
        float, Field(description="Probability that the tooth is right: that its own number stands there.", ge=0, le=1)
    ]
    uncertain: Annotated[bool, Field(description="Whether the confidence is below the model's own limit.")]
    area_px: int
    bbox: Annotated[tuple[int, int, int, int], Field(description="x, y, width, height.")]
    polygons: NotRequired[
        Annotated[
            tuple[Ring, ...],
            Field(
                description="With `include=polygons`: an outline for each separate piece, as a ring of x, y. Its "
                "points are the centres of outermost pixels; holes are not told. Count pixels with `area_px`."
            ),
        ]
    ]


class FindingAnswer(TypedDict):
    """One thing noticed about the picture."""

    code: Annotated[
        str, Field(description="More may come; take those that you do not know by their severity.", examples=_CODES)
    ]
    severity: Severity
    message: str
    value: Annotated[
        float, Field(description="What was measured; for support. What it is, and its unit, differ from code to code.")
    ]
    limit: Annotated[float, Field(description="The limit that `value` has passed.")]


class Quality(TypedDict):
    """Whether the picture can be used."""

    suitable: bool
    findings: list[FindingAnswer]


class Encoded(TypedDict):
    """A picture inside the answer."""

    media_type: str
    data: Annotated[str, Field(description="Base64.")]


class SegmentAnswer(TypedDict):
    """The answer to a radiograph."""

    id: str
    service: Service
    image: Image
    model: Model
    teeth: list[ToothAnswer]
    missing: Annotated[list[int], Field(description="FDI numbers of the permanent teeth that were not found.")]
    missing_uncertain: Annotated[
        list[int],
        Field(
            description="Those of `missing` beside which an uncertain tooth stands, so that they may be there, under "
            "its number."
        ),
    ]
    tooth_fraction: float
    quality: Quality
    mask: NotRequired[Encoded]
    overlay: NotRequired[Encoded]
    timings_ms: Annotated[dict[str, float], Field(description="Of each stage, and `total`; more stages may come.")]


_SERVICE: Final = Service(version=version("panoseg"))  # once, since it is read from a file


class ModelAnswer(BaseModel):
    """A model that can be run."""

    name: str
    version: str
    sha256: str
    precision: str
    active: bool = Field(description="Whether it is the one that answers.")
    input_size: tuple[int, int] = Field(description="Height, width.")
    classes: list[int] = Field(description="FDI numbers in the order of the model's classes; 0 is background.")
    metrics: dict[str, Any]
    licence: str
    data_licence: str


class ModelsAnswer(BaseModel):
    """All models that can be run."""

    models: list[ModelAnswer]


class LatencyAnswer(BaseModel):
    """Where the time went, in milliseconds."""

    since_start: dict[str, Percentiles]
    last_five_minutes: dict[str, Percentiles]
    target_ms: float
    within_target: float | None = Field(description="Share of requests answered within the target; null before any.")
    queue_depth: int = Field(description="Requests that wait for their turn.")


class Live(BaseModel):
    """The process runs."""

    status: Literal["live"] = "live"


class Ready(BaseModel):
    """A model is loaded and warmed up."""

    status: Literal["ready"] = "ready"
    version: str = Field(description="Of the service.")
    model: Model
    uptime_s: float
    warnings: list[str] = Field(
        description="What an administrator should know, such as a GPU that is not used, or a reload that failed."
    )


class Problem(BaseModel):
    """What is wrong (RFC 9457)."""

    type: str = Field(
        description="`urn:panoseg:problem:<slug>`. The slugs stand with the routes' answers; besides those: "
        "`not-found` (404, no such page), `method-not-allowed` (405), `bad-request` (other faults of a request).",
        examples=["urn:panoseg:problem:damaged-image"],
    )
    title: str
    status: int
    detail: str
    instance: str
    request_id: str


def model_answer(segmenter: Segmenter) -> Model:
    """What gives the answers, for the wire."""
    manifest, session = segmenter.package.manifest, segmenter.model.session
    return Model(
        name=manifest.name,
        version=manifest.version,
        sha256=session.file.sha256,
        provider=session.execution_provider,
        precision=session.file.precision,
    )


def segment_answer(
    segmenter: Segmenter,
    answer: Answer,
    timings_ms: dict[str, float],
    *,
    polygons: bool = True,
    pictures: bool = True,
) -> SegmentAnswer:
    """An answer for the wire, under an id of its own.

    Args:
        segmenter: what gave it.
        timings_ms: as the request's clock reads.
        polygons: whether it holds the teeth's outlines.
        pictures: whether it holds the mask and the overlay, where there are any.
    """
    radiograph, segmentation = answer.radiograph, answer.segmentation
    height, width = radiograph.pixels.shape
    content = SegmentAnswer(
        id=new_id(),
        service=_SERVICE,
        image=Image(
            width=width,
            height=height,
            format=radiograph.format,
            bits_stored=radiograph.bits_stored,
            photometric_interpretation=radiograph.photometric_interpretation,
            pixel_spacing_mm=radiograph.pixel_spacing_mm,
        ),
        model=model_answer(segmenter),
        teeth=[_tooth(tooth, polygons) for tooth in segmentation.teeth],
        missing=list(segmentation.missing),
        missing_uncertain=list(segmentation.missing_uncertain),
        tooth_fraction=round(segmentation.tooth_fraction, 6),
        quality=Quality(
            suitable=segmentation.suitable, findings=[_finding(finding) for finding in segmentation.findings]
        ),
        timings_ms=timings_ms,
    )
    if pictures and answer.mask is not None:
        content["mask"] = _encoded(answer.mask)
    if pictures and answer.overlay is not None:
        content["overlay"] = _encoded(answer.overlay)
    return content


def to_json(answer: SegmentAnswer, for_people: bool = False) -> bytes:
    """The answer as it goes over the wire; for people, with line breaks."""
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY | (orjson.OPT_INDENT_2 if for_people else 0))


def models_answer(packages: list[tuple[Manifest, bool]], active: Session) -> ModelsAnswer:
    """What can be run, for the wire; of each package, whether it is active."""
    return ModelsAnswer(
        models=[
            ModelAnswer(
                name=manifest.name,
                version=manifest.version,
                sha256=active.file.sha256 if is_active else manifest.files[0].sha256,
                precision=active.file.precision if is_active else manifest.files[0].precision,
                active=is_active,
                input_size=(manifest.input.height, manifest.input.width),
                classes=list(manifest.classes),
                metrics=manifest.metrics,
                licence=manifest.licence,
                data_licence=manifest.training.data_licence,
            )
            for manifest, is_active in packages
        ]
    )


def latency_answer(report: LatencyReport, queue_depth: int) -> LatencyAnswer:
    """Percentiles for the wire."""
    return LatencyAnswer(
        since_start=dict(report.since_start),
        last_five_minutes=dict(report.last_five_minutes),
        target_ms=report.target_ms,
        within_target=report.within_target,
        queue_depth=queue_depth,
    )


def _tooth(tooth: Tooth, polygons: bool) -> ToothAnswer:
    box = tooth.bbox
    content = ToothAnswer(
        fdi=tooth.fdi,
        universal=tooth.universal,
        confidence=round(tooth.confidence, 4),
        uncertain=tooth.uncertain,
        area_px=tooth.area_px,
        bbox=(box.x, box.y, box.width, box.height),
    )
    if polygons:
        content["polygons"] = tooth.polygons
    return content


def _finding(finding: Finding) -> FindingAnswer:
    return FindingAnswer(
        code=finding.code,
        severity=finding.severity,
        message=finding.message,
        value=finding.value,
        limit=finding.limit,
    )


def _encoded(picture: bytes) -> Encoded:
    media_type = "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"
    return Encoded(media_type=media_type, data=pybase64.b64encode_as_string(picture))
