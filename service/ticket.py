"""A request's right to be worked on, and what its work ends with where nobody waits for it any more."""

import threading
import time

from service.errors import TimedOut
from service.latency import Clock


class Abandoned(Exception):
    """The caller of a request has gone, so its work is dropped."""


class Ticket:
    """A request's right to be worked on, until its deadline passes or its caller goes.

    Args:
        timeout_s: seconds from the request's beginning to its deadline.
        begun: when it began, by `time.perf_counter`; now where None.

    Attributes:
        clock: the request's times, from now on.
    """

    def __init__(self, timeout_s: float, begun: float | None = None) -> None:
        self.clock = Clock()
        self._timeout_s = timeout_s
        self._waiting_since: float | None = None
        self._deadline = (time.perf_counter() if begun is None else begun) + timeout_s
        self._abandoned = threading.Event()

    def abandon(self) -> None:
        """Say that nobody waits for the answer any more."""
        self._abandoned.set()

    def wait(self) -> None:
        """Say that the work waits for its turn from now on."""
        self._waiting_since = time.perf_counter()

    def proceed(self, now: float | None = None) -> None:
        """Say that its turn has come, or came then; counts `queue`."""
        if self._waiting_since is not None:
            self.clock.add("queue", (time.perf_counter() if now is None else now) - self._waiting_since)
            self._waiting_since = None

    def check(self) -> None:
        """Call between steps of the work.

        Raises:
            TimedOut: the deadline has passed.
            Abandoned: the caller has gone.
        """
        if self._abandoned.is_set():
            raise Abandoned
        if time.perf_counter() > self._deadline:
            raise self.timed_out()

    @property
    def remaining_s(self) -> float:
        """Seconds to the deadline, 0 where it has passed."""
        return max(0.0, self._deadline - time.perf_counter())

    def timed_out(self) -> TimedOut:
        """The error for a deadline that has passed."""
        waited_s, since = self.clock.read_ms()["queue"] / 1000, self._waiting_since
        if since is not None:
            waited_s += time.perf_counter() - since
        advice = (
            "it waited for its turn; try again when the service is less busy."
            if waited_s > self._timeout_s / 2
            else "the upload and the work itself took that long. Send a smaller picture, or have PANOSEG_TIMEOUT_S "
            "raised."
        )
        return TimedOut(f"The answer was not ready within {self._timeout_s:g} s: {advice}")
