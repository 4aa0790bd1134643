"""Draws what `make bench` measured: throughput against p99, and where a request's time goes.

    .venv-test/bin/python -m benchmarks.plots

Reads every `benchmarks/results/serving-*.json` and writes `docs/images/serving-load-*.svg` and
`serving-request-*.svg`; the same result gives the same file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot

from benchmarks.places import IMAGES, RESULTS
from service.latency import STAGES

_OVERHEAD: Final = "queue, HTTP,\nJSON"
_MARKERS: Final = "osD^vP*X"
_FORMATS: Final = {"png": "PNG", "jpeg": "JPEG", "png16": "PNG, 16 bits"}


def main() -> None:
    """Draw every result."""
    for path in RESULTS.glob("serving-*.json"):
        draw(path)


def draw(path: Path, images: Path = IMAGES) -> None:
    """Draw one result file's two pictures into a folder; their names end as the result's does."""
    result = json.loads(path.read_text(encoding="utf-8"))
    kind = path.stem.removeprefix("serving-")
    pyplot.rcParams.update({"svg.hashsalt": kind, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    _draw_load(result, images / f"serving-load-{kind}.svg")
    _draw_request(result, images / f"serving-request-{kind}.svg")


def _draw_load(result: Mapping[str, Any], path: Path) -> None:
    """Lines for Poisson arrivals, as far as a server keeps up; a mark without a line for many callers at once."""
    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), layout="constrained")
    for marker, name in zip(_MARKERS, result["throughput"], strict=False):
        levels = [level for level in result["arrivals"].get(name, []) if level["p99_ms"] is not None]
        across, up = [level["per_second"] for level in levels], [level["p99_ms"] for level in levels]
        (line,) = axes.plot(across, up, marker=marker, label=name)
        load = result["throughput"][name]
        if load["p99_ms"] is not None:
            axes.plot(load["per_second"], load["p99_ms"], marker=marker, mfc="none", color=line.get_color(), ms=9)
    axes.set(xlabel="answers a second", ylabel="99 % of requests are answered within, ms", yscale="log")
    axes.grid(which="both", alpha=0.2)
    axes.legend(frameon=False, fontsize=8, title="filled: Poisson arrivals; hollow: 16 callers at once")
    _save(figure, path)


def _draw_request(result: Mapping[str, Any], path: Path) -> None:
    """The stages of a median request, each from where the one before ends; a row of bars for each format."""
    figure, axes = pyplot.subplots(figsize=(7.5, 4.5), layout="constrained")
    work = [name for name in STAGES if name != "queue"]
    height = 0.8 / len(result["parts"])
    for row, (kind, parts) in enumerate(result["parts"].items()):
        lengths = [*(parts["stages_p50_ms"][name] for name in work), parts["overhead"]["p50_ms"]]
        begins = [sum(lengths[:place]) for place in range(len(lengths))]
        heights = [place + row * height for place in range(len(lengths))]
        label = f"{_FORMATS[kind]}, {parts['request']['p50_ms']:.0f} ms"
        bars = axes.barh(heights, lengths, height, begins, label=label)
        axes.bar_label(bars, [f"{length:.1f}" for length in lengths], padding=2, fontsize=7)
    middle = 0.4 - height / 2
    axes.set_yticks([place + middle for place in range(len(work) + 1)], [*work, _OVERHEAD])
    axes.invert_yaxis()
    axes.set(xlabel="ms from the request's beginning, medians of full-size pictures with mask and overlay")
    axes.legend(frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:  # noqa: ANN401 - Matplotlib's own
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
