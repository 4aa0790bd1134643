"""Measures what known changes of a picture cost: each through the file that ships and the service's own way."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import track

from service.model.package import load_package
from service.render.draw import to_8_bits
from service.segmenter import Segmenter
from training.config import load_config
from training.data import Sample, load_split
from training.data.samples import are_numbered
from training.evaluate import PictureScore, open_segmenter, score, segment_upload
from training.intervals import bootstrap_difference, bootstrap_interval, f1_figures
from training.metrics import Counts
from training.metrics_file import STRESS, add_figures, choose_file, describe_measurement
from training.stress_changes import STRESSES, UNCHANGED, Stress

_SEED: Final = 0

_NAMED: Final = 0.95
"""Share of the pictures on which a finding that must be made has to be."""


_REFUSED: Final = "not-a-panoramic"
"""Wrongly said of a changed panoramic, whatever it costs."""


def stress(package_folder: Path, config_path: Path, split: str, out: Path | None = None) -> dict[str, Any]:
    """Measure a package on the changed pictures of one split, and write it into the package's `metrics.json`.

    Args:
        split: `val` or `test`; nothing may be chosen by the test split, so `val` is the one to look at often.
        out: the file to write to in place of `metrics.json`.

    Returns:
        What was written under `stress`.

    Raises:
        MetricsFileError: the file has figures of other data.
        ModelPackageError, ConfigError, DataError: something of it cannot be used.
    """
    path = choose_file(package_folder, config_path, out)
    source = load_config(config_path).data
    samples = load_split(source, split)
    command = f"panoseg evaluate {package_folder} --config {config_path} --split {split} --stress"
    command += f" --out {out}" if out else ""
    with closing(open_segmenter(load_package(package_folder))) as segmenter:
        before = _score_changed(segmenter, samples, UNCHANGED)
        rows = [
            describe(one, before, _score_changed(segmenter, samples, one))
            for one in track(STRESSES, f"changing and reading {split}")
        ]
        session = segmenter.model.session
    summary = {
        **describe_measurement(command, source, session),
        "split": split,
        "pictures": len(before),
        "dice": round(float(np.mean([picture.dice for picture in before])), 4),
        "tooth_f1": None if (teeth := _teeth(before)) is None else round(_f1(teeth), 4),
        "changes": rows,
    }
    add_figures(path, STRESS, summary)
    return summary


def describe(change: Stress, before: Sequence[PictureScore], after: Sequence[PictureScore]) -> dict[str, Any]:
    """What a change cost, what was found on the changed pictures, and whether that is within its limit.

    `unnamed` are the pictures on which nothing was found that was not found before: there a loss comes without a word.
    `not-a-panoramic` is no word of the change, since each of them is a panoramic, and names nothing.
    `holds` says that the mean loss of Dice over them is at most `limit`; where a finding is asked for, that it was made
    on 95 % of the pictures and that the loss over all of them is within the limit. `tooth_f1` and its loss are None
    where the truth has no numbers.

    Args:
        before: scores of the pictures as they are.
        after: scores of the same pictures, changed.
    """
    losses = [old.dice - new.dice for old, new in zip(before, after, strict=True)]
    unnamed = [
        loss
        for loss, old, new in zip(losses, before, after, strict=True)
        if set(new.findings) - {_REFUSED} <= set(old.findings)
    ]
    teeth, teeth_before = _teeth(after), _teeth(before)
    codes = sorted({code for picture in after for code in picture.findings})
    shares = {code: sum(code in picture.findings for picture in after) / len(after) for code in codes}
    if change.finding:
        holds = shares.get(change.finding, 0.0) >= _NAMED and float(np.mean(losses)) <= change.largest_loss
    else:
        holds = not unnamed or float(np.mean(unnamed)) <= change.largest_loss
    return {
        "name": change.name,
        "meaning": change.meaning,
        "dice": round(float(np.mean([picture.dice for picture in after])), 4),
        "dice_loss": {
            "mean": round(float(np.mean(losses)), 4),
            "interval": [round(end, 4) for end in bootstrap_interval(losses, _SEED)],
        },
        "tooth_f1": None if teeth is None else round(_f1(teeth), 4),
        "tooth_f1_loss": None if teeth is None or teeth_before is None else _subtract(teeth_before, teeth),
        "findings": {code: round(share, 4) for code, share in shares.items()},
        "unnamed": {"pictures": len(unnamed), "dice_loss": round(float(np.mean(unnamed)), 4) if unnamed else None},
        "limit": change.largest_loss,
        "asked_for": change.finding,
        "holds": holds,
    }


def _score_changed(segmenter: Segmenter, samples: Sequence[Sample], change: Stress) -> list[PictureScore]:
    scores, numbered = [], are_numbered(samples)
    for sample in samples:
        # Eight bits are enough to change; what the file held beyond them is no matter of robustness.
        data, labels = change.change(to_8_bits(sample.pixels), sample.labels)
        changed = replace(sample, data=data, labels=labels)
        scores.append(score(segment_upload(segmenter, f"{sample.name} ({change.meaning})", data), changed, numbered))
    return scores


def _teeth(scores: Sequence[PictureScore]) -> list[Counts] | None:
    """Agreement picture by picture; None where the truth has no numbers."""
    agreements = [picture.teeth.teeth for picture in scores if picture.teeth is not None]
    return agreements if len(agreements) == len(scores) else None


def _f1(teeth: Sequence[Counts]) -> float:
    return sum(teeth, Counts()).f1


def _subtract(before: Sequence[Counts], after: Sequence[Counts]) -> dict[str, Any]:
    interval = bootstrap_difference(f1_figures(before), f1_figures(after), _SEED)
    return {"mean": round(_f1(before) - _f1(after), 4), "interval": [round(end, 4) for end in interval]}
