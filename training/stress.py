"""Measures what known changes of a picture cost: each through the file that ships and the service's own way."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import track

from service.model.package import load_package
from service.segmenter import Segmenter
from training.config import load_config
from training.data import Sample, load_splits
from training.evaluate import METRICS, STRESS, PictureScore, open_segmenter, processor_name, score, segment_sample
from training.metrics import Counts, bootstrap_difference, bootstrap_interval, f1_figures
from training.stress_changes import STRESSES, UNCHANGED, Stress

_SEED: Final = 0

_NAMED: Final = 0.95
"""Share of the pictures on which a finding that must be made has to be."""


def stress(package_folder: Path, config_path: Path, split: str) -> dict[str, Any]:
    """Measure a package on the changed pictures of one split, and write it into the package's `metrics.json`.

    Args:
        split: `val` or `test`; nothing may be chosen by the test split, so `val` is the one to look at often.

    Returns:
        What was written under `stress`.

    Raises:
        ModelPackageError, ConfigError, DataError: something of it cannot be used.
    """
    samples = getattr(load_splits(load_config(config_path).data, names=(split,)), split)
    segmenter = open_segmenter(load_package(package_folder))
    before = _score_changed(segmenter, samples, UNCHANGED)
    rows = [
        describe(one, before, _score_changed(segmenter, samples, one))
        for one in track(STRESSES, f"changing and reading {split}")
    ]
    file, provider = segmenter.engine.session.file, segmenter.engine.session.provider
    segmenter.close()
    summary = {
        "command": f"panoseg evaluate {package_folder} --config {config_path} --split {split} --stress",
        "date": datetime.now(UTC).date().isoformat(),
        "split": split,
        "file": file.path,
        "sha256": file.sha256,
        "provider": provider,
        "processor": processor_name(),
        "pictures": len(before),
        "dice": round(float(np.mean([picture.dice for picture in before])), 4),
        "tooth_f1": round(_teeth(before).f1, 4),
        "changes": rows,
    }
    path = package_folder / METRICS
    written: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**written, STRESS: summary}, indent=1) + "\n")
    return summary


def describe(change: Stress, before: Sequence[PictureScore], after: Sequence[PictureScore]) -> dict[str, Any]:
    """What a change cost, what was found on the changed pictures, and whether that is within its limit.

    `unnamed` are the pictures on which nothing was found that was not found before: there a loss comes without a word.
    `holds` says that the mean loss of Dice over them is at most `limit`; where a finding is asked for, that it was made
    on 95 % of the pictures and that the loss over all of them is within the limit.

    Args:
        before: scores of the pictures as they are.
        after: scores of the same pictures, changed.
    """
    losses = [old.dice - new.dice for old, new in zip(before, after, strict=True)]
    unnamed = [
        loss for loss, old, new in zip(losses, before, after, strict=True) if set(new.findings) <= set(old.findings)
    ]
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
        "tooth_f1": round(_teeth(after).f1, 4),
        "tooth_f1_loss": {
            "mean": round(_teeth(before).f1 - _teeth(after).f1, 4),
            "interval": [
                round(end, 4)
                for end in bootstrap_difference(
                    *(f1_figures([picture.teeth.teeth for picture in scores]) for scores in (before, after)), _SEED
                )
            ],
        },
        "findings": {code: round(share, 4) for code, share in shares.items()},
        "unnamed": {"pictures": len(unnamed), "dice_loss": round(float(np.mean(unnamed)), 4) if unnamed else None},
        "limit": change.largest_loss,
        "asked_for": change.finding,
        "holds": holds,
    }


def _score_changed(segmenter: Segmenter, samples: Sequence[Sample], change: Stress) -> list[PictureScore]:
    scores = []
    for sample in samples:
        # Eight bits are enough to change; what the file held beyond them is no matter of robustness.
        pixels = sample.pixels if sample.pixels.dtype == np.uint8 else (sample.pixels >> 8).astype(np.uint8)
        data, labels = change.change(pixels.astype(np.uint8), sample.labels)
        changed = replace(sample, data=data, labels=labels)
        scores.append(score(segment_sample(segmenter, changed), changed))
    return scores


def _teeth(scores: Sequence[PictureScore]) -> Counts:
    return sum((picture.teeth.teeth for picture in scores), Counts())
