"""Puts the HTTP service together: state, routes, errors, request ids, the page."""

import asyncio
import mimetypes
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import structlog
from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api import images, operations, problems
from service.api.identity import request_id
from service.api.kserve import routes as kserve
from service.api.kserve.schemas import InferRequest
from service.api.schemas import Problem
from service.api.state import ServiceState
from service.errors import NotReady
from service.settings import Settings

_log: Final = structlog.get_logger("panoseg.access")

_WEB: Final = Path(__file__).resolve().parent.parent / "web"

# On Windows the registry may call it plain text, and browsers then refuse modules.
mimetypes.add_type("text/javascript", ".js")

_HEADERS: Final = {
    "X-Request-ID": "The caller's own header of that name, where it is 1 to 64 letters, digits, dots, dashes or "
    "underscores, braces around them left off; else a new one. The log has it too.",
    "Server-Timing": "Milliseconds of each stage and in total, once the work has begun.",
    "X-Model": "`name/version` of the model, once the work has begun.",
    "X-Findings": "The codes of `quality.findings`, such as `upside-down, cropped`; left out where there are none.",
    "Retry-After": "Seconds, with `busy` and `not-ready`.",
}

_PROBES: Final = ("/health/live", "/health/ready", "/metrics", "/v2/health/live", "/v2/health/ready")

_PAGE_POLICY: Final = "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'self'"


def create_app(settings: Settings, on_failure: Callable[[], None] = lambda: None) -> FastAPI:
    """The service as an ASGI application; the model is loaded after it has started.

    Args:
        on_failure: called when the model cannot be loaded; `app.state.service.failed` says why.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(state.load(on_failure))
        yield
        state.stopping = True
        await loading
        await state.stop()

    state = ServiceState(settings)
    app = FastAPIOffline(
        title="panoseg",
        summary="Finds and numbers the teeth on a panoramic dental radiograph. Not a medical device.",
        version=version("panoseg"),
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,  # to an upload a redirect is no answer: many clients do not send it again
    )
    app.state.service = state
    problems.install(app)
    app.include_router(images.router, responses=problems.FAULT)
    for path in images.PATHS:
        for status in ("503", "504"):  # a rate misses the first of a series that was not there before
            state.requests.labels(path, status)
    app.include_router(operations.router, responses=problems.FAULT)
    app.include_router(kserve.router)
    if settings.reload:
        app.include_router(operations.reload_router, responses=problems.FAULT)
    _describe_whole(app)
    _serve_page(app)
    app.add_middleware(_Envelope, state=state)
    return app


def _operation_id(route: APIRoute) -> str:
    """What programs made from the description call a route: its function's name, such as `segment`."""
    return f"v2_{route.name}" if route.path.startswith("/v2") else route.name


def _describe_whole(app: FastAPI) -> None:
    """Add to the OpenAPI description what no route tells by its types, and take out FastAPI's own error answer."""
    make = app.openapi

    def openapi() -> dict[str, Any]:
        description = make()
        schemas = description.setdefault("components", {}).setdefault("schemas", {})
        for model in (Problem, InferRequest):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= schema.pop("$defs", {})
            schemas[model.__name__] = schema
        for never in ("HTTPValidationError", "ValidationError"):
            schemas.pop(never, None)
        _give_items(schemas)
        for path, methods in description["paths"].items():
            for operation in methods.values():
                _describe_answers(path, operation["responses"])
        return description

    app.openapi = openapi  # type: ignore[method-assign]


def _give_items(schema: Any) -> None:  # noqa: ANN401 - any part of a description
    """Describe tuples of one type as lists of so many, of which makers of programs know the type."""
    if isinstance(schema, dict):
        each = schema.get("prefixItems")
        if each and all(part == each[0] for part in each):
            schema["items"] = schema.pop("prefixItems")[0]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            _give_items(part)


def _describe_answers(path: str, answers: dict[str, Any]) -> None:
    if "HTTPValidationError" in str(answers.get("422")):
        del answers["422"]
    for status, answer in answers.items():
        names = ["X-Request-ID"]
        if "504" in answers:  # where there is work that may time out
            names += ["Server-Timing", "X-Model"]
        if path in images.PATHS and status == "200":
            names.append("X-Findings")
        if status == "503":
            names.append("Retry-After")
        answer["headers"] = {
            name: {"description": _HEADERS[name], "schema": {"type": "string"}, "required": name == "X-Request-ID"}
            for name in names
        }


def _serve_page(app: FastAPI) -> None:
    """A route for each of the page's files: a folder mounted at the root would hide the other routes' wrong methods."""
    for path in sorted(_WEB.iterdir()):
        route = "/" if path.name == "index.html" else f"/{path.name}"
        app.add_route(route, _file_sender(path), methods=["GET", "HEAD"], include_in_schema=False)


def _file_sender(path: Path) -> Callable[[Request], Awaitable[FileResponse]]:
    async def send(_: Request) -> FileResponse:
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return send


class _Envelope:
    """Gives every answer its request id, counts and logs it, and lets no unforeseen fault through as a trace."""

    def __init__(self, app: ASGIApp, state: ServiceState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begin = time.perf_counter()
        identity = request_id(Headers(scope=scope).get("x-request-id"))
        structlog.contextvars.bind_contextvars(request_id=identity)  # for every line logged meanwhile
        line: dict[str, object] = {}  # what a route adds to the log
        scope.setdefault("state", {}).update(request_id=identity, log=line)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = identity
                headers.update(scope["state"].get("answer_headers", {}))
                headers["X-Content-Type-Options"] = "nosniff"
                if not scope["path"].startswith(("/docs", "/redoc")):
                    headers["Content-Security-Policy"] = _PAGE_POLICY
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = 499
        except asyncio.CancelledError:
            if status:
                raise
            stopped = NotReady(
                "The service stopped before the answer was ready; send the request again when it is back."
            )
            await (await problems.answer_request_error(Request(scope), stopped))(scope, receive, send_with_id)
        except Exception as error:
            self._state.faults.inc()
            if status:
                raise
            await (await problems.answer_fault(Request(scope), error))(scope, receive, send_with_id)
        finally:
            # The route's own template, since a path that somebody typed may hold a name.
            route = getattr(scope.get("route"), "path", "other")
            self._state.requests.labels(route, str(status)).inc()
            # Probes that are answered well would be all that a log holds.
            log = _log.debug if route in _PROBES and status == 200 else _log.info
            log(
                "request",
                method=scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS") else "other",
                route=route,
                status=status,
                duration_ms=round(1000 * (time.perf_counter() - begin), 3),
                **line,
            )
