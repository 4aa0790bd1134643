"""Puts the measured figures into the pages that show them, from the files that our commands write.

    .venv-test/bin/python docs/figures.py

Each table stands between a pair of markers, `<!-- figures: NAME -->` and `<!-- end -->`; a test fails for a stale one.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = REPOSITORY / "models" / "unet-resnet34-fdi" / "1"
RESULTS: Final = REPOSITORY / "benchmarks" / "results"
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
        "stages": stages_tables(),
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
    for path in sorted(RESULTS.glob("compare-*.json")):
        result: dict[str, Any] = json.loads(path.read_text())
        lines.append(
            f"| {result['processor']}, {result['cores']} cores | {result['tutorial_median_ms']:.0f} ms "
            f"| {result['panoseg_median_ms']:.0f} ms | {result['ratio_of_medians']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def stages_tables() -> str:
    """What each stage outside the network takes, and what it would take otherwise, by processor."""
    lines: list[str] = []
    for path in sorted(RESULTS.glob("stages-*.json")):
        result: dict[str, Any] = json.loads(path.read_text())
        lines += [
            f"{result['processor']}; processor time, median of {result['median_of']}; `{result['command']}`:",
            "",
            "| what | way | ms | to the first |",
            "|---|---|---|---|",
        ]
        for stage, ways in result["stages"].items():
            for number, (way, row) in enumerate(ways.items()):
                name = "" if number else stage
                lines.append(f"| {name} | {way} | {row['processor_ms']:.2f} | {row['ratio']:.2f} |")
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _interval(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:.3f} ({low:.3f} to {high:.3f})"


def _two(counts: dict[str, Any]) -> str:
    return f"{counts['precision']:.3f} / {counts['recall']:.3f}"


if __name__ == "__main__":
    main()
