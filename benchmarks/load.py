"""Requests to a server: one after the other, from many callers at once, and as Poisson arrivals.

In the last of these nobody waits for an answer before the next request: the instants are fixed beforehand, and the time
of a request counts from the instant at which it was due, as in the server scenario of MLPerf Inference. A server that
falls behind therefore shows it, whatever hinders the requests. As behind any proxy, no more than `CALLERS` requests are
open at once; the others wait for their turn, and their time runs.
"""

import http.client
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

CALLERS: Final = 16

_BOUNDARY: Final = "9c1f7a3e5b8d42f0a6e4c2d19b7f3058"
"""As long as those that callers make: a short one takes a server three times as long to look for."""

FORM_TYPE: Final = f"multipart/form-data; boundary={_BOUNDARY}"
_PATIENCE_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Times:
    """How long requests took, in milliseconds from the instants at which they were due.

    Attributes:
        taken_ms: of each request; infinite where no answer came before the measurement ended, or one with an error.
        seconds: that the measurement lasted.
        in_time: answers within those seconds.
    """

    taken_ms: tuple[float, ...]
    seconds: float
    in_time: int

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return self.in_time / self.seconds


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: the smallest value that at least `share` (0..1] of the values do not exceed.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values, so no percentile of them")
    return sorted(values)[math.ceil(share * len(values)) - 1]


def together(rounds: Sequence[Times]) -> Times:
    """Several measurements of one server as one."""
    taken_ms = tuple(taken_ms for times in rounds for taken_ms in times.taken_ms)
    return Times(taken_ms, sum(times.seconds for times in rounds), sum(times.in_time for times in rounds))


def poisson_schedule(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds from the beginning at which requests are due, `rate` a second on average; the same for the same seed."""
    generator = random.Random(seed)
    instants: list[float] = []
    due = generator.expovariate(rate)
    while due < seconds:
        instants.append(due)
        due += generator.expovariate(rate)
    return instants


def form(picture: bytes) -> bytes:
    """The body of a form with one file, which every server takes; made beforehand, so that no request pays for it."""
    head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="radiograph"\r\n'
    head += "Content-Type: application/octet-stream\r\n\r\n"
    return head.encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()


class Caller:
    """One connection to a server, kept open, and opened again where the server has closed it; for one thread at a time.

    Args:
        url: scheme, host, port, path and query of the route.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_PATIENCE_S)
        self._path = f"{parts.path}?{parts.query}" if parts.query else parts.path

    def send(self, body: bytes) -> bytes:
        """Post a form; the answer.

        Raises:
            OSError, http.client.HTTPException: no answer came, or one that is not 200.
        """
        return self._exchange("POST", body, {"Content-Type": FORM_TYPE})

    def get(self) -> bytes:
        """The answer to a GET; raises as `send`."""
        return self._exchange("GET", None, {})

    def _exchange(self, method: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        kept_open = self._connection.sock is not None
        try:
            self._connection.request(method, self._path, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            # Servers close a connection that rests for some seconds.
            if kept_open and isinstance(error, ConnectionError):
                return self._exchange(method, body, headers)
            raise
        if answer.status != 200:
            raise http.client.HTTPException(f"{self._path} answered {answer.status}: {content[:300]!r}")
        return content

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def single_stream(send: Callable[[bytes], bytes], bodies: Sequence[bytes]) -> list[tuple[float, bytes]]:
    """Requests sent one after the other: the milliseconds of each, and its answer."""
    answers = []
    for body in bodies:
        begin = time.perf_counter()
        answer = send(body)
        answers.append((1000 * (time.perf_counter() - begin), answer))
    return answers


def closed_loop(url: str, bodies: Sequence[bytes], seconds: float, callers: int = CALLERS) -> Times:
    """So many callers, each sending one request after the other; a first second is not counted."""
    begin = time.perf_counter() + 1.0
    end = begin + seconds
    answered: list[tuple[float, float]] = []

    def call(number: int) -> None:
        with _calling(url) as caller:
            sent = number
            while (due := time.perf_counter()) < end:
                taken_ms = _answered_after(caller, bodies[sent % len(bodies)], due)
                answered.append((time.perf_counter(), taken_ms))
                sent += 1

    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(call, range(callers)))
    counted = [taken_ms for at, taken_ms in answered if begin <= at]
    in_time = sum(begin <= at < end and math.isfinite(taken_ms) for at, taken_ms in answered)
    return Times(tuple(counted), seconds, in_time)


def open_loop(url: str, bodies: Sequence[bytes], schedule: Sequence[float], seconds: float) -> Times:
    """Requests at the instants of a schedule; what has not been answered half as long again after it is given up."""
    begin = time.perf_counter() + 0.1
    end, given_up = begin + seconds, begin + 1.5 * seconds
    due_requests: queue.SimpleQueue[tuple[int, float] | None] = queue.SimpleQueue()
    times_ms = [math.inf] * len(schedule)

    def call(_: int) -> None:
        with _calling(url) as caller:
            while (request := due_requests.get()) is not None:
                number, due = request
                if time.perf_counter() < given_up:
                    times_ms[number] = _answered_after(caller, bodies[number % len(bodies)], due)

    def arrive() -> None:
        for number, after in enumerate(schedule):
            time.sleep(max(0.0, begin + after - time.perf_counter()))
            due_requests.put((number, begin + after))
        for _ in range(CALLERS):
            due_requests.put(None)

    arrivals = threading.Thread(target=arrive)
    arrivals.start()
    with ThreadPoolExecutor(CALLERS) as threads:
        list(threads.map(call, range(CALLERS)))
    arrivals.join()
    late = [begin + after + taken_ms / 1000 >= end for after, taken_ms in zip(schedule, times_ms, strict=True)]
    return Times(tuple(times_ms), seconds, len(late) - sum(late))


@contextmanager
def _calling(url: str) -> Iterator[Caller]:
    caller = Caller(url)
    try:
        yield caller
    finally:
        caller.close()


def _answered_after(caller: Caller, body: bytes, due: float) -> float:
    """Milliseconds from the instant when a request was due to its answer; infinite where there is none."""
    try:
        caller.send(body)
    except (OSError, http.client.HTTPException):
        return math.inf
    return 1000 * (time.perf_counter() - due)
