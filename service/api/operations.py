"""The routes for those who run the service: models, latency, health, metrics."""

from importlib.metadata import version
from typing import Annotated, Final

import structlog
from fastapi import APIRouter, Depends, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.parameters import refuse_unknown_parameters
from service.api.problems import describe
from service.api.schemas import (
    LatencyAnswer,
    Live,
    Model,
    ModelsAnswer,
    Ready,
    latency_answer,
    model_answer,
    models_answer,
)
from service.api.state import State
from service.errors import InvalidParameter, NotReady, ReloadFailed
from service.model.package import read_manifests

router: Final = APIRouter(tags=["operations"])

reload_router: Final = APIRouter(tags=["operations"], dependencies=[Depends(refuse_unknown_parameters)])
"""Only where the settings allow it: whoever reaches the service could have it load again and again."""

_NOT_READY: Final = describe(NotReady)

_log: Final = structlog.get_logger("panoseg.service")


@router.get("/v1/models", summary="What can be run", responses=_NOT_READY)
def models(state: State) -> ModelsAnswer:
    """Every model package in the folder of models, with its metrics and licence; the log names those left out."""
    active = state.segmenter  # once, since another may take over meanwhile
    manifests, faults = read_manifests(state.settings.models)
    for fault in faults:
        _log.warning("model left out", reason=fault)
    packages = [(manifest, folder == active.package.folder) for folder, manifest in manifests]
    if not any(is_active for _, is_active in packages):  # its folder has gone, or holds another by now
        packages.insert(0, (active.package.manifest, True))
    return models_answer(packages, active.model.session)


@reload_router.post(
    "/v1/models/reload",
    summary="Replace the model without losing a request",
    responses=describe(InvalidParameter, NotReady, ReloadFailed),
)
async def reload(
    state: State,
    model: Annotated[
        str | None, Query(description="<name> or <name>/<version>; what the settings say where not given.")
    ] = None,
) -> Model:
    """Loads a package of the folder of models beside the one that runs; answers once it has taken over."""
    segmenter = await state.reload(model)
    return model_answer(segmenter)


@router.get("/v1/latency", summary="Where the time went", responses=_NOT_READY)
async def latency(state: State) -> LatencyAnswer:
    """Percentiles by stage, since the start and over the last five minutes, and the share within the target."""
    state.check_ready()
    return latency_answer(state.recorder.report(), state.queue_depth)


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", summary="The process runs")
async def live() -> Live:
    """200 while the process runs."""
    return Live()


@router.head("/health/ready", include_in_schema=False)
@router.get("/health/ready", summary="A model is loaded and warmed up", responses=_NOT_READY)
async def ready(state: State) -> Ready:
    """200 with model, provider and uptime; 503 with the reason before that and while stopping."""
    segmenter = state.segmenter
    return Ready(
        version=version("panoseg"),
        model=model_answer(segmenter),
        uptime_s=round(state.uptime_s, 3),
        warnings=state.warnings,
    )


@router.head("/metrics", include_in_schema=False)
@router.get(
    "/metrics", summary="Prometheus metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}}
)
async def metrics(state: State) -> Response:
    """The same times as in the answers, as histograms; requests by route and status; queue depth."""
    return Response(generate_latest(state.registry), media_type=CONTENT_TYPE_LATEST)
