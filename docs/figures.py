"""Puts the measured figures into the pages that show them, from the files that our commands write.

    .venv-test/bin/python docs/figures.py

Each table stands between a pair of markers, `<!-- figures: NAME -->` and `<!-- end -->`; a test fails for a stale one.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = REPOSITORY / "models" / "unet-resnet34-fdi" / "1"
RESULTS: Final = REPOSITORY / "benchmarks" / "results"
HALF_LOAD: Final = 0.5
PAGES: Final = (REPOSITORY / "README.md", REPOSITORY / "docs" / "performance.md", PACKAGE / "MODEL_CARD.md")

sys.path.insert(0, str(REPOSITORY))

from training.failures import read_failures  # noqa: E402

CATEGORIES: Final = {
    "1": "all teeth, restorations, appliance",
    "2": "all teeth, restorations",
    "3": "all teeth, appliance",
    "4": "all teeth",
    "5": "implants",
    "6": "more than 32 teeth",
    "7": "teeth missing, restorations, appliance",
    "8": "teeth missing, restorations",
    "9": "teeth missing, appliance",
    "10": "teeth missing",
}
"""Of UFBA-UESC (Silva et al. 2018), by its own numbers."""


def main() -> None:
    """Rewrite every page's tables."""
    for page in PAGES:
        page.write_text(with_figures(page.read_text()))


def with_figures(text: str) -> str:
    """A page's text with each table made anew."""

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n{TABLES[found[2]]()}{found[4]}"

    return re.sub(r"(<!-- figures: (\w+) -->)\n(.*?)(<!-- end -->)", fill, text, flags=re.DOTALL)


def package_table() -> str:
    """What the manifest says: files, input, thresholds, data."""
    manifest = _read("manifest.json")
    rows = [
        (f"`{file['path']}`", f"{file['precision']}, {_size(file['path'])}, sha256 `{file['sha256']}`")
        for file in manifest["files"]
    ]
    fit, training = manifest["input"], manifest["training"]
    rows += [
        ("input", f"{fit['height']} x {fit['width']} (height x width) grey, {fit['low_percentile']} and "
         f"{fit['high_percentile']} % of the grey values to black and white"),
        ("thresholds", ", ".join(f"`{name}` {value}" for name, value in manifest["thresholds"].items())),
        ("confidence", f"{manifest['calibration']['method']} map, fitted on `val`"),
        ("trained on", f"{training['pictures']} pictures of {training['data']}, {training['data_licence']}"),
        ("recipe", f"`training/configs/{training['recipe']}.yaml`"),
        ("licence of the weights", manifest["licence"]),
    ]  # fmt: skip
    return _table(["package", ""], rows)


def accuracy_table() -> str:
    """Accuracy on both splits, and the command that measured it."""
    splits = _splits()
    rows = [
        ("Dice (foreground)", lambda split: _interval(split["dice"])),
        ("IoU (foreground)", lambda split: _interval(split["iou"])),
        ("pixel accuracy", lambda split: _interval(split["pixel_accuracy"])),
        ("Dice, mean of the worst tenth of pictures", lambda split: f"{split['worst_tenth_dice']:.3f}"),
        ("by tooth: Dice", lambda split: f"{split['tooth']['dice']:.3f}"),
        ("by tooth: precision / recall", lambda split: _two(split["tooth"])),
        ("by tooth: F1 (same number, IoU >= 0.5)", lambda split: f"{split['tooth']['f1']:.3f}"),
        ("by tooth: expected calibration error", lambda split: f"{split['calibration']['ece']:.3f}"),
        ("missing teeth: precision / recall", lambda split: _two(split["missing"])),
        ("missing teeth: F1", lambda split: f"{split['missing']['f1']:.3f}"),
    ]
    header = ["", *(f"`{name}` ({split['pictures']} pictures)" for name, split in splits)]
    lines = [(name, *(show(split) for _, split in splits)) for name, show in rows]
    return _table(header, lines) + _measured(*(split for _, split in splits))


def confidence_table() -> str:
    """What the limit of uncertain keeps and marks, and what the maps that were compared did."""
    splits = _splits()
    rows = [
        ("teeth found", lambda split: str(split["tooth"]["predicted"])),
        ("not uncertain, share of them", lambda split: f"{split['uncertain']['kept']:.3f}"),
        ("right, share of all that were found", lambda split: f"{split['tooth']['precision']:.3f}"),
        ("right, share of those not uncertain", lambda split: f"{split['uncertain']['precision']:.3f}"),
        ("wrong teeth that are marked uncertain", lambda split: f"{split['uncertain']['wrong_caught']:.3f}"),
    ]
    limit = splits[0][1]["uncertain"]["limit"]
    header = [f"uncertain: below {limit:.3f}", *(f"`{name}`" for name, _ in splits)]
    text = _table(header, [(name, *(show(split) for _, split in splits)) for name, show in rows])
    fitted = _read("calibration.json")
    text += "\n" + _table(
        ["map of mean probability to confidence", "log loss", "expected calibration error"],
        [
            (f"{name}{' (taken)' if name == fitted['method'] else ''}", f"{one['log_loss']:.4f}", f"{one['ece']:.4f}")
            for name, one in fitted["candidates"].items()
        ],
    )
    return text + (
        f"\nThe maps by tenfold cross-validation over the pictures of `val` ({fitted['teeth']} teeth), by `panoseg "
        "export` or `panoseg calibrate`. The upper table: " + _measured(*(split for _, split in splits)).lstrip()
    )


def quantisation_table() -> str:
    """What eight bits cost on the validation pictures."""
    cost = _read("quantisation.json")
    rows = []
    for name, key in (("Dice", "dice"), ("by tooth: F1", "tooth_f1")):
        before, after = cost[f"fp32_{key}"], cost[f"int8_{key}"]
        rows.append((name, f"{before:.4f}", f"{after:.4f}", f"{before - after:+.4f}"))
    return (
        _table(["`val`, at the model's own size", "float32", "int8", "lost"], rows)
        + f"\n`panoseg export`, which refuses a loss of Dice above {cost['limit']}.\n"
    )


def category_table() -> str:
    """Accuracy by the data set's own categories, on the test split."""
    split = _read("metrics.json")["test"]
    rows = [
        (
            name,
            CATEGORIES[name],
            str(group["pictures"]),
            f"{group['dice']['mean']:.3f}",
            f"{group['tooth']['dice']:.3f}",
            f"{group['tooth']['f1']:.3f}",
            f"{group['missing']['right']} of {group['missing']['true']}, {group['missing']['predicted']} said",
        )
        for name, group in split["by_category"].items()
    ]
    header = [
        "category",
        "pictures of it show",
        "pictures",
        "Dice",
        "by tooth: Dice",
        "by tooth: F1",
        "missing teeth named",
    ]
    return _table(header, rows) + _measured(split)


def stress_table() -> str:
    """What known changes of the pictures cost."""
    stress = _read("metrics.json")["stress"]
    rows = []
    for change in stress["changes"]:
        found = ", ".join(f"`{code}` {share:.0%}" for code, share in change["findings"].items())
        rows.append(
            (
                change["meaning"],
                _interval(change["dice_loss"], "+"),
                _interval(change["tooth_f1_loss"], "+"),
                found,
                f"{'yes' if change['holds'] else '**no**'} ({change['limit']})",
            )
        )
    pictures = f"`{stress['split']}` ({stress['pictures']} pictures), changed"
    return _table([pictures, "Dice lost", "F1 by tooth lost", "found", "within limit"], rows) + _measured(stress)


def failure_table() -> str:
    """The ten worst pictures of the test split, each with the sentence of someone who looked."""
    rows = [
        (
            str(place),
            f"`{failure.figures['name']}`",
            failure.figures["category"],
            f"{failure.figures['dice']:.3f}",
            f"{failure.figures['tooth_f1']:.3f}",
            failure.sentence,
        )
        for place, failure in enumerate(read_failures(PACKAGE), start=1)
    ]
    header = ["", "picture of `test`", "category", "Dice", "by tooth: F1", "what went wrong"]
    return (
        _table(header, rows)
        + "\nChosen and drawn by `panoseg failures`, looked at by eye; the sentences stand in `failures.yaml`.\n"
    )


def reading_table() -> str:
    """What each step from the model's maps to teeth is worth."""
    result = json.loads((RESULTS / "reading.json").read_text())
    rows = [
        (
            row["way"],
            f"{row['tooth_f1']:.4f}",
            f"{row['gain'][0]:+.4f} to {row['gain'][1]:+.4f}" if number else "",
            f"{row['tooth_dice']:.4f}",
        )
        for number, row in enumerate(result["rows"])
    ]
    header = [f"`val`, {result['pictures']} pictures", "F1 by tooth", "gain, 95 % interval", "Dice by tooth"]
    return _table(header, rows) + f"\n`{result['command']}`, on {result['processor']}.\n"


def findings_table() -> str:
    """What is noticed about pictures that are none of ours, that are plain, and that were changed."""
    measured = _read("metrics.json")["findings"]
    foreign, plain = measured["foreign"], measured["false_alarms"]
    rows = [
        (f"{foreign['pictures']} foreign ones", "named", f"{foreign['named']:.1%}"),
        ("the same without their colours", "named", f"{foreign['named_in_grey']:.1%}"),
        (f"{plain['pictures']} panoramics as they are", "with a false alarm", f"{plain['share']:.1%}"),
    ]
    for name, changed in measured["changed"].items():
        more = f", Dice lost {changed['dice_loss']:.3f}" if "dice_loss" in changed else ""
        if "tooth_fraction" in changed:
            more = f", tooth area {changed['tooth_fraction']['mean']:.2%} on average"
        rows.append((f"`val`, {name}", f"`{changed['finding']}`{more}", f"{changed['named']:.1%}"))
    return _table(["pictures", "", "share"], rows) + f"\n`{measured['command']}`\n"


def speed_table() -> str:
    """This service beside the tutorial's stack, on each kind of processor that was measured."""
    rows = []
    for path in sorted(RESULTS.glob("serving-*.json")):
        result: dict[str, Any] = json.loads(path.read_text())
        rows.append(
            (
                f"{result['processor']}, {result['cores']} cores",
                f"{result['tutorial_median_ms']:.0f} ms",
                f"{result['panoseg_median_ms']:.0f} ms",
                f"{result['ratio_of_medians']:.1f}",
            )
        )
    return _table(["processor", "tutorial stack, median", "panoseg, median", "times faster"], rows)


def stages_tables() -> str:
    """What each stage outside the network takes, and what it would take otherwise, by processor."""
    parts = []
    for path in sorted(RESULTS.glob("stages-*.json")):
        result: dict[str, Any] = json.loads(path.read_text())
        rows = [
            ("" if number else stage, way, f"{row['processor_ms']:.2f}", f"{row['ratio']:.2f}")
            for stage, ways in result["stages"].items()
            for number, (way, row) in enumerate(ways.items())
        ]
        told = f"{result['processor']}; processor time, median of {result['median_of']}; `{result['command']}`:"
        parts.append(f"{told}\n\n{_table(['what', 'way', 'ms', 'to the first'], rows)}")
    return "\n".join(parts)


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


TABLES: Final[dict[str, Callable[[], str]]] = {
    "package": package_table,
    "accuracy": accuracy_table,
    "confidence": confidence_table,
    "quantisation": quantisation_table,
    "categories": category_table,
    "stress": stress_table,
    "failures": failure_table,
    "findings": findings_table,
    "reading": reading_table,
    "speed": speed_table,
    "stages": stages_tables,
    "servers": lambda: serving_tables(_server_rows),
    "floors": lambda: serving_tables(_floor_rows),
    "plots": serving_plots,
}


def _read(name: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((PACKAGE / name).read_text())
    return told


def _splits() -> list[tuple[str, dict[str, Any]]]:
    metrics = _read("metrics.json")
    return [(name, metrics[name]) for name in ("val", "test") if name in metrics]


def _table(header: list[str], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    lines.insert(1, "|---" * len(header) + "|")
    return "\n".join(lines).replace("|  |", "| |") + "\n"


def _measured(*summaries: dict[str, Any]) -> str:
    """The commands that measured something, and where they ran."""
    commands = "; ".join(f"`{summary['command']}`" for summary in summaries)
    return f"\n{commands}, on {summaries[-1]['processor']}.\n"


def _interval(figure: dict[str, Any], sign: str = "") -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _two(counts: dict[str, Any]) -> str:
    return f"{counts['precision']:.3f} / {counts['recall']:.3f}"


def _size(path: str) -> str:
    return f"{(PACKAGE / path).stat().st_size / 2**20:.1f} MiB"


if __name__ == "__main__":
    main()
