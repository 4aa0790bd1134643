"""What is measured of the servers, step by step; whatever is compared takes turns.

Every function gives plain figures, times in milliseconds, as they stand in the result file.
"""

import json
import math
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from rich.progress import track

from benchmarks.bare import Bare
from benchmarks.contenders import PANOSEG, Server
from benchmarks.load import (
    CALLERS,
    Caller,
    Times,
    closed_loop,
    open_loop,
    percentile,
    poisson_schedule,
    single_stream,
    together,
)
from benchmarks.processes import memory_mb, processor_seconds
from service.latency import STAGES

IN_A_TURN: Final = 4
"""Requests that a server gets in a row before the next one has its turn; one before them warms it up."""

BARE_RUNS: Final = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        turns: of every server in single stream.
        seconds: that each load lasts.
        shares: of panoseg's throughput, at which requests arrive in the server scenario, and in how many rounds: few
            requests make a percentile, and what is judged is to rest on more.
        rests: pauses of `rest_s` seconds.
        mixed: requests of mixed size after which memory is read; it is first read after a twentieth.
    """

    turns: int = 9
    seconds: float = 12.0
    shares: tuple[tuple[float, int], ...] = ((0.25, 1), (0.5, 6), (0.75, 1), (0.95, 1))
    rests: int = 3
    rest_s: float = 10.0
    mixed: int = 2000


QUICK: Final = Plan(turns=2, seconds=3.0, shares=((0.5, 1),), rests=1, rest_s=10.0, mixed=200)


def measure_single_stream(
    servers: Sequence[Server], bares: Mapping[str, Bare], bodies: Sequence[bytes], turns: int
) -> dict[str, Any]:
    """One request after the other; the bare network has its turn too. Of panoseg also where the time goes."""
    times_ms: dict[str, list[float]] = {server.contender.name: [] for server in servers}
    runs: dict[str, list[float]] = {name: [] for name in bares}
    requests: list[tuple[float, dict[str, float]]] = []
    sizes: list[int] = []
    with _callers(servers) as callers:
        for turn in track(range(turns), "single stream"):
            chosen = [bodies[(turn * IN_A_TURN + step) % len(bodies)] for step in range(IN_A_TURN)]
            for name, caller in callers.items():
                caller.send(chosen[-1])
                answers = single_stream(caller.send, chosen)
                times_ms[name] += [taken_ms for taken_ms, _ in answers]
                if name == PANOSEG:
                    requests += [(taken_ms, json.loads(answer)["timings_ms"]) for taken_ms, answer in answers]
                    sizes += [len(answer) for _, answer in answers]
            for name, bare in bares.items():
                runs[name] += bare.run(BARE_RUNS + 2)[2:]
    return {
        "single_stream": {name: summary(times) for name, times in times_ms.items()},
        "bare": {name: summary(times) for name, times in runs.items()},
        "parts": {"png": _parts(requests)},
        "answer_bytes": round(statistics.median(sizes)),
    }


def measure_formats(server: Server, bodies: Mapping[str, Sequence[bytes]]) -> dict[str, Any]:
    """Where the time of panoseg goes with pictures of other formats, by format."""
    parts = {}
    with _callers([server]) as callers:
        send = callers[PANOSEG].send
        for name, each in bodies.items():
            send(each[0])
            answers = single_stream(send, each)
            parts[name] = _parts([(taken_ms, json.loads(answer)["timings_ms"]) for taken_ms, answer in answers])
    return parts


def _parts(requests: Sequence[tuple[float, dict[str, float]]]) -> dict[str, Any]:
    """What a request is made of: its stages, what lies between them, and what lies outside the service's clock."""
    work = [name for name in STAGES if name != "queue"]
    between = [times["total"] - sum(times[name] for name in work) for _, times in requests]
    outside = [taken_ms - times["total"] for taken_ms, times in requests]
    overhead = [sum(parts) for parts in zip(between, outside, strict=True)]
    return {
        "request": summary([taken_ms for taken_ms, _ in requests]),
        "stages_p50_ms": {name: _round(statistics.median(times[name] for _, times in requests)) for name in STAGES},
        "between_stages": summary(between),
        "outside_the_clock": summary(outside),
        "overhead": summary(overhead),
        "all_but_network_over_network": _round(
            statistics.median((taken_ms - times["infer"]) / times["infer"] for taken_ms, times in requests)
        ),
    }


def measure_exchange(server: Server, ours: Server, bodies: Sequence[bytes]) -> dict[str, Any]:
    """The same requests to a server that does nothing with them, each after panoseg has answered it.

    One after the other they would be answered sooner: with every cache warm, and by a thread that has not slept.
    """
    times_ms = []
    with closing(Caller(server.route)) as caller, closing(Caller(ours.route)) as before:
        single_stream(caller.send, bodies)
        for body in [*bodies] * 3:
            before.send(body)
            times_ms += [taken_ms for taken_ms, _ in single_stream(caller.send, [body])]
    return summary(times_ms)


def measure_rest(server: Server, bodies: Sequence[bytes], plan: Plan) -> dict[str, Any]:
    """The first request after a pause, beside those that follow it."""
    first, busy = [], []
    with _callers([server]) as callers:
        send = callers[PANOSEG].send
        for _ in track(range(plan.rests), f"after {plan.rest_s:g} s of rest"):
            time.sleep(plan.rest_s)
            after, *following = (taken_ms for taken_ms, _ in single_stream(send, bodies[:6]))
            first.append(after)
            busy += following
    return {"rest_s": plan.rest_s, "first": summary(first), "busy": summary(busy)}


def measure_throughput(
    servers: Sequence[Server], bare: Bare, bodies: Sequence[bytes], seconds: float
) -> dict[str, Any]:
    """Many callers at once at each server, and the bare network in a loop before and after each."""
    loaded: dict[str, Any] = {}
    loop = bare.run(BARE_RUNS)
    for server in track(servers, "throughput"):
        loaded[server.contender.name] = measure_callers(server, bodies, seconds)
        loop += bare.run(BARE_RUNS)
    return {"throughput": loaded, "bare_loop": summary(loop)}


def measure_callers(server: Server, bodies: Sequence[bytes], seconds: float, callers: int = CALLERS) -> dict[str, Any]:
    """Many callers at once at one server, and what an answer takes of the processor."""
    used = processor_seconds(server.pid)
    times = closed_loop(server.route, bodies, seconds, callers)
    used = processor_seconds(server.pid) - used
    # The first second, which is not counted, uses the processor as well.
    answered = max(1, times.in_time) * (seconds + 1) / seconds
    return {**_load(times), "processor_ms_per_request": _round(1000 * used / answered)}


def measure_watching(server: Server, idle: Server, bodies: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """How soon panoseg answers what watches it while many callers press.

    Args:
        idle: another server, asked in turn with it: what that one needs is the machine's doing.
    """
    routes = {
        "panoseg": f"{server.url}/health/live",
        "latency_route": f"{server.url}/v1/latency",
        "idle_server": f"{idle.url}/ready",
    }
    with _asking({name: Caller(url).get for name, url in routes.items()}) as times_ms:
        closed_loop(server.route, bodies, seconds)
    return {name: summary(each) for name, each in times_ms.items()}


def measure_arrivals(
    servers: Sequence[Server], bodies: Sequence[bytes], capacity: float, plan: Plan
) -> dict[str, list[dict[str, Any]]]:
    """Poisson arrivals at shares of a capacity, the same instants for each; who falls behind is left out of the rest.

    Args:
        capacity: answers a second.

    Raises:
        SystemExit: the capacity is none at all.
    """
    if not capacity:
        raise SystemExit("panoseg answered nothing to 16 callers within the time; the machine is too busy to measure.")
    levels: dict[str, list[dict[str, Any]]] = {server.contender.name: [] for server in servers}
    behind: set[str] = set()
    for number, (share, rounds) in enumerate(plan.shares):
        rate = share * capacity
        schedules = [poisson_schedule(rate, plan.seconds, seed=100 * number + each) for each in range(rounds)]
        loads: dict[str, list[Times]] = {name: [] for name in levels if name not in behind}
        for schedule in filter(None, schedules):
            for server in track(servers, f"arrivals, {rate:.1f} a second"):
                if server.contender.name in loads:
                    loads[server.contender.name].append(open_loop(server.route, bodies, schedule, plan.seconds))
        for name, each in loads.items():
            if not each:
                continue
            times = together(each)
            levels[name].append({"share": share, "rate": _round(rate), **_load(times)})
            if not all(math.isfinite(taken_ms) for taken_ms in times.taken_ms):
                behind.add(name)
    return levels


def measure_reload(server: Server, bodies: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """Many callers at once, before and while one model after the other takes over."""
    before = closed_loop(server.route, bodies, seconds)
    route = Caller(f"{server.url}/v1/models/reload")
    with closing(route), _asking({"reload": lambda: route.send(b"")}) as times_ms:
        during = closed_loop(server.route, bodies, seconds)
    return {"before": _load(before), "during": _load(during), "reload": summary(times_ms["reload"])}


def measure_memory(server: Server, bodies: Sequence[bytes], requests: int) -> dict[str, Any]:
    """Memory early on and after many requests of mixed size from four callers."""
    callers = [Caller(server.route) for _ in range(4)]

    def send(first: int, after: int) -> float:
        def call(number: int) -> None:
            for index in range(first + number, after, len(callers)):
                callers[number].send(bodies[index % len(bodies)])

        with ThreadPoolExecutor(len(callers)) as threads:
            list(threads.map(call, range(len(callers))))
        return memory_mb(server.pid)

    early = requests // 20
    after_early = send(0, early)
    after_all = send(early, requests)
    for caller in callers:
        caller.close()
    return {
        "requests": [early, requests],
        "memory_mb": [_round(after_early), _round(after_all)],
        "ratio": _round(after_all / after_early),
    }


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Count, percentiles and the largest; null where requests were not answered."""
    shares = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "max_ms": 1.0}
    return {"count": len(values)} | {name: _round(percentile(values, share)) for name, share in shares.items()}


def _load(times: Times) -> dict[str, Any]:
    unanswered = sum(math.isinf(taken_ms) for taken_ms in times.taken_ms)
    return {"per_second": _round(times.per_second), "unanswered": unanswered, **summary(times.taken_ms)}


def _round(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None


@contextmanager
def _callers(servers: Sequence[Server]) -> Iterator[dict[str, Caller]]:
    callers = {server.contender.name: Caller(server.route) for server in servers}
    try:
        yield callers
    finally:
        for caller in callers.values():
            caller.close()


@contextmanager
def _asking(questions: Mapping[str, Callable[[], bytes]]) -> Iterator[dict[str, list[float]]]:
    """While it lasts, each question is asked in turn; milliseconds of each answer."""
    times_ms: dict[str, list[float]] = {name: [] for name in questions}
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.02):
            for name, question in questions.items():
                begin = time.perf_counter()
                question()
                times_ms[name].append(1000 * (time.perf_counter() - begin))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield times_ms
    finally:
        done.set()
        thread.join()
