"""The benchmark's figures mean what they say: percentiles, arrivals, times from the instant that was due, floors."""

import importlib
import json
import math
import threading
import time
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from benchmarks.floors import Figure, judge
from benchmarks.load import Caller, closed_loop, form, open_loop, percentile, poisson_schedule
from benchmarks.outlines import wrong_by_distance

TIMES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(TIMES, st.floats(0.01, 1))
def test_a_percentile_is_a_time_that_was_taken_and_that_its_share_does_not_exceed(times, share):
    value = percentile(times, share)
    assert value in times
    assert sum(time <= value for time in times) >= share * len(times) - 1e-9
    assert sum(time < value for time in times) < share * len(times) + 1e-9


@given(TIMES)
def test_a_request_without_an_answer_is_slower_than_any_other(times):
    assert percentile([*times, math.inf], 1.0) == math.inf


@given(st.floats(0.5, 200), st.floats(0.1, 30), st.integers(0, 100))
def test_arrivals_are_in_order_within_the_time_and_the_same_for_everyone(rate, seconds, seed):
    schedule = poisson_schedule(rate, seconds, seed)
    assert schedule == sorted(schedule)
    assert all(0 < instant < seconds for instant in schedule)
    assert schedule == poisson_schedule(rate, seconds, seed)


@settings(max_examples=20)
@given(st.floats(1, 50), st.integers(0, 100))
def test_arrivals_come_at_their_rate_and_as_irregularly_as_poisson_has_it(rate, seed):
    seconds = 4000 / rate
    schedule = poisson_schedule(rate, seconds, seed)
    assert len(schedule) == pytest.approx(4000, rel=0.1)  # more than six standard deviations
    gaps = [after - before for before, after in zip([0.0, *schedule], schedule, strict=False)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert deviation / mean == pytest.approx(1, abs=0.15)


class Slow(BaseHTTPRequestHandler):
    """Answers one request at a time, each after a tenth of a second; one whose body says so with an error."""

    turn = threading.Lock()
    protocol_version = "HTTP/1.1"

    timeout = 0.5  # seconds that a connection may rest

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.turn:
            time.sleep(0.1)
        self.send_response(500 if b"broken" in body else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def slow_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/predict?include=mask"
        server.shutdown()


def test_time_counts_from_the_instant_that_was_due_and_not_from_when_the_server_had_time(slow_server):
    together = open_loop(slow_server, [form(b"picture")], [0.0, 0.001, 0.002, 0.003], seconds=60)
    fastest, *others = sorted(together.taken_ms)
    assert fastest >= 100
    assert [taken_ms >= 100 * (place + 2) - 5 for place, taken_ms in enumerate(others)] == [True] * 3


def test_who_falls_behind_shows_it_as_requests_without_an_answer(slow_server):
    overrun = open_loop(slow_server, [form(b"picture")], [number / 100 for number in range(100)], seconds=1)
    assert len(overrun.taken_ms) == 100
    assert percentile(overrun.taken_ms, 0.99) == math.inf
    assert overrun.per_second <= 10


def test_an_error_is_no_answer(slow_server):
    broken = open_loop(slow_server, [form(b"broken"), form(b"picture")], [0.0, 0.2], seconds=60)
    assert broken.taken_ms[0] == math.inf
    assert broken.taken_ms[1] < math.inf


def test_a_connection_that_the_server_closed_while_it_rested_is_opened_again(slow_server):
    caller = Caller(slow_server)
    for _ in range(2):
        assert caller.send(form(b"picture")) == b""
        time.sleep(1)
    with pytest.raises(HTTPException, match="answered 500"):
        caller.send(form(b"broken"))
    caller.close()


def test_callers_at_once_count_what_was_answered_within_the_time(slow_server):
    times = closed_loop(slow_server, [form(b"picture")], seconds=1)
    assert 0 < times.in_time <= 11
    assert all(taken_ms >= 100 for taken_ms in times.taken_ms)


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_floor_falls_on_the_wrong_side_of_it_alone(value, floor):
    assert Figure("", value, "at least", floor).falls == (value < floor)
    assert Figure("", value, "at most", floor).falls == (value > floor)


def test_what_was_not_measured_does_not_pass():
    assert Figure("", None, "at most", 1.0).falls
    assert not Figure("", None).falls, "what has no floor only explains"


def summary(p50_ms, p99_ms=None):
    return {"count": 1, "p50_ms": p50_ms, "p90_ms": p50_ms, "p99_ms": p99_ms or p50_ms, "max_ms": p99_ms or p50_ms}


def load(per_second, p50_ms, p99_ms, share=0.5):
    told = {"share": share, "per_second": per_second, "processor_ms_per_request": 100.0}
    return {**summary(p50_ms, p99_ms), **told}


def answered(p99_ms, unanswered=0):
    return {**summary(100, p99_ms), "unanswered": unanswered}


def result(**changes):
    """A result in which every floor stands, changed."""
    return {
        "processor": "some (avx2 avx512_vnni)",
        "cores": 2,
        "single_stream": {"panoseg": summary(80), "tutorial stack": summary(1000), "Rival": summary(110)},
        "bare": {"ONNX Runtime": summary(45), "OpenVINO": summary(40)},
        "parts": {"png": {
            "stages_p50_ms": {"infer": 42}, "overhead": summary(1, 6), "all_but_network_over_network": 0.6,
        }},
        "exchange": summary(1),
        "bare_loop": summary(45),
        "throughput": {
            "panoseg": load(22, 700, 900), "tutorial stack": load(1, 9000, 9900), "Rival": load(15, 900, 1200),
        },
        "live_under_load": {"panoseg": summary(5, 40), "latency_route": summary(5, 45), "idle_server": summary(4, 30)},
        "rest": {"rest_s": 10, "first": summary(90), "busy": summary(80)},
        "start": {"seconds_to_ready": 2.0, "ready_mb": 450},
        "memory": {"requests": [100, 2000], "ratio": 1.01},
        "reload": {"before": answered(900), "during": answered(1700)},
        "arrivals": {"panoseg": [load(11, 90, 150)], "Rival": [load(11, 120, 220)]},
        **changes,
    }  # fmt: skip


def fallen(told):
    return [figure.name for figure in judge(told) if figure.falls]


def test_a_result_as_the_issue_asks_for_passes_and_can_be_read_again():
    assert fallen(json.loads(json.dumps(result()))) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"single_stream": {**result()["single_stream"], "tutorial stack": summary(700)}}, "faster than the tutorial"),
        ({"bare": {"ONNX Runtime": summary(45), "OpenVINO": summary(30)}}, "network, over the best bare"),
        ({"bare_loop": summary(30)}, "throughput at 16 callers, over the bare"),
        ({"live_under_load": {**result()["live_under_load"], "panoseg": summary(5, 140)}}, "/health/live"),
        ({"live_under_load": {**result()["live_under_load"], "latency_route": summary(5, 140)}}, "/v1/latency"),
        ({"reload": {"before": answered(900), "during": answered(1900)}}, "p99 while models take over"),
        ({"reload": {"before": answered(900), "during": answered(1700, unanswered=1)}}, "requests lost"),
        ({"rest": {"rest_s": 10, "first": summary(200), "busy": summary(80)}}, "after 10 s of rest"),
        ({"memory": {"requests": [100, 2000], "ratio": 1.2}}, "memory after 2000"),
        (
            {"arrivals": {"panoseg": [load(11, 90, 150)], "Rival": [load(11, 120, 140)]}},
            "ahead of the best rival: p99",
        ),
    ],
)
def test_each_floor_falls_for_its_own_reason(changes, name):
    (only,) = fallen(result(**changes))
    assert only.startswith(name)


def test_a_processor_without_vnni_has_the_lower_floor():
    singles = {**result()["single_stream"], "tutorial stack": summary(640)}
    assert fallen(result(single_stream=singles)) != []
    assert fallen(result(single_stream=singles, processor="some (avx2)")) == []


def test_a_rival_that_does_not_keep_up_is_behind():
    lost = {**load(3, None, None), "p99_ms": None}
    assert fallen(result(arrivals={"panoseg": [load(11, 90, 150)], "Rival": [lost]})) == []


@given(arrays.arrays(bool, (24, 40)), arrays.arrays(bool, (24, 40)))
def test_wrong_pixels_are_all_counted_wherever_they_lie(found: np.ndarray, true: np.ndarray) -> None:
    assert wrong_by_distance(found, true).sum() == pytest.approx((found != true).mean())


def test_a_tooth_drawn_a_pixel_too_large_is_wrong_at_its_outline_alone() -> None:
    true = np.zeros((64, 64), bool)
    true[20:40, 20:40] = True
    found = np.zeros_like(true)
    found[19:41, 19:41] = True
    nearest, *others = wrong_by_distance(found, true)
    assert nearest == (found != true).mean()
    assert not any(others)


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


# The tutorial's server loads its model as it is imported.
@pytest.mark.parametrize("name", sorted({path.stem for path in BENCHMARKS.glob("*.py")} - {"tutorial"}))
def test_every_benchmark_finds_what_it_measures(name: str) -> None:
    importlib.import_module(f"benchmarks.{name}")
