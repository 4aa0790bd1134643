"""An ablation table from the folders of runs: what each changed, at what budget, and what it gained over the first."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from training.checkpoint import CONFIG
from training.config import Config, ConfigError, load_config
from training.intervals import bootstrap_difference
from training.measure import COMPARED_MEASURES, MeasuredRun, load_split_once, measure_run, stack_figures
from training.tables import markdown_table, refuse_markdown, write_result

_SEED: Final = 0
_NOT_COMPARED: Final = ("name", "seed")
"""Runs that differ in nothing else are one row."""


def compare(folders: Sequence[Path], out: Path, *, again: bool = False, command: str | None = None) -> dict[str, Any]:
    """Compare runs with the first one on the validation pictures; write the table as JSON and, beside it, as Markdown.

    Runs whose configurations differ in `name` and `seed` alone are pooled into one row. What is told of it is the mean
    of its runs, and the spread between them as a standard deviation.

    Args:
        folders: of the runs, the baseline's first.
        out: the JSON file; the Markdown file has its name with another ending.
        again: measure runs anew that have been measured before.
        command: what made the table; None tells of `panoseg compare`.

    Returns:
        What was written as JSON.

    Raises:
        ConfigError: the runs were validated on different pictures, or two differ in their names alone.
        CheckpointError, DataError: a run or its data cannot be used.
        SetupError: `out` ends in `.md`.
    """
    refuse_markdown(out)
    folders = list(dict.fromkeys(folders))
    configs = {str(folder): load_config(folder / CONFIG) for folder in folders}
    refuse_repeated(configs)
    refuse_other_pictures(configs)
    runs = [measure_run(folder, "val", again=again) for folder in folders]
    _refuse_other_pictures(runs)
    groups: dict[str, list[MeasuredRun]] = defaultdict(list)
    for run in runs:
        groups[run.config.model_copy(update={"name": "any", "seed": 0}).model_dump_json()].append(run)
    baseline, *others = groups.values()
    rows = [_describe(baseline, baseline), *(_describe(group, baseline) for group in others)]
    result = {
        "command": command or f"panoseg compare {' '.join(map(str, folders))} --out {out}",
        "date": datetime.now(UTC).date().isoformat(),
        "split": "val",
        "pictures": len(runs[0].figures.pictures),
        "same_budget": _same_budget(runs),
        "rows": rows,
    }
    write_result(result, to_markdown(result), out)
    return result


def refuse_repeated(configs: Mapping[str, Config]) -> None:
    """Let no run count twice, as if it told of the spread between seeds.

    Args:
        configs: by what the message calls each.

    Raises:
        ConfigError: two configurations differ in their names alone.
    """
    seen: dict[str, str] = {}
    for told, config in configs.items():
        first = seen.setdefault(config.model_copy(update={"name": "any"}).model_dump_json(), told)
        if first != told:
            raise ConfigError(
                f"{told} is {first} once more, with the same seed {config.seed}; leave one of them out, or give it "
                "another seed."
            )


def refuse_other_pictures(configs: Mapping[str, Config]) -> None:
    """Let nothing be trained or measured that does not compare; other training pictures are a change like any other.

    Args:
        configs: by what the message calls each, the baseline's first.

    Raises:
        ConfigError: the validation pictures of one are not the first one's.
        DataError: the data of runs with different data cannot be read.
    """
    (first, baseline), *others = configs.items()
    for told, config in others:
        if config.data != baseline.data and _name_pictures(config) != _name_pictures(baseline):
            raise ConfigError(
                f"{told} is validated on other pictures than {first}, and runs compare on the same ones; of `data` "
                "change only what is trained on."
            )


def _name_pictures(config: Config) -> list[str]:
    return [sample.name for sample in load_split_once(config.data, "val")]


def to_markdown(result: Mapping[str, Any]) -> str:
    """The table of `compare`'s result with what has to be said of it."""
    header = ("change", "runs", "epochs", "pictures seen")
    names = {"dice": "Dice", "iou": "IoU", "tooth_dice": "tooth Dice", "tooth_f1": "tooth F1"}
    lines = []
    for number, row in enumerate(result["rows"]):
        cells = [
            "; ".join(row["changes"]) or "baseline",
            str(len(row["runs"])),
            _count(row["epochs"]),
            _count(row["pictures_seen"]),
        ]
        for name in names:
            cells += [_figure(row[name]), _difference(row[name]) if number else ""]
        lines.append(cells)
    columns = (*header, *chain.from_iterable((name, "gain") for name in names.values()))
    budget = {True: " All had the same budget.", False: " **The budgets differ.**", None: ""}[result["same_budget"]]
    return (
        f"{markdown_table(columns, lines)}\n\n"
        f"`{result['command']}`: best checkpoints on {result['pictures']} validation pictures, the float network at "
        "the size it is exported at. A gain is the difference from the first row, with its paired bootstrap 95 % "
        "interval over pictures and, where there are several, runs; ± is the standard deviation between "
        f"runs.{budget}\n"
    )


def find_changes(config: Config, baseline: Config, leaving_out: Collection[str] = _NOT_COMPARED) -> list[str]:
    """What a configuration changes, as `key: before → after` for each key that differs, names and seeds aside."""
    ours, theirs = (_flatten(one.model_dump(mode="json", exclude=set(leaving_out))) for one in (config, baseline))
    keys = dict.fromkeys([*theirs, *ours])
    return [
        f"{key}: {theirs.get(key, 'none')} → {ours.get(key, 'none')}"
        for key in keys
        if ours.get(key) != theirs.get(key)
    ]


def _flatten(values: Mapping[str, Any], before: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if key == "phases":
            flat[key] = ", ".join(f"{p['epochs']} x {p['height']}x{p['width']} batch {p['batch']}" for p in value)
        elif isinstance(value, dict):
            flat |= _flatten(value, f"{before}{key}.")
        else:
            flat[before + key] = "none" if value is None else str(value)
    return flat


def _describe(group: Sequence[MeasuredRun], baseline: Sequence[MeasuredRun]) -> dict[str, Any]:
    figures, first = ([run.figures for run in runs] for runs in (group, baseline))
    row: dict[str, Any] = {
        "changes": find_changes(group[0].config, baseline[0].config),
        "runs": [str(run.folder) for run in group],
        "seeds": [run.config.seed for run in group],
        "input": [figures[0].height, figures[0].width],
        "epochs": [one.epochs for one in figures],
        "pictures_seen": [one.pictures_seen for one in figures],
    }
    for name in COMPARED_MEASURES:
        ours, theirs = (stack_figures([one.pictures for one in runs], name) for runs in (figures, first))
        if ours is None:
            row[name] = None
            continue
        row[name] = {"mean": round(ours.mean, 4), "by_run": [round(value, 4) for value in ours.by_run.tolist()]}
        if len(group) > 1:
            row[name]["deviation"] = round(float(np.std(ours.by_run, ddof=1)), 4)
        if group is not baseline and theirs is not None:
            interval = bootstrap_difference(ours, theirs, _SEED)
            row[name]["difference"] = round(ours.mean - theirs.mean, 4)
            row[name]["difference_interval"] = [round(end, 4) for end in interval]
    return row


def _refuse_other_pictures(runs: Sequence[MeasuredRun]) -> None:
    names = [[picture.name for picture in run.figures.pictures] for run in runs]
    for run, own in zip(runs, names, strict=True):
        if own != names[0]:
            raise ConfigError(
                f"{run.folder} was validated on other pictures than {runs[0].folder}; runs compare on the same ones."
            )


def _same_budget(runs: Sequence[MeasuredRun]) -> bool | None:
    """Whether the runs had one budget; None where a run does not say what it had, such as a mean of weights."""
    budgets = {(run.figures.epochs, run.figures.pictures_seen) for run in runs}
    return None if any(epochs is None for epochs, _ in budgets) else len(budgets) == 1


def _count(values: Sequence[int | None]) -> str:
    return ", ".join(dict.fromkeys("unknown" if value is None else f"{value}" for value in values))


def _figure(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "none"
    return f"{figure['mean']:.4f}" + (f" ± {figure['deviation']:.4f}" if "deviation" in figure else "")


def _difference(figure: Mapping[str, Any] | None) -> str:
    if figure is None or "difference" not in figure:
        return "none"
    low, high = figure["difference_interval"]
    return f"{figure['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
