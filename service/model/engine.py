"""The owners of the model's sessions: they take prepared pictures in order, drop those nobody waits for, run the rest.

A request takes a place or is refused at once; its picture becomes an entry of one queue. On a processor, as many
threads as the model has take the next entries. As long as few requests are under way, pictures are read one after the
other with every core, which is soonest; beyond that with one core each, which costs less of the cores' time. How many
are few depends on how many there usually are: a handful that came together by chance is soon read, of a steady stream
more will come. On a GPU one thread takes all that wait, as one batch; no picture ever waits for company. An entry
carries the instants it passed, so waiting and computing come apart exactly.
"""

import queue
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from service.errors import Busy, NotReady, TimedOut
from service.model.prediction import Prediction
from service.model.session import Session
from service.segmentation import Picture
from service.ticket import Abandoned, Ticket

_USUALLY_FEW: Final = 1.5
"""Requests under way for each core, on average, up to which a handful is taken to have come together by chance."""
_A_HANDFUL: Final = 2
"""Requests under way for each core."""
_OF_THE_LATEST: Final = 0.1
"""Share of the latest picture in that average."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    pixels: Picture
    ticket: Ticket
    answer: "Future[Prediction]" = field(default_factory=Future)


class Engine:
    """Runs a model for many requests, first come, first served.

    Args:
        session: the loaded model; from now on only the engine's threads use it.
        alongside: the same model for several pictures at once, as `open_lanes` gives it; None has `session` do all.
        max_requests: how many requests may be worked on or wait at once.
    """

    def __init__(self, session: Session, alongside: Session | None, max_requests: int) -> None:
        self._session = session
        self._alongside = alongside
        self._max_requests = max_requests
        self._under_way = 0
        self._waiting = 0
        self._usually_under_way = 0.0
        self._counting = threading.Lock()
        self._typical_s = 0.1
        self._cores = threading.Condition()
        self._one_has_every_core = False
        self._have_one_core_each = 0
        self._entries: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._closed = False
        if alongside:
            self._owners = [
                threading.Thread(target=self._read_one_by_one, args=(alongside,), name=f"model-{lane}", daemon=True)
                for lane in range(alongside.lanes)
            ]
        else:
            self._owners = [threading.Thread(target=self._read_in_batches, name="model-0", daemon=True)]
        for owner in self._owners:
            owner.start()

    @property
    def under_way(self) -> int:
        """Requests that hold a place now."""
        return self._under_way

    @property
    def waiting(self) -> int:
        """Pictures that wait for the model now."""
        return self._waiting

    def admit(self) -> None:
        """Take a place for a request, which `leave` gives back.

        Raises:
            Busy: every place is taken.
        """
        with self._counting:
            self.check_place()
            self._under_way += 1

    def check_place(self) -> None:
        """Refuse where every place is taken.

        Raises:
            Busy: every place is taken.
        """
        if self._under_way < self._max_requests:
            return
        wait_s = max(1, round(self._max_requests * self._typical_s))
        raise Busy(f"All {self._max_requests} places are taken; send the radiograph again in {wait_s} s.", wait_s)

    def leave(self) -> None:
        """Give back a place."""
        with self._counting:
            self._under_way -= 1

    def predict(self, pixels: Picture, ticket: Ticket) -> Prediction:
        """Wait for the model's word on a prepared picture, `(height, width)` `uint8`; counts `queue` and `infer`.

        Raises:
            TimedOut: the deadline passed first.
            Abandoned: the caller has gone.
            NotReady: the engine has been closed.
        """
        ticket.check()
        if self._closed:
            raise NotReady("The service is stopping; send the radiograph again when it is back.")
        entry = _Entry(pixels, ticket)
        ticket.wait()
        with self._counting:
            self._waiting += 1
        self._entries.put(entry)
        try:
            return entry.answer.result(timeout=ticket.remaining_s)
        except TimeoutError:
            raise ticket.timed_out() from None

    def close(self) -> None:
        """Finish what is in the queue and let the sessions go."""
        self._closed = True
        for _ in self._owners:
            self._entries.put(None)
        for owner in self._owners:
            owner.join()
        for session in filter(None, (self._session, self._alongside)):
            session.close()

    def _read_in_batches(self) -> None:
        """The owner of a GPU, or of a model with one thread, whose batches are of one picture: takes all that wait."""
        while (first := self._entries.get()) is not None:
            self._read(self._session, [first, *self._take_waiting()])

    def _read_one_by_one(self, alongside: Session) -> None:
        """One of the owners of a processor: takes one picture at a time, and holds cores while it is read."""
        while (entry := self._entries.get()) is not None:
            every_core = self._hold_cores(alongside.lanes)
            try:
                self._read(self._session if every_core else alongside, [entry])
            finally:
                self._release_cores(every_core)

    def _read(self, session: Session, taken: list[_Entry]) -> None:
        """Have a session read what has been taken, but for what nobody waits for any more."""
        begin = time.perf_counter()
        with self._counting:
            self._waiting -= len(taken)
        entries = [entry for entry in taken if _is_awaited(entry)]
        if not entries:
            return
        for entry in entries:
            entry.ticket.proceed(begin)
        try:
            predictions = session.run(np.stack([entry.pixels for entry in entries]))
        except BaseException as error:  # it belongs to the requests, not to this thread
            for entry in entries:
                entry.answer.set_exception(error)
            return
        elapsed = time.perf_counter() - begin
        self._typical_s += 0.1 * (elapsed / len(entries) / session.lanes - self._typical_s)
        for entry, prediction in zip(entries, predictions, strict=True):
            entry.ticket.clock.add("infer", elapsed)
            entry.answer.set_result(prediction)

    def _take_waiting(self) -> list[_Entry]:
        """What waits already and fits into one batch with an entry that has been taken."""
        taken: list[_Entry] = []
        while len(taken) + 1 < self._session.batches[-1]:
            try:
                entry = self._entries.get_nowait()
            except queue.Empty:
                break
            if entry is None:  # the order to stop, to be found again once these are done
                self._entries.put(None)
                break
            taken.append(entry)
        return taken

    def _hold_cores(self, cores: int) -> bool:
        """Wait until there are cores for the next picture, and take them; whether it has every core, or one."""
        with self._cores:
            # Never both ways at once: threads that wait for each other wait long where others take their cores.
            self._cores.wait_for(lambda: not self._one_has_every_core)
            self._usually_under_way += _OF_THE_LATEST * (self._under_way - self._usually_under_way)
            every_core = not self._have_one_core_each and self._are_few(cores)
            if every_core:
                self._one_has_every_core = True
            else:
                self._have_one_core_each += 1
        return every_core

    def _release_cores(self, every_core: bool) -> None:
        with self._cores:
            if every_core:
                self._one_has_every_core = False
            else:
                self._have_one_core_each -= 1
            self._cores.notify_all()

    def _are_few(self, cores: int) -> bool:
        """Whether so few requests are under way that the picture whose turn it is gets every core."""
        usually_few = self._usually_under_way <= _USUALLY_FEW * cores
        return self._under_way <= cores * (_A_HANDFUL if usually_few else 1)


def _is_awaited(entry: _Entry) -> bool:
    """Whether somebody waits for an entry still; its caller is told if not."""
    try:
        entry.ticket.check()
    except (TimedOut, Abandoned) as error:
        entry.answer.set_exception(error)
        return False
    return True
