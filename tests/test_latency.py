"""Times add up: percentiles against NumPy's, a window that forgets, a target that is kept or not."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from service.api.schemas import latency_answer
from service.latency import STAGES, TOTAL, Clock, LatencyRecorder


class Hands:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def times(total_ms: float) -> dict[str, float]:
    return {**dict.fromkeys(STAGES, 1.0), TOTAL: total_ms}


@given(st.lists(st.integers(20, 20_000_000).map(lambda microseconds: microseconds / 1000), min_size=1, max_size=200))
def test_percentiles_are_right_to_one_percent_or_a_microsecond(values_ms: list[float]) -> None:
    recorder = LatencyRecorder(500, CollectorRegistry())
    for value in values_ms:
        recorder.record(times(value))
    report = recorder.report().since_start[TOTAL]
    assert report.count == len(values_ms)
    assert report.max_ms == max(values_ms)
    for share, found in ((50, report.p50_ms), (90, report.p90_ms), (99, report.p99_ms)):
        expected = np.percentile(values_ms, share, method="inverted_cdf")
        assert abs(found - expected) <= 0.01 * expected + 0.001
        assert found == round(found, 3) <= report.max_ms


def test_after_five_minutes_the_window_forgets_and_the_start_does_not() -> None:
    hands = Hands()
    recorder = LatencyRecorder(500, CollectorRegistry(), hands)
    recorder.record(times(100))
    hands.now = 290
    recorder.record(times(200))
    assert recorder.report().last_five_minutes[TOTAL].count == 2
    hands.now = 331
    assert recorder.report().last_five_minutes[TOTAL].count == 1
    hands.now = 1000
    report = recorder.report()
    assert report.last_five_minutes[TOTAL].count == 0
    assert report.since_start[TOTAL].count == 2
    recorder.record(times(300))
    assert len(recorder._slices) == 1  # a service that runs for months keeps no more


def test_the_share_within_the_target() -> None:
    recorder = LatencyRecorder(500, CollectorRegistry())
    assert recorder.report().within_target is None
    for value in (100, 400, 500, 501):
        recorder.record(times(value))
    assert recorder.report().within_target == 0.75


def test_a_request_that_timed_out_is_not_within_the_target() -> None:
    recorder = LatencyRecorder(500, CollectorRegistry())
    recorder.record_timed_out()
    assert recorder.report().within_target == 0
    for _ in range(3):
        recorder.record(times(100))
    assert recorder.report().within_target == 0.75


def test_a_clock_counts_each_stage_as_often_as_it_comes_and_the_whole_with_what_is_between() -> None:
    clock = Clock()
    with pytest.raises(ZeroDivisionError), clock.stage("decode"):
        sum(range(1000)) / 0
    for seconds in (0.001, 0.002):
        clock.add("infer", seconds)
    time.sleep(0.01)
    read = clock.read_ms()
    assert list(read) == [*STAGES, TOTAL]
    assert (read["prepare"], read["infer"]) == (0, 3)
    assert 0 < read["decode"] <= read[TOTAL] - 10


def test_of_what_came_in_the_last_five_minutes_both_tell_the_same_until_they_are_over() -> None:
    hands = Hands()
    recorder = LatencyRecorder(500, CollectorRegistry(), hands)
    for minute in range(4):
        hands.now = 60.0 * minute
        recorder.record(times(100.0 * (minute + 1)))
    assert recorder.report().last_five_minutes == recorder.report().since_start
    hands.now = 301
    assert recorder.report().last_five_minutes[TOTAL].count == 3


def test_the_answer_has_each_percentile_under_its_name() -> None:
    recorder = LatencyRecorder(500, CollectorRegistry())
    for value in range(1, 101):
        recorder.record(times(value))
    report = recorder.report()
    total = report.since_start[TOTAL]
    assert (total.p50_ms, total.p90_ms, total.p99_ms, total.max_ms) == pytest.approx((50, 90, 99, 100), rel=0.01)
    told = latency_answer(report, 0)
    assert (told.since_start, told.last_five_minutes) == (report.since_start, report.last_five_minutes)
