"""What the routes share: the loaded segmenter or why there is none, the recorder of times, the working threads."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Final

import structlog
from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.requests import ClientDisconnect

from service.errors import NotReady, SetupError
from service.latency import LatencyRecorder
from service.model.engine import Ticket
from service.model.package import choose_package
from service.segmenter import Answer, Segmenter, Wanted
from service.settings import Settings

_log: Final = structlog.get_logger("panoseg.service")


class ServiceState:
    """The service between start and stop.

    Attributes:
        failed: why the model could not be loaded, once that is known.
        stopping: whether the service has been told to stop.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.recorder = LatencyRecorder(settings.latency_target_ms, self.registry)
        self.requests = Counter(
            "panoseg_requests", "Requests answered, by route and status.", ["route", "status"], registry=self.registry
        )
        Gauge("panoseg_queue_depth", "Pictures that wait for the model.", registry=self.registry).set_function(
            lambda: self._segmenter.engine.waiting if self._segmenter else 0
        )
        Gauge("panoseg_under_way", "Requests worked on or waiting.", registry=self.registry).set_function(
            lambda: self._segmenter.engine.under_way if self._segmenter else 0
        )
        Gauge("panoseg_ready", "1 when a model is loaded and warmed up.", registry=self.registry).set_function(
            lambda: float(self._segmenter is not None and not self.stopping)
        )
        self.failed: str | None = None
        self.stopping = False
        self._started = time.monotonic()
        self._segmenter: Segmenter | None = None
        self._workers = ThreadPoolExecutor(settings.max_requests, "request")

    @property
    def segmenter(self) -> Segmenter:
        """The loaded segmenter.

        Raises:
            NotReady: there is none yet, it could not be loaded, or the service is stopping.
        """
        if self.stopping:
            raise NotReady("The service is stopping; send the radiograph again when it is back.")
        if self.failed is not None:
            raise NotReady(f"The model could not be loaded: {self.failed}")
        if self._segmenter is None:
            raise NotReady("The model is still being loaded; try again in a few seconds.")
        return self._segmenter

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    async def load(self, on_failure: Callable[[], None]) -> None:
        """Load and warm up the model beside the event loop, so that the health routes answer meanwhile."""
        try:
            self._segmenter = await asyncio.get_running_loop().run_in_executor(self._workers, self._load)
        except Exception as error:
            foreseen = isinstance(error, SetupError)
            self.failed = str(error) if foreseen else "an unforeseen fault; the log holds its trace"
            _log.error("start failed", reason=self.failed, exc_info=None if foreseen else error)
            on_failure()
            return
        session = self._segmenter.engine.session
        if session.warning:
            _log.warning("provider", message=session.warning)
        manifest = self._segmenter.package.manifest
        _log.info("ready", model=f"{manifest.name}/{manifest.version}", provider=session.provider)

    def _load(self) -> Segmenter:
        return Segmenter(choose_package(self.settings.models, self.settings.model), self.settings)

    def close(self) -> None:
        """Finish what is under way and let the model go."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        if self._segmenter:
            self._segmenter.close()

    async def segment(
        self, segmenter: Segmenter, request: Request, upload: bytes, wanted: Wanted
    ) -> tuple[Answer, Ticket]:
        """Segment an upload beside the event loop, until its deadline, or until its caller goes.

        Raises:
            RequestError: as `Segmenter.segment`, or every place is taken.
            ClientDisconnect: the caller has gone.
        """
        segmenter.engine.admit()
        ticket = Ticket(self.settings.timeout_s)
        work = asyncio.get_running_loop().run_in_executor(self._workers, segmenter.segment, upload, wanted, ticket)
        work.add_done_callback(lambda _: segmenter.engine.leave())
        gone = asyncio.create_task(_wait_for_disconnect(request))
        try:
            awaited: list[asyncio.Future[Any]] = [work, gone]
            await asyncio.wait(awaited, timeout=ticket.remaining_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result(), ticket
            if gone.done():
                raise ClientDisconnect
            raise ticket.timed_out()
        finally:
            gone.cancel()
            ticket.abandon()
            # What the dropped work ends with is nobody's concern any more, and must not be reported as unread.
            work.add_done_callback(lambda done: done.cancelled() or done.exception())


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _state(request: Request) -> ServiceState:
    state: ServiceState = request.app.state.service
    return state


State = Annotated[ServiceState, Depends(_state)]
"""The state, as a parameter of a route."""
