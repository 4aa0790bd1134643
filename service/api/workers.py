"""The threads that do requests' work beside the event loop."""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final, TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.machine import usable_cores
from service.render.draw import load_font
from service.segmenter import Segmenter
from service.ticket import Ticket

_BESIDE_THE_CORES: Final = 1
"""Radiographs worked on beyond one for each core, so that none idles while an answer changes hands."""

_LOOK_AGAIN_S: Final = 0.02

_R = TypeVar("_R")


class Workers:
    """Threads for radiographs, and others for requests of many pictures.

    Where the processor does everything, no more radiographs are worked on at once than keep its cores busy; the others
    wait for their turn, which is sooner for all of them. A GPU is handed as many as there may be, for its batches.

    Args:
        max_requests: how many may be worked on at once.

    Attributes:
        to_begin: requests that wait for a thread.
    """

    def __init__(self, max_requests: int) -> None:
        self.to_begin = 0
        self._at_work = 0
        self._counting = threading.Lock()
        few = usable_cores() + _BESIDE_THE_CORES
        self._all_at_once = ThreadPoolExecutor(max_requests, "request")
        self._few_at_once = ThreadPoolExecutor(few, "radiograph")
        self._many_pictures = ThreadPoolExecutor(few, "pictures")
        # Begins the first thread, so that on a processor the first radiograph does not wait for its font. Only that
        # one: those that come one by one are all its own, and find its memory and caches warm.
        self._few_at_once.submit(load_font)

    async def run(
        self,
        request: Request,
        segmenter: Segmenter,
        ticket: Ticket,
        work: Callable[[Segmenter, Ticket], _R],
        held: ExitStack,
        *,
        long: bool,
    ) -> _R:
        """Do a request's work, until its deadline or until its caller goes.

        Args:
            work: takes what answers and the ticket.
            held: what the work holds until its own end, which may come after the request's; taken out of here with it.
            long: whether the work may hold many pictures, for which a radiograph is not to wait.

        Raises:
            RequestError: as the work raises, every place is taken, or the deadline passed.
            ClientDisconnect: the caller has gone.
        """
        segmenter.engine.admit()
        alone = self._few_at_once if segmenter.model.session.on_processor else self._all_at_once
        workers = self._many_pictures if long else alone
        ticket.wait()
        with self._counting:
            self.to_begin += 1

        def begin() -> _R:
            with self._counting:
                self.to_begin -= 1
                self._at_work += 1
            try:
                ticket.proceed()
                ticket.check()
                return work(segmenter, ticket)
            finally:
                with self._counting:
                    self._at_work -= 1

        # In the request's context, so that what the work logs bears its id.
        working = asyncio.get_running_loop().run_in_executor(workers, contextvars.copy_context().run, begin)
        working.add_done_callback(lambda _: segmenter.engine.leave())
        needed = held.pop_all()
        working.add_done_callback(lambda _: needed.close())
        gone = asyncio.create_task(_wait_for_disconnect(request))
        try:
            awaited: list[asyncio.Future[Any]] = [working, gone]
            await asyncio.wait(awaited, timeout=ticket.remaining_s, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            if gone.done():
                raise ClientDisconnect
            raise ticket.timed_out()
        finally:
            gone.cancel()
            ticket.abandon()
            # What the dropped work ends with is nobody's concern any more, and must not be reported as unread.
            working.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def keep_warm(self, segmenter: Segmenter) -> None:
        """Have the thread that reads radiographs which come one by one go their way unasked.

        Raises:
            RequestError: as `Segmenter.keep_warm`.
        """
        await asyncio.get_running_loop().run_in_executor(self._few_at_once, segmenter.keep_warm)

    def close(self, patience_s: float) -> bool:
        """Let what has begun come to its end, and cancel what waits for a thread; whether all has ended in time."""
        for workers in (self._all_at_once, self._few_at_once, self._many_pictures):
            workers.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + patience_s
        while self._at_work and time.monotonic() < until:
            time.sleep(_LOOK_AGAIN_S)
        return not self._at_work


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
