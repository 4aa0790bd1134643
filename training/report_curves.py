"""Draws the report's curves as SVG: learning, how figures are spread, and how far confidence can be believed."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from training.config import Phase

_INK, _QUIET, _FIRST, _SECOND = "#22303c", "#8a97a3", "#0072b2", "#d55e00"

_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "panoseg",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": "#c5ced6",
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "legend.frameon": False,
}

_FEW: Final = 5
"""Epochs up to which each is a dot on a learning curve."""

_SURE: Final = (0.9, 1.0)
"""The part of the scale that the spread of Dice always shows."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One figure of a run: `values[i]` after epoch `epochs[i]`, counted from 1."""

    epochs: tuple[int, ...]
    values: tuple[float, ...]


def read_curves(log: Path) -> dict[str, Curve]:
    """The figures of a run's `metrics.csv` by their names there, the learning rate as `learning_rate`.

    Each row holds but some of the figures. The learning rate is logged at the start of an epoch, without its number.
    """
    points: dict[str, dict[int, float]] = {}
    waiting: float | None = None
    with log.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rate = next((value for key, value in row.items() if key.startswith("lr-") and value), None)
            if rate:
                waiting = float(rate)
            if not row["epoch"]:
                continue
            epoch = int(row["epoch"]) + 1
            if waiting is not None:
                points.setdefault("learning_rate", {})[epoch] = waiting
                waiting = None
            for key, value in row.items():
                if value and key not in ("epoch", "step"):
                    points.setdefault(key, {})[epoch] = float(value)
    return {name: Curve(tuple(sorted(at)), tuple(at[epoch] for epoch in sorted(at))) for name, at in points.items()}


def draw_learning(curves: Mapping[str, Curve], phases: Sequence[Phase]) -> str:
    """Loss, Dice on the validation pictures and learning rate by epoch, the phases marked, as an SVG element."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 3.2), layout="constrained")
        panels = figure.subplots(1, 3)
        _plot(panels[0], curves, {"train_loss": "training pictures", "val_loss": "validation pictures"})
        _plot(panels[1], curves, {"val_dice": "all teeth together", "val_class_dice": "mean over tooth numbers"})
        _plot(panels[2], curves, {"learning_rate": ""})
        for axes, title in zip(panels, ("Loss", "Dice, validation pictures", "Learning rate"), strict=True):
            axes.set_title(title, pad=18)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            _mark_phases(axes, phases)
        panels[1].set_ylim(0, 1)
        return _to_svg(figure, "Learning curves")


def draw_spread(dice: Sequence[float]) -> str:
    """How many pictures have which Dice, as an SVG element."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 2.4), layout="constrained")
        axes = figure.subplots()
        low = int(min(*dice, _SURE[0]) * 100)
        axes.hist(dice, [step / 100 for step in range(low, 101)], color=_FIRST, edgecolor="white")
        for value, name in ((statistics.median(dice), "median"), (statistics.fmean(dice), "mean")):
            axes.axvline(value, color=_SECOND, linestyle="-" if name == "mean" else ":", label=f"{name} {value:.3f}")
        axes.set_xlim(low / 100, _SURE[1])
        axes.set_xlabel("Dice of a picture")
        axes.set_ylabel("pictures")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="upper left")
        return _to_svg(figure, "Pictures by their Dice")


def draw_confidence(summary: Mapping[str, Any]) -> str:
    """The reliability of confidences, and precision against the teeth that a limit keeps, as an SVG element.

    Args:
        summary: of a split in `metrics.json`.
    """
    bins, curve, limit = summary["calibration"]["bins"], summary["coverage"], summary["uncertain"]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11, 3.6), layout="constrained")
        reliability, coverage = figure.subplots(1, 2)
        reliability.plot([0, 1], [0, 1], color=_QUIET, linewidth=0.8, linestyle="--", label="as it should be")
        confidences, right = ([one[key] for one in bins] for key in ("confidence", "right"))
        reliability.plot(
            confidences, right, "o-", color=_FIRST, linewidth=1.2, markersize=4, label="a tenth of the teeth each"
        )
        reliability.set_title(f"Reliability: expected calibration error {summary['calibration']['ece']:.3f}")
        reliability.set_xlabel("mean confidence")
        reliability.set_ylabel("share that is right")
        low = min([0.9, *confidences, *right])
        reliability.set(xlim=(low - 0.02, 1.005), ylim=(low - 0.02, 1.005))
        reliability.legend(loc="upper left")
        coverage.plot([point["kept"] for point in curve], [point["precision"] for point in curve], color=_FIRST)
        if limit["precision"] is not None:
            label = f"certain, from {limit['limit']:.2f} on"
            coverage.plot(limit["kept"], limit["precision"], "o", color=_SECOND, label=label)
        coverage.set_title("What is kept as the limit rises")
        coverage.set_xlabel("share of the found teeth that is kept")
        coverage.set_ylabel("share of them that is right")
        coverage.set_xlim(0, 1.02)
        coverage.set_ylim(min([0.9, *(point["precision"] for point in curve)]) - 0.01, 1.005)
        if limit["precision"] is not None:
            coverage.legend(loc="lower left")
        return _to_svg(figure, "Confidence")


def _plot(axes: Axes, curves: Mapping[str, Curve], names: Mapping[str, str]) -> None:
    for (name, label), colour in zip(names.items(), (_FIRST, _SECOND), strict=False):
        if curve := curves.get(name):
            # A line through one point is none.
            marker = "o" if len(curve.epochs) <= _FEW else ""
            axes.plot(curve.epochs, curve.values, color=colour, label=label, linewidth=1.6, marker=marker, markersize=4)
    if len(names) > 1 and axes.lines:
        axes.legend(loc="best")


def _mark_phases(axes: Axes, phases: Sequence[Phase]) -> None:
    """A line where a phase begins, and its input size."""
    begin = 1
    for number, phase in enumerate(phases):
        if number:
            axes.axvline(begin - 0.5, color=_QUIET, linewidth=0.8, linestyle="--")
        if len(phases) > 1:
            axes.annotate(
                f"{phase.width} x {phase.height}",
                (begin, 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 3),
                textcoords="offset points",
                va="bottom",
                fontsize=8,
                color=_QUIET,
            )
        begin += phase.epochs


def _to_svg(figure: Figure, title: str) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Title": title})
    text = file.getvalue()
    # The XML head has no place inside a page.
    return text[text.index("<svg") :]
