"""What `make bench` and `benchmarks.stages` measured of the service, by kind of processor, as tables of a page."""

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.floors import at_half_load
from benchmarks.places import RESULTS
from docs.tables import read_result, table


def speed() -> str:
    """This service beside the tutorial's stack."""
    rows = [
        (
            f"{result['processor']}, {result['cores']} cores",
            f"{result['tutorial_median_ms']:.0f} ms",
            f"{result['panoseg_median_ms']:.0f} ms",
            f"{result['tutorial_median_ms'] / result['panoseg_median_ms']:.1f}",
        )
        for _, result in _results("serving")
    ]
    return table(["processor", "tutorial stack, median", "panoseg, median", "times faster"], rows)


def stages() -> str:
    """What each stage outside the network takes, and what it would take otherwise."""
    parts = []
    for _, result in _results("stages"):
        rows = [
            ("" if number else stage, way, f"{row['processor_ms']:.2f}", f"{row['ratio']:.2f}")
            for stage, ways in result["stages"].items()
            for number, (way, row) in enumerate(ways.items())
        ]
        caption = f"{result['processor']}; processor time, median of {result['median_of']}; `{result['command']}`:"
        parts.append(f"{caption}\n\n{table(['what', 'way', 'ms', 'to the first'], rows)}")
    return "\n".join(parts)


def servers() -> str:
    """Every server's times, answers and memory, and the network's alone."""
    return _under_each_run(_server_table)


def floors() -> str:
    """Every figure beside its floor and goal."""
    return _under_each_run(_floor_table)


def plots() -> str:
    """The pictures that `make bench` drew."""
    lines = []
    for kind, _ in _results("serving"):
        lines.append(f"![Answers a second and the time that 99 % take](images/serving-load-{kind}.svg)")
        lines.append(f"![Where the time of a request goes](images/serving-request-{kind}.svg)")
    return "\n\n".join(lines) + "\n"


def gpu() -> str:
    """The network on a GPU, way by way, and where a request's time goes there."""
    result = read_result("gpu")
    # What failed has an error in the place of its figures.
    ways = {name: way["batches"] for name, way in result["network"].items() if name != "error"}
    rows = [
        (
            "" if number else name,
            str(row["batch"]),
            f"{row['run']['p50_ms']:.2f}",
            f"{row['without_copies']['p50_ms']:.2f}",
            f"{row['pictures_per_second']:.0f}",
        )
        for name, batches in ways.items()
        for number, row in enumerate(row for row in batches if "run" in row)
    ]
    header = ["network", "batch", "with copies, ms", "without, ms", "pictures a second"]
    caption = f"{result['gpu']}; {result['processor']}, {result['cores']} cores; ONNX Runtime {result['onnxruntime']}"
    request = _gpu_request(result["services"].get("cuda", {}))
    return f"{caption}; medians, `{result['command']}`:\n\n{table(header, rows)}\n{request}\n"


def _gpu_request(service: dict[str, Any]) -> str:
    """A sentence on where a request's time goes."""
    parts = service.get("one_after_the_other", {}).get("png")
    if parts is None:
        return "The service was not measured."
    stages = ", ".join(f"{stage} {taken:.1f}" for stage, taken in parts["stages_p50_ms"].items())
    return f"A full-size PNG, JSON, mask and overlay: {parts['request']['p50_ms']:.0f} ms ({stages})."


def _results(what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each kind of processor that something was measured on, and the result."""
    for path in sorted(RESULTS.glob(f"{what}-*.json")):
        yield path.stem.removeprefix(f"{what}-"), read_result(path.stem)


def _under_each_run(make: Callable[[dict[str, Any]], str]) -> str:
    """A table for each run of `make bench`, under what is to be known of the run."""
    parts = []
    for _, result in _results("serving"):
        versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        caption = f"{result['processor']}, {result['cores']} cores, {result['date']}, commit {result['commit'][:12]}"
        parts.append(f"{caption}; {versions}:\n\n{make(result)}")
    return "\n".join(parts)


def _server_table(result: dict[str, Any]) -> str:
    half = at_half_load(result)
    rows = []
    for name, single in result["single_stream"].items():
        load = result["throughput"][name]
        rows.append(
            (
                name,
                _percentiles(single),
                _percentiles(half[name]) if name in half else "falls behind",
                f"{load['per_second']:.1f}",
                _ms(load["p99_ms"]),
                _ms(load["processor_ms_per_request"]),
                f"{result['servers'][name]['ready_mb']:.0f}",
            )
        )
    rows += [(f"network alone, {name}", _percentiles(runs), *[""] * 5) for name, runs in result["bare"].items()]
    header = [
        "",
        "one after the other: p50 / p99, ms",
        "half load: p50 / p99, ms",
        "16 callers: a second",
        "p99, ms",
        "processor time a request, ms",
        "memory when ready, MB",
    ]
    return table(header, rows)


def _floor_table(result: dict[str, Any]) -> str:
    rows = []
    for figure in result["figures"]:
        bounds = (figure["floor"], figure["goal"])
        limits = ["" if bound is None else f"{figure['bound']} {bound:g}" for bound in bounds]
        verdict = "missed" if figure["falls"] else "goal" if figure["reaches_goal"] else "floor" if limits[0] else ""
        value = "-" if figure["value"] is None else f"{figure['value']:.2f} {figure['unit']}".rstrip()
        rows.append([figure["name"], value, *limits, verdict])
    return table(["", "measured", "floor", "goal", ""], rows)


def _percentiles(times: dict[str, Any]) -> str:
    return f"{_ms(times['p50_ms'])} / {_ms(times['p99_ms'])}"


def _ms(value: float | None) -> str:
    """A time; a dash where it has no end, since requests were not answered."""
    return "-" if value is None else f"{value:.0f}"
