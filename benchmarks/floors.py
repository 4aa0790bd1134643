"""The floors and goals of the benchmark, and what a result says of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from benchmarks.contenders import PANOSEG, TUTORIAL
from benchmarks.places import processor_kind

HALF_LOAD: Final = 0.5
"""The share of panoseg's throughput at which the rivals' percentiles are compared with its own."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure beside its floor and goal.

    Attributes:
        value: as measured; None where a rival was not able to keep up, which no figure tells.
        bound: whether the value has to be at least or at most the floor; None where it only explains others.
    """

    name: str
    value: float | None
    bound: Literal["at least", "at most"] | None = None
    floor: float | None = None
    goal: float | None = None
    unit: str = ""

    @property
    def falls(self) -> bool:
        """Whether the floor is missed; a figure that was not measured misses it."""
        return self.floor is not None and not self._holds(self.floor)

    @property
    def reaches_goal(self) -> bool:
        """Whether the goal is reached."""
        return self.goal is not None and self._holds(self.goal)

    def _holds(self, limit: float) -> bool:
        if self.value is None:
            return False
        return self.value >= limit if self.bound == "at least" else self.value <= limit


def judge(result: Mapping[str, Any]) -> list[Figure]:
    """Every figure that has a floor, and those that explain them, from a benchmark's result."""
    single, bare, png = result["single_stream"], result["bare"], result["parts"]["png"]
    throughput, loop_ms = result["throughput"], result["bare_loop"]["p50_ms"]
    vnni = processor_kind(result["processor"]) == "vnni"
    best_bare = min(each["p50_ms"] for each in bare.values())
    ours = throughput[PANOSEG]
    own_core_ms = ours["processor_ms_per_request"]
    rest, live, reload = result["rest"], result["live_under_load"], result["reload"]
    figures = [
        Figure(
            "faster than the tutorial stack, times",
            single[TUTORIAL]["p50_ms"] / single[PANOSEG]["p50_ms"],
            "at least",
            10.0 if vnni else 7.0,
            14.0 if vnni else 9.0,
        ),
        Figure("all but the network, over the network", png["all_but_network_over_network"], "at most", 0.7, 0.5),
        Figure(
            "network, over the best bare runtime",
            png["stages_p50_ms"]["infer"] / best_bare,
            "at most",
            1.15,
            1.05,
        ),
        Figure("HTTP and scheduling overhead, p50", png["overhead"]["p50_ms"], "at most", 2.0, 1.0, "ms"),
        Figure("the same bytes to and from a server that does nothing, p50", result["exchange"]["p50_ms"], unit="ms"),
        Figure("HTTP and scheduling overhead, p99", png["overhead"]["p99_ms"], "at most", 10.0, 5.0, "ms"),
        Figure(
            f"after {rest['rest_s']:g} s of rest, over the busy median",
            rest["first"]["p50_ms"] / rest["busy"]["p50_ms"],
            "at most",
            1.5,
            1.1,
        ),
        Figure(
            "throughput at 16 callers, over the bare network in a loop",
            ours["per_second"] * loop_ms / 1000,
            "at least",
            0.9,
            0.97,
        ),
        Figure(
            "the same, if no core ever idled",
            result["cores"] * loop_ms / own_core_ms,
        ),
        Figure("/health/live under that load, slowest", live["panoseg"]["max_ms"], "at most", 100, 50, "ms"),
        Figure("/v1/latency under that load, slowest", live["latency_route"]["max_ms"], "at most", 100, 50, "ms"),
        Figure("an idle server beside it, slowest", live["idle_server"]["max_ms"], unit="ms"),
        Figure(
            "p99 while models take over, over p99 before",
            _over(reload["during"]["p99_ms"], reload["before"]["p99_ms"]),
            "at most",
            2.0,
        ),
        Figure("requests lost while models take over", reload["during"]["unanswered"], "at most", 0),
        Figure("start to ready", result["start"]["seconds_to_ready"], "at most", 4.0, 2.0, "s"),
        Figure("memory when ready", result["start"]["ready_mb"], "at most", 700, 500, "MB"),
        Figure(
            f"memory after {result['memory']['requests'][1]} requests, over after {result['memory']['requests'][0]}",
            result["memory"]["ratio"],
            "at most",
            1.1,
            1.02,
        ),
    ]
    return figures + _against_rivals(result)


def at_half_load(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each server needed at half of panoseg's throughput; one that fell behind before is not among them."""
    return {
        name: level for name, levels in result["arrivals"].items() for level in levels if level["share"] == HALF_LOAD
    }


def _against_rivals(result: Mapping[str, Any]) -> list[Figure]:
    """How far panoseg is ahead of the best rival, whichever of its settings serves it best; 1 is level."""
    throughput = result["throughput"]
    rivals = [name for name in throughput if name not in (PANOSEG, TUTORIAL)]
    if not rivals:
        return []
    single = result["single_stream"]
    half = at_half_load(result)
    ahead = {
        "p50, one after the other": _times_slower({name: single[name]["p50_ms"] for name in (PANOSEG, *rivals)}),
        "p50 at half load": _times_slower({name: level["p50_ms"] for name, level in half.items()}),
        "p99 at half load": _times_slower({name: level["p99_ms"] for name, level in half.items()}),
        "throughput at 16 callers": throughput[PANOSEG]["per_second"]
        / max(throughput[name]["per_second"] for name in rivals),
    }
    return [
        Figure(f"ahead of the best rival: {name}, times", value, "at least", 1.0, 1.3) for name, value in ahead.items()
    ]


def _over(time_ms: float | None, other_ms: float | None) -> float | None:
    """A time over another; None where one has no end, since requests were not answered."""
    return None if time_ms is None or other_ms is None else time_ms / other_ms


def _times_slower(times_ms: Mapping[str, float | None]) -> float | None:
    """The quickest rival's time over panoseg's; rivals without a time did not keep up and are slower than any."""
    own = times_ms.get(PANOSEG)
    theirs = [value for name, value in times_ms.items() if name != PANOSEG and value is not None]
    if own is None:
        return None
    return min(theirs) / own if theirs else float("inf")
