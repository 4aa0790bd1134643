"""Puts the measured figures into README, docs/performance.md and model card, from the files that our commands write.

    .venv-test/bin/python docs/figures.py

Each table stands between a pair of markers, `<!-- figures: NAME -->` and `<!-- end -->`; a test fails for a stale one.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = REPOSITORY / "models" / "unet-resnet34-fdi" / "1"
RESULTS: Final = REPOSITORY / "benchmarks" / "results"
HALF_LOAD: Final = 0.5
PAGES: Final = (REPOSITORY / "README.md", REPOSITORY / "docs" / "performance.md", PACKAGE / "MODEL_CARD.md")


def main() -> None:
    """Rewrite every page's tables."""
    for page in PAGES:
        page.write_text(with_figures(page.read_text()))


def with_figures(text: str) -> str:
    """A page's text with each table made anew."""
    tables = {
        "accuracy": accuracy_table(),
        "categories": category_table(),
        "speed": speed_table(),
        "servers": serving_tables(_server_rows),
        "floors": serving_tables(_floor_rows),
        "plots": serving_plots(),
    }

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n{tables[found[2]]}{found[4]}"

    return re.sub(r"(<!-- figures: (\w+) -->)\n(.*?)(<!-- end -->)", fill, text, flags=re.DOTALL)


def accuracy_table() -> str:
    """Accuracy on both splits, and the command that measured it."""
    metrics = json.loads((PACKAGE / "metrics.json").read_text())
    splits = [(name, metrics[name]) for name in ("val", "test") if name in metrics]
    header = "| | " + " | ".join(f"`{name}` ({split['pictures']} pictures)" for name, split in splits) + " |"
    rows = [
        ("Dice (foreground)", lambda split: _interval(split["dice"])),
        ("IoU (foreground)", lambda split: _interval(split["iou"])),
        ("pixel accuracy", lambda split: _interval(split["pixel_accuracy"])),
        ("Dice, mean of the worst tenth of pictures", lambda split: f"{split['worst_tenth_dice']:.3f}"),
        ("by tooth: Dice", lambda split: f"{split['tooth']['dice']:.3f}"),
        ("by tooth: precision / recall", lambda split: _two(split["tooth"])),
        ("by tooth: F1 (same number, IoU >= 0.5)", lambda split: f"{split['tooth']['f1']:.3f}"),
        ("missing teeth: precision / recall", lambda split: _two(split["missing"])),
    ]
    lines = [header, "|---" * (len(splits) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(show(split) for _, split in splits) + " |" for name, show in rows]
    commands = "; ".join(f"`{split['command']}`" for _, split in splits)
    return "\n".join(lines) + f"\n\n{commands}, on {splits[-1][1]['processor']}.\n"


def category_table() -> str:
    """Accuracy by the data set's own categories, on the test split."""
    split = json.loads((PACKAGE / "metrics.json").read_text())["test"]
    lines = ["| category | pictures | Dice | by tooth: F1 |", "|---|---|---|---|"]
    for name, group in split["by_category"].items():
        lines.append(f"| {name} | {group['pictures']} | {group['dice']['mean']:.3f} | {group['tooth']['f1']:.3f} |")
    return "\n".join(lines) + "\n"


def speed_table() -> str:
    """This service beside the tutorial's stack, on each kind of processor that was measured."""
    lines = ["| processor | tutorial stack, median | panoseg, median | times faster |", "|---|---|---|---|"]
    for path in sorted([*RESULTS.glob("compare-*.json"), *RESULTS.glob("serving-*.json")]):
        result: dict[str, Any] = json.loads(path.read_text())
        lines.append(
            f"| {result['processor']}, {result['cores']} cores | {result['tutorial_median_ms']:.0f} ms "
            f"| {result['panoseg_median_ms']:.0f} ms | {result['ratio_of_medians']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def serving_tables(rows: Callable[[dict[str, Any]], list[str]]) -> str:
    """A table for each kind of processor that `make bench` has been run on, under the run that it comes from."""
    parts = []
    for path in sorted(RESULTS.glob("serving-*.json")):
        result = json.loads(path.read_text())
        versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
        told = f"{result['processor']}, {result['cores']} cores, {result['date']}, commit {result['commit'][:12]}"
        parts.append("\n".join([f"{told}; {versions}:", "", *rows(result), ""]))
    return "\n".join(parts) or "Not measured yet: `make bench`.\n"


def serving_plots() -> str:
    """The pictures that `make bench` drew."""
    lines = []
    for path in sorted(RESULTS.glob("serving-*.json")):
        kind = path.stem.removeprefix("serving-")
        lines.append(f"![Answers a second and the time that 99 % take](images/serving-load-{kind}.svg)")
        lines.append(f"![Where the time of a request goes](images/serving-request-{kind}.svg)")
    return "\n\n".join(lines) + "\n" if lines else "Not measured yet: `make bench`.\n"


def _server_rows(result: dict[str, Any]) -> list[str]:
    half = {
        name: level for name, levels in result["arrivals"].items() for level in levels if level["share"] == HALF_LOAD
    }
    lines = [
        "| | one after the other: p50 / p99, ms | half load: p50 / p99, ms | 16 callers: a second | p99, ms "
        "| processor time a request, ms | memory when ready, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, single in result["single_stream"].items():
        load = result["throughput"][name]
        cells = [
            f"{_ms(single['p50_ms'])} / {_ms(single['p99_ms'])}",
            f"{_ms(half[name]['p50_ms'])} / {_ms(half[name]['p99_ms'])}" if name in half else "falls behind",
            f"{load['per_second']:.1f}",
            _ms(load["p99_ms"]),
            _ms(load["processor_ms_per_request"]),
            f"{result['servers'][name]['ready_mb']:.0f}",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for name, runs in result["bare"].items():
        lines.append(f"| network alone, {name} | {_ms(runs['p50_ms'])} / {_ms(runs['p99_ms'])} | | | | | |")
    return lines


def _floor_rows(result: dict[str, Any]) -> list[str]:
    lines = ["| | measured | floor | goal | |", "|---|---|---|---|---|"]
    for figure in result["figures"]:
        bounds = (figure["floor"], figure["goal"])
        limits = ["" if bound is None else f"{figure['bound']} {bound:g}" for bound in bounds]
        verdict = "missed" if figure["falls"] else "goal" if figure["reaches_goal"] else "floor" if limits[0] else ""
        value = "-" if figure["value"] is None else f"{figure['value']:.2f} {figure['unit']}".rstrip()
        lines.append(f"| {figure['name']} | {value} | {' | '.join(limits)} | {verdict} |")
    return lines


def _ms(value: float | None) -> str:
    """A time; a dash where it has no end, since requests were not answered."""
    return "-" if value is None else f"{value:.0f}"


def _interval(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:.3f} ({low:.3f} to {high:.3f})"


def _two(counts: dict[str, Any]) -> str:
    return f"{counts['precision']:.3f} / {counts['recall']:.3f}"


if __name__ == "__main__":
    main()
