"""What the package that ships says of itself: its manifest, its accuracy, its failures, as tables of a page."""

import json
from typing import Any, Final

from benchmarks.places import REPOSITORY
from docs.tables import table
from training.failures import read_failures

PACKAGE: Final = REPOSITORY / "models" / "unet-resnet34-fdi" / "1"

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


def package() -> str:
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
    return table(["package", ""], rows)


def accuracy() -> str:
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
    return table(header, lines) + _measured(*(split for _, split in splits))


def confidence() -> str:
    """What the limit of uncertain keeps and marks, and what the maps that were compared did."""
    splits = _splits()
    rows = [
        ("teeth found", lambda split: str(split["tooth"]["predicted"])),
        ("not uncertain, share of them", lambda split: f"{split['uncertain']['kept']:.3f}"),
        ("right, share of all that were found", lambda split: f"{split['tooth']['precision']:.3f}"),
        ("right, share of those not uncertain", lambda split: _or_none(split["uncertain"]["precision"])),
        ("wrong teeth that are marked uncertain", lambda split: f"{split['uncertain']['wrong_caught']:.3f}"),
    ]
    for name, key in (("beside an uncertain tooth", "missing_uncertain"), ("others", "missing_others")):
        if all(key in split for _, split in splits):
            rows.append((f"missing, {name}: right", lambda split, key=key: "{right} of {said}".format(**split[key])))
    limit = splits[0][1]["uncertain"]["limit"]
    header = [f"uncertain: below {limit:.3f}", *(f"`{name}`" for name, _ in splits)]
    text = table(header, [(name, *(show(split) for _, split in splits)) for name, show in rows])
    fitted = _read("calibration.json")
    text += "\n" + table(
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


def quantisation() -> str:
    """What eight bits cost on the validation pictures."""
    cost = _read("quantisation.json")
    rows = []
    for name, key in (("Dice", "dice"), ("by tooth: F1", "tooth_f1")):
        before, after = cost[f"fp32_{key}"], cost[f"int8_{key}"]
        rows.append((name, f"{before:.4f}", f"{after:.4f}", f"{before - after:+.4f}"))
    return (
        table(["`val`, at the model's own size", "float32", "int8", "lost"], rows)
        + f"\n`panoseg export`, which refuses a loss of Dice above {cost['limit']}.\n"
    )


def categories() -> str:
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
    return table(header, rows) + _measured(split)


def stress() -> str:
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
    return table([pictures, "Dice lost", "F1 by tooth lost", "found", "within limit"], rows) + _measured(stress)


def failures() -> str:
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
        table(header, rows)
        + "\nChosen and drawn by `panoseg failures`, looked at by eye; the sentences stand in `failures.yaml`.\n"
    )


_PANORAMICS: Final = {
    "val": "panoramics of `val`, by which limits were chosen",
    "test": "panoramics of `test`",
    "panoramics": "panoramics of other machines",
}


def findings() -> str:
    """What is noticed about pictures that are none of ours, that are plain, and that were changed."""
    measured = _read("metrics.json")["findings"]
    foreign, plain = measured["foreign"], measured["false_alarms"]
    rows = [
        (f"{foreign['pictures']} foreign ones", "named", _share(foreign["named"])),
        ("the same without their colours", "named", _share(foreign["named_in_grey"])),
    ]
    for name, alarms in plain.items():
        rows.append((f"{alarms['pictures']} {_PANORAMICS[name]}", "with a false alarm", _share(alarms)))
    for name, changed in measured["changed"].items():
        more = f", Dice lost {changed['dice_loss']:.3f}" if "dice_loss" in changed else ""
        if "tooth_fraction" in changed:
            more = f", tooth area {changed['tooth_fraction']['mean']:.2%} on average"
        rows.append((f"`val`, {name}", f"`{changed['finding']}`{more}", _share(changed["named"])))
    return table(["pictures", "", "share"], rows) + f"\n`{measured['command']}`\n"


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((PACKAGE / name).read_text(encoding="utf-8"))
    return result


def _splits() -> list[tuple[str, dict[str, Any]]]:
    metrics = _read("metrics.json")
    return [(name, metrics[name]) for name in ("val", "test") if name in metrics]


def _measured(*summaries: dict[str, Any]) -> str:
    """The commands that measured something, and where they ran."""
    commands = "; ".join(f"`{summary['command']}`" for summary in summaries)
    return f"\n{commands}, on {summaries[-1]['processor']}.\n"


def _interval(figure: dict[str, Any], sign: str = "") -> str:
    low, high = figure["interval"]
    return f"{figure['mean']:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _share(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['share']:.1%} ({low:.1%} to {high:.1%})"


def _or_none(share: float | None) -> str:
    return "none" if share is None else f"{share:.3f}"


def _two(counts: dict[str, Any]) -> str:
    return f"{counts['precision']:.3f} / {counts['recall']:.3f}"


def _size(path: str) -> str:
    return f"{(PACKAGE / path).stat().st_size / 2**20:.1f} MiB"
