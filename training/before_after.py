"""Measures two model packages on the same pictures: before and after, and what changed picture by picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.model.package import ModelPackage, load_package
from training.config import load_config
from training.data import Sample, load_splits
from training.data.samples import are_numbered
from training.evaluate import PictureScore, open_segmenter, score_all, summarise
from training.metrics import bootstrap_interval

COMPARISON: Final = "comparison.json"

MEASURES: Final = ("dice", "iou", "pixel_accuracy", "tooth_dice", "tooth_f1")
"""By tooth only where the data tell numbers."""

_SEED: Final = 0


def compare(before: Path, after: Path, config_path: Path, split: str, out: Path | None = None) -> dict[str, Any]:
    """Measure two packages on one split, through the files that are served, and write `comparison.json` into `after`.

    Args:
        before, after: folders of packages; nothing in `before` changes.
        split: `val` or `test`.
        out: the file to write to in place of `after`'s.

    Returns:
        What was written: figures of both as `panoseg evaluate` has them, and of each measure the mean over the
        pictures of after minus before, its 95 % bootstrap interval, and how many pictures are better and worse.

    Raises:
        ModelPackageError, ConfigError, DataError: something of it cannot be used.
    """
    samples: tuple[Sample, ...] = getattr(load_splits(load_config(config_path).data, names=(split,)), split)
    packages = {"before": load_package(before), "after": load_package(after)}
    scores = {name: _score(package, samples, name) for name, package in packages.items()}
    numbered = are_numbered(samples)
    told: dict[str, Any] = {
        "command": f"panoseg evaluate {after} --config {config_path} --split {split} --before {before}",
        "split": split,
        **{
            name: {"model": f"{package.manifest.name}/{package.manifest.version}", **summarise(scores[name])}
            for name, package in packages.items()
        },
        "difference": {
            measure: subtract(*([_figure(picture, measure) for picture in scores[name]] for name in packages))
            for measure in MEASURES[: None if numbered else 3]
        },
    }
    (out or after / COMPARISON).write_text(json.dumps(told, indent=1) + "\n")
    return told


def subtract(before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """Paired difference, after minus before: its mean, the 95 % bootstrap interval of it, and how many rose and fell.

    Args:
        before, after: one figure for each picture, in the same order; at least one.
    """
    differences = np.subtract(after, before)
    low, high = bootstrap_interval(differences.tolist(), _SEED)
    return {
        "before": round(float(np.mean(before)), 4),
        "after": round(float(np.mean(after)), 4),
        "mean": round(float(differences.mean()), 4),
        "interval": [round(low, 4), round(high, 4)],
        "better": int((differences > 0).sum()),
        "worse": int((differences < 0).sum()),
    }


def _score(package: ModelPackage, samples: Sequence[Sample], name: str) -> list[PictureScore]:
    segmenter = open_segmenter(package)
    try:
        return score_all(segmenter, samples, f"reading {name}")
    finally:
        segmenter.close()


def _figure(picture: PictureScore, measure: str) -> float:
    if measure.startswith("tooth_"):
        assert picture.teeth is not None
        return picture.teeth.mean_dice if measure == "tooth_dice" else picture.teeth.teeth.f1
    return float(getattr(picture, measure))
