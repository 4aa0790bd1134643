"""Does the service stay reachable while callers press, quick after a pause, and whole while a model takes over?

    .venv-test/bin/python -m benchmarks.pressure

Prints each figure beside its floor and returns 1 where one falls. The callers are a process of their own, so that the
one that looks at the clock does not wait for them.
"""

import argparse
import math
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from threading import Event, Thread
from typing import Final

import cv2
import httpx
from rich.console import Console
from rich.table import Table

from service.machine import processor_name, usable_cores
from tests.running import running_service
from training.phantom import draw_phantom

PAUSE_S: Final = 10.0

FLOORS: Final = {
    "/health/live under pressure, slowest, ms": 50.0,
    "/v1/latency under pressure, slowest, ms": 50.0,
    "/health/live of a service beside it that nobody presses, slowest, ms": math.inf,
    "first request after 10 s of rest, over the busy median": 1.5,
    "p99 while models take over, over p99 before": 2.0,
    "requests lost while models take over": 0.0,
}


def main() -> int:
    """Returns 1 where a floor falls."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=15, help="of pressure, each time")
    arguments.add_argument("--pauses", type=int, default=5, help="rests that are measured")
    arguments.add_argument("--callers", type=int, default=16, help="that press at once")
    chosen = arguments.parse_args()
    upload = cv2.imencode(".png", draw_phantom(1, 1435, 2943).pixels)[1].tobytes()
    figures = {}
    with ExitStack() as stack:
        # The deadline is long, so that a slow machine makes callers wait and loses none.
        url, _, _ = stack.enter_context(running_service("--reload", "--timeout-s", "120"))
        beside, _, _ = stack.enter_context(running_service())
        client = stack.enter_context(httpx.Client(base_url=url, timeout=120))
        for _ in range(3):
            client.post("/v1/segment", content=upload)
        with pressed(url, upload, chosen.callers):
            routes = [f"{url}/health/live", f"{url}/v1/latency", f"{beside}/health/live"]
            figures |= zip(list(FLOORS)[:3], _slowest_ms(client, routes, chosen.seconds), strict=True)
        figures["first request after 10 s of rest, over the busy median"] = _after_rest(client, upload, chosen.pauses)
        before, lost_before = _during(url, upload, chosen.callers, lambda: time.sleep(chosen.seconds))
        while_reloading, lost = _during(url, upload, chosen.callers, lambda: _reload_for(client, chosen.seconds))
        figures["p99 while models take over, over p99 before"] = while_reloading / before
        figures["requests lost while models take over"] = float(lost + lost_before)
    table = Table("what", "measured", "at most", title=f"{processor_name()}, {usable_cores()} cores")
    for name, figure in figures.items():
        colour = "green" if figure <= FLOORS[name] else "red"
        table.add_row(name, f"[{colour}]{figure:.2f}[/]", f"{FLOORS[name]:g}")
    Console().print(table)
    return int(any(figure > FLOORS[name] for name, figure in figures.items()))


@contextmanager
def pressed(url: str, upload: bytes, callers: int) -> Iterator[Connection]:
    """While it lasts, callers send one radiograph after the other; what it gives tells their times once it is over."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_press, args=(url, upload, callers, theirs))
    process.start()
    ours.recv()  # they have begun
    try:
        yield ours
    finally:
        ours.send("stop")
        process.join()


def _press(url: str, upload: bytes, callers: int, told: Connection) -> None:
    done = Event()
    times: list[tuple[int, float]] = []

    def call() -> None:
        with httpx.Client(base_url=url, timeout=120) as client:
            while not done.is_set():
                begin = time.perf_counter()
                status = client.post("/v1/segment", content=upload).status_code
                times.append((status, 1000 * (time.perf_counter() - begin)))

    threads = [Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    while len(times) < callers:
        time.sleep(0.05)
    times.clear()
    told.send("begun")
    told.recv()
    done.set()
    for thread in threads:
        thread.join()
    told.send(times)


def _slowest_ms(client: httpx.Client, urls: list[str], seconds: float) -> list[float]:
    """Of each address the slowest answer; they take turns, so that what else the machine does slows all."""
    slowest, end = [0.0] * len(urls), time.perf_counter() + seconds
    while time.perf_counter() < end:
        for index, url in enumerate(urls):
            begin = time.perf_counter()
            client.get(url).raise_for_status()
            slowest[index] = max(slowest[index], 1000 * (time.perf_counter() - begin))
            time.sleep(0.02)
    return slowest


def _after_rest(client: httpx.Client, upload: bytes, pauses: int) -> float:
    """Median of the first requests after a rest, over the median of those that follow each."""

    def answer_ms() -> float:
        begin = time.perf_counter()
        client.post("/v1/segment", content=upload).raise_for_status()
        return 1000 * (time.perf_counter() - begin)

    first, busy = [], []
    for _ in range(pauses):
        time.sleep(PAUSE_S)
        first.append(answer_ms())
        busy += [answer_ms() for _ in range(5)]
    return statistics.median(first) / statistics.median(busy)


def _during(url: str, upload: bytes, callers: int, act: Callable[[], None]) -> tuple[float, int]:
    """p99 of what callers are answered meanwhile, in ms, and how many were not."""
    with pressed(url, upload, callers) as told:
        act()
    times = told.recv()
    answered = sorted(elapsed_ms for status, elapsed_ms in times if status == 200)
    return answered[int(0.99 * (len(answered) - 1))], len(times) - len(answered)


def _reload_for(client: httpx.Client, seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        client.post("/v1/models/reload").raise_for_status()


if __name__ == "__main__":
    sys.exit(main())
