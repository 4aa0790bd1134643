"""Where a request's time goes: a clock that belongs to it, and what the clocks of all requests add up to."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGES: Final = ("decode", "prepare", "queue", "infer", "interpret", "render", "encode")
TOTAL: Final = "total"
_DRAWING: Final = ("render", "encode")

_SLICE_S: Final = 30.0
_SLICES: Final = 10
"""Ten slices of half a minute are the last five minutes."""

_FINEST_MS: Final = 0.01
_GROWTH: Final = math.log(1.02)
"""A bin is 2 % wider than the one before, so a percentile is right to 1 %."""


class Clock:
    """The time of one request by stage, in milliseconds; stages come in a fixed order, none twice at once."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._stages = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time spent inside to a stage."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - begin)

    def add(self, name: str, seconds: float) -> None:
        """Count time that was measured elsewhere to a stage."""
        self._stages[name] += 1000.0 * seconds

    def read_ms(self) -> dict[str, float]:
        """Milliseconds of each stage to the microsecond, and under `total` those since its file had arrived."""
        times_ms = {**self._stages, TOTAL: 1000.0 * (time.perf_counter() - self._start)}
        return {stage: round(time_ms, 3) for stage, time_ms in times_ms.items()}


@dataclass(frozen=True, slots=True)
class Percentiles:
    """What many times add up to, in milliseconds to the microsecond, as the times themselves."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class _Bins:
    """Counts of times in bins that widen with the time; as many bins as there are magnitudes, however many times."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.max_ms = 0.0

    def add(self, value_ms: float) -> None:
        index = max(0, math.ceil(math.log(max(value_ms, _FINEST_MS) / _FINEST_MS) / _GROWTH))
        self.counts[index] = self.counts.get(index, 0) + 1
        self.max_ms = max(self.max_ms, value_ms)

    def merge(self, other: "_Bins") -> None:
        for index, count in other.counts.items():
            self.counts[index] = self.counts.get(index, 0) + count
        self.max_ms = max(self.max_ms, other.max_ms)

    def percentiles(self) -> Percentiles:
        total = sum(self.counts.values())
        p50_ms, p90_ms, p99_ms = (round(self._percentile(share, total), 3) for share in (0.5, 0.9, 0.99))
        return Percentiles(total, p50_ms, p90_ms, p99_ms, self.max_ms)

    def _percentile(self, share: float, total: int) -> float:
        """Nearest rank: the smallest time that at least `share` of the times do not exceed."""
        passed = 0
        for index in sorted(self.counts):
            passed += self.counts[index]
            if passed >= share * total:
                return min(self.max_ms, _FINEST_MS * math.exp((index - 0.5) * _GROWTH))
        return 0.0


@dataclass(frozen=True, slots=True)
class LatencyReport:
    """Percentiles by stage and of the whole, since the start and over the last five minutes, and the target kept."""

    since_start: Mapping[str, Percentiles]
    last_five_minutes: Mapping[str, Percentiles]
    target_ms: float
    within_target: float | None
    """Share of all requests that were due an answer, those that timed out among them; None before the first."""


class LatencyRecorder:
    """Takes each finished request's times; answers with percentiles and with Prometheus histograms of the same times.

    Args:
        target_ms: the time that a whole request is meant to stay within.
        registry: where the histograms are registered.
        now: seconds that never go back.

    Attributes:
        target_ms: as given; set it anew where it follows from the model that has been loaded.
    """

    def __init__(
        self, target_ms: float, registry: CollectorRegistry, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.target_ms = target_ms
        self._now = now
        self._lock = threading.Lock()
        self._since_start = {name: _Bins() for name in (*STAGES, TOTAL)}
        self._slices: dict[int, dict[str, _Bins]] = {}
        self._within = 0
        self._timed_out = 0
        self._histogram = Histogram(
            "panoseg_stage_seconds",
            "Time of a request by stage; stage total is the whole.",
            ["stage"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=registry,
        )
        self._within_counter = Counter(
            "panoseg_within_target", "Requests answered within the latency target.", registry=registry
        )
        self._timed_out_counter = Counter(
            "panoseg_timed_out",
            "Requests whose deadline passed before their answer, of those whose upload had arrived by then.",
            registry=registry,
        )
        Gauge("panoseg_target_seconds", "The latency target.", registry=registry).set_function(
            lambda: self.target_ms / 1000.0
        )

    def record(self, timings_ms: Mapping[str, float]) -> None:
        """Take a finished request's times, as its clock reads; where nothing was drawn, drawing has none."""
        timings_ms = {name: value_ms for name, value_ms in timings_ms.items() if value_ms or name not in _DRAWING}
        with self._lock:
            number = int(self._now() // _SLICE_S)
            for old in [slice_number for slice_number in self._slices if slice_number <= number - _SLICES]:
                del self._slices[old]
            latest = self._slices.setdefault(number, {name: _Bins() for name in (*STAGES, TOTAL)})
            for name, value_ms in timings_ms.items():
                self._since_start[name].add(value_ms)
                latest[name].add(value_ms)
            self._within += timings_ms[TOTAL] <= self.target_ms
        for name, value_ms in timings_ms.items():
            self._histogram.labels(name).observe(value_ms / 1000.0)
        if timings_ms[TOTAL] <= self.target_ms:
            self._within_counter.inc()

    def record_timed_out(self) -> None:
        """Take a request that was not answered in time; it has no times, and is not within the target."""
        with self._lock:
            self._timed_out += 1
        self._timed_out_counter.inc()

    def report(self) -> LatencyReport:
        """What has been recorded so far."""
        with self._lock:
            oldest = int(self._now() // _SLICE_S) - _SLICES
            recent = {name: _Bins() for name in (*STAGES, TOTAL)}
            for number, bins in self._slices.items():
                if number > oldest:
                    for name, part in bins.items():
                        recent[name].merge(part)
            since_start = {name: bins.percentiles() for name, bins in self._since_start.items()}
            count = since_start[TOTAL].count + self._timed_out
            return LatencyReport(
                since_start,
                {name: bins.percentiles() for name, bins in recent.items()},
                self.target_ms,
                self._within / count if count else None,
            )
