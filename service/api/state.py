"""What the routes share: the loaded segmenter or why there is none, the recorder of times, and the way to an answer."""

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Annotated, Final, TypeVar

import structlog
from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter, Gauge, Info, ProcessCollector

from service.api.uploads import UploadRoom, in_time, read_body
from service.api.workers import Workers
from service.errors import NotReady, ReloadFailed, RequestError, SetupError, TimedOut
from service.latency import LatencyRecorder
from service.model.package import choose_package
from service.segmenter import Segmenter
from service.settings import Settings, unknown_variables
from service.ticket import Ticket

_log: Final = structlog.get_logger("panoseg.service")

_R = TypeVar("_R")

_PROCESSOR_TARGET_MS: Final = 500.0
_GPU_TARGET_MS: Final = 50.0
"""What a request is meant to stay within where the settings do not say."""

_LOOK_AGAIN_S: Final = 0.02
"""Until it is asked again whether a model that has been replaced has requests under way still."""

_WARM_EVERY_S: Final = 2.0
_WARM_FOR_S: Final = 3600.0
"""After the last request; whoever sent none for an hour will hardly send one within seconds."""

_LAST_PATIENCE_S: Final = 1.0
"""For work that nobody waits for any more, until it looks again whether somebody does."""


class ServiceState:
    """The service between start and stop.

    Attributes:
        registry: of everything that `/metrics` tells.
        recorder: of requests' times; its target is a GPU's until the model is loaded, where none is set.
        requests, faults: counters for `/metrics`.
        failed: why the model could not be loaded, once that is known.
        stopping: whether the service has been told to stop.
        unfinished: whether work went on after the stop that does not come to its end.
        upload_room: for what is being received.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.recorder = LatencyRecorder(settings.latency_target_ms or _GPU_TARGET_MS, self.registry)
        self.requests = Counter(
            "panoseg_requests", "Requests answered, by route and status.", ["route", "status"], registry=self.registry
        )
        Gauge("panoseg_queue_depth", "Requests that wait for their turn.", registry=self.registry).set_function(
            lambda: self.queue_depth
        )
        Gauge("panoseg_under_way", "Requests worked on or waiting.", registry=self.registry).set_function(
            lambda: self.under_way
        )
        Gauge("panoseg_ready", "1 when a model is loaded and warmed up.", registry=self.registry).set_function(
            lambda: float(self._segmenter is not None and not self.stopping)
        )
        self.faults = Counter(
            "panoseg_faults", "Faults that nobody foresaw, each answered 500.", registry=self.registry
        )
        self._reloads = Counter(
            "panoseg_reloads", "Models that were to take over, by outcome.", ["outcome"], registry=self.registry
        )
        Gauge(
            "panoseg_reload_failed",
            "1 from a reload of what the settings say that failed until one succeeds.",
            registry=self.registry,
        ).set_function(lambda: float(self._not_reloaded is not None))
        for outcome in ("done", "failed"):  # a rate misses the first of a series that was not there before
            self._reloads.labels(outcome)
        self._model = Info("panoseg_model", "The model that answers.", registry=self.registry)
        self.failed: str | None = None
        self._not_reloaded: str | None = None
        self.stopping = False
        self.unfinished = False
        self.upload_room = UploadRoom(settings.max_upload_mb)
        self._started = time.monotonic()
        self._segmenter: Segmenter | None = None
        self._reloading = asyncio.Lock()
        self._by_signal: set[asyncio.Task[None]] = set()
        self._workers = Workers(settings.max_requests)
        self._last_asked = self._started
        self._warming: asyncio.Task[None] | None = None

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

    def check_ready(self) -> None:
        """Call where the segmenter itself is not wanted.

        Raises:
            NotReady: as `segmenter`.
        """
        _ = self.segmenter

    @property
    def warnings(self) -> list[str]:
        """What an administrator should know.

        Raises:
            NotReady: as `segmenter`.
        """
        unknown = [f"{variable} is set, and nothing reads it." for variable in unknown_variables()]
        failed = [self._not_reloaded] if self._not_reloaded else []
        return [*self.segmenter.model.warnings, *failed, *unknown]

    @property
    def queue_depth(self) -> int:
        """Requests that wait for their turn: to be begun, or at the model."""
        return self._workers.to_begin + (self._segmenter.engine.waiting if self._segmenter else 0)

    @property
    def under_way(self) -> int:
        """Requests worked on or waiting."""
        return self._segmenter.engine.under_way if self._segmenter else 0

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    async def load(self, on_failure: Callable[[], None]) -> None:
        """Load and warm up the model beside the event loop, so that the health routes answer meanwhile."""
        try:
            loaded = await asyncio.to_thread(self._load, self.settings.model)
        except Exception as error:
            self.failed = _tell("start failed", error)
            on_failure()
            return
        self._take_over(loaded)
        self._warming = asyncio.create_task(self._keep_warm())

    async def _keep_warm(self) -> None:
        """Read a picture now and then where nobody asks: what rests for seconds is slow to come back to the caches."""
        while True:
            await asyncio.sleep(_WARM_EVERY_S)
            if not self.under_way and time.monotonic() < self._last_asked + _WARM_FOR_S:
                with suppress(RequestError):  # there is more to do, or the model has been replaced
                    await self._workers.keep_warm(self.segmenter)

    async def reload(self, wanted: str | None) -> Segmenter:
        """Load and warm up a model beside the one that runs, then let it take over between two requests.

        Requests under way are finished by the model that took them; then it is let go.

        Args:
            wanted: `name` or `name/version`; what the settings say where None.

        Raises:
            ReloadFailed: the model cannot be served; the one that runs goes on.
            NotReady: no model has been loaded yet, or the service is stopping.
        """
        async with self._reloading:
            before = self.segmenter
            try:
                loaded = await asyncio.to_thread(self._load, wanted or self.settings.model)
            except Exception as error:
                self._reloads.labels("failed").inc()
                manifest = before.package.manifest
                reason = _tell("reload failed", error)
                if wanted is None:  # what somebody asked for by name, the next start does not
                    self._not_reloaded = (
                        f"{manifest.name}/{manifest.version} goes on, since the last reload failed, and the next start "
                        f"may fail likewise: {reason}"
                    )
                raise ReloadFailed(f"{manifest.name}/{manifest.version} goes on: {reason}") from error
            self._take_over(loaded)
            self._not_reloaded = None
            self._reloads.labels("done").inc()
            # Places are taken on the event loop, and none of this one's from here on.
            while before.engine.under_way and not self.stopping:
                await asyncio.sleep(_LOOK_AGAIN_S)
            if not self.stopping:  # what a stop finds under way may never end
                await asyncio.to_thread(before.close)
            return loaded

    def reload_by_signal(self) -> None:
        """Reload what the settings say; nobody waits for the outcome, so the log alone tells it."""
        reloading = asyncio.create_task(self._reload_unasked())
        self._by_signal.add(reloading)  # the loop itself holds no more than a weak reference
        reloading.add_done_callback(self._by_signal.discard)

    async def _reload_unasked(self) -> None:
        try:
            await self.reload(None)
        except ReloadFailed:
            pass  # has been logged
        except NotReady as error:
            _log.warning("reload refused", reason=str(error))

    def _load(self, wanted: str | None) -> Segmenter:
        return Segmenter(choose_package(self.settings.models, wanted), self.settings)

    def _take_over(self, segmenter: Segmenter) -> None:
        """Have a loaded model answer from now on."""
        model, manifest = segmenter.model, segmenter.package.manifest
        session = model.session
        self._segmenter = segmenter
        self._model.info({"name": manifest.name, "version": manifest.version, "provider": session.execution_provider})
        self.recorder.target_ms = self.settings.latency_target_ms or (
            _PROCESSOR_TARGET_MS if session.on_processor else _GPU_TARGET_MS
        )
        for warning in model.warnings:
            _log.warning("runtime", message=warning)
        _log.info(
            "ready",
            model=f"{manifest.name}/{manifest.version}",
            provider=session.execution_provider,
            threads=model.threads,
            chosen=model.reason,
            **({"spinning": model.spinning} if session.provider == "cpu" else {}),
        )

    async def stop(self) -> None:
        """Finish what is under way and let the model go."""
        self.stopping = True
        if self._warming:
            self._warming.cancel()
        async with self._reloading:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.unfinished = not self._workers.close(_LAST_PATIENCE_S)
        if self._segmenter and not self.unfinished:
            self._segmenter.close()

    async def answer(
        self,
        request: Request,
        work: Callable[[bytes, Segmenter, Ticket], _R],
        *,
        long: bool = False,
        counts: Callable[[], bool] = lambda: True,
    ) -> tuple[Segmenter, _R, dict[str, float]]:
        """Read a request's body and do its work, until its deadline, or until its caller goes; record its times.

        Args:
            work: takes the body, what answers, and the request's ticket.
            long: whether the work may hold many pictures, for which a radiograph is not to wait.
            counts: asked at the end, whether this was a request that the latency target is for.

        Returns:
            What answered, what the work gave, and the times in milliseconds as the caller is told them.

        Raises:
            RequestError: as the work raises, the body is not one that is taken, or every place is.
            ClientDisconnect: the caller has gone.
        """
        begun = time.perf_counter()
        self._last_asked = time.monotonic()
        # Before the upload is read, so that nobody sends one for nothing.
        self.segmenter.engine.check_place()
        with ExitStack() as held:
            take = held.enter_context(self.upload_room.share())
            reading = read_body(request, self.settings.max_upload_mb, take)
            body = await in_time(reading, self.settings.timeout_s)
            request.state.log["bytes"] = len(body)
            segmenter, ticket = self.segmenter, Ticket(self.settings.timeout_s, begun)
            try:
                result = await self._workers.run(request, segmenter, ticket, partial(work, body), held, long=long)
            except TimedOut:
                if counts():
                    self.recorder.record_timed_out()
                raise
            finally:
                timings_ms = ticket.clock.read_ms()
                request.state.log["timings_ms"] = timings_ms
                request.state.answer_headers = _answer_headers(segmenter, timings_ms)
            if counts():
                self.recorder.record(timings_ms)
            return segmenter, result, timings_ms


def _answer_headers(segmenter: Segmenter, timings_ms: dict[str, float]) -> dict[str, str]:
    """The times and the model, as headers of an answer."""
    manifest = segmenter.package.manifest
    return {
        "Server-Timing": ", ".join(f"{stage};dur={value:.3f}" for stage, value in timings_ms.items()),
        "X-Model": f"{manifest.name}/{manifest.version}",
    }


def _tell(event: str, error: Exception) -> str:
    """Log why a model could not be loaded, with the trace where nobody foresaw it, and say it in a sentence."""
    foreseen = isinstance(error, SetupError)
    reason = str(error) if foreseen else "an unforeseen fault; the log holds its trace"
    _log.error(event, reason=reason, exc_info=None if foreseen else error)
    return reason


async def _state(request: Request) -> ServiceState:
    # Not a plain function: FastAPI would have another thread call it, and wait for that.
    state: ServiceState = request.app.state.service
    return state


State = Annotated[ServiceState, Depends(_state)]
"""The state, as a parameter of a route."""
