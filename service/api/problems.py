"""Turns errors into answers: `application/problem+json` (RFC 9457), never a stack trace."""

from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service import errors
from service.api.kserve.schemas import ProtocolError
from service.api.schemas import Problem

_log: Final = structlog.get_logger("panoseg.api")

_CONTENT: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

FAULT: Final[dict[int | str, dict[str, Any]]] = {
    500: {"description": "`internal-error`: A fault that nobody foresaw.", "content": _CONTENT}
}
"""What every route can answer."""

_HTTP_ERRORS: Final = {
    404: ("not-found", "There is no such page"),
    405: ("method-not-allowed", "The method is not allowed here"),
}
"""Slugs and titles."""


def problem(
    request: Request, slug: str, status: int, title: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem answer for a request; under `/v2` in the form of the protocol that is spoken there."""
    request.state.log["problem"] = slug
    if request.url.path.startswith("/v2"):
        return JSONResponse(ProtocolError(error=detail).model_dump(), status, headers)
    content = Problem(
        type=f"urn:panoseg:problem:{slug}",
        title=title,
        status=status,
        detail=detail,
        instance=request.url.path,
        request_id=request.state.request_id,
    )
    return JSONResponse(content.model_dump(), status, headers, media_type="application/problem+json")


def describe(*classes: type[errors.RequestError]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of the problem answers that a route can give."""
    by_status: dict[int, list[type[errors.RequestError]]] = {}
    for error in classes:
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "description": "; ".join(f"`{error.slug}`: {(error.__doc__ or '').splitlines()[0]}" for error in group),
            "content": _CONTENT,
        }
        for status, group in by_status.items()
    }


IMAGE_PROBLEMS: Final = describe(
    errors.EmptyUpload,
    errors.DamagedImage,
    errors.UnsupportedFormat,
    errors.TooLarge,
    errors.TooManyPixels,
    errors.TooSmall,
    errors.InvalidParameter,
    errors.NotAPanoramic,
    errors.Busy,
    errors.NotReady,
    errors.TimedOut,
)
"""What every image route can answer besides its answer."""


def install(app: FastAPI) -> None:
    """Have every error of the application answered as a problem."""
    app.add_exception_handler(errors.RequestError, answer_request_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_error)


async def answer_request_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to a fault of one request."""
    assert isinstance(error, errors.RequestError)
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s else None
    return problem(request, error.slug, error.status, error.title, str(error), headers)


async def _answer_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # The input itself is left out: pydantic's messages tell the parameter and what would be right.
    faults = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in error.errors())
    return await answer_request_error(request, errors.InvalidParameter(f"{faults}."))


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    slug, title = _HTTP_ERRORS.get(error.status_code, ("bad-request", "The request cannot be answered"))
    headers = dict(error.headers) if error.headers else None
    return problem(request, slug, error.status_code, title, f"{title}; /docs lists the routes.", headers)


async def answer_fault(request: Request, error: Exception) -> JSONResponse:
    """The answer to a fault that nobody foresaw; the trace goes to the log under the request's id."""
    _log.error("fault", exc_info=error)
    detail = "Something went wrong inside the service; its log tells more under this request_id."
    return problem(request, "internal-error", 500, "Internal error", detail)
