"""Measures two model packages on the same pictures: before and after, and what changed picture by picture."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np

from service.model.package import ModelPackage, load_package
from training.config import load_config
from training.data import Sample, load_split
from training.evaluate import PictureScore, open_segmenter, score_all, summarise
from training.intervals import Figures, bootstrap_difference
from training.measure import COMPARED_MEASURES, stack_figures

COMPARISON: Final = "comparison.json"

_SEED: Final = 0


def compare(before: Path, after: Path, config_path: Path, split: str, out: Path | None = None) -> dict[str, Any]:
    """Measure two packages on one split, through the files that are served, and write `comparison.json` into `after`.

    Args:
        before, after: folders of packages; nothing in `before` changes.
        split: `val` or `test`.
        out: the file to write to in place of `after`'s.

    Returns:
        What was written: figures of both as `panoseg evaluate` has them, and of each measure after minus before, its
        95 % bootstrap interval over pictures, and how many pictures are better and worse; by tooth only where the data
        tell numbers.

    Raises:
        ModelPackageError, ConfigError, DataError: something of it cannot be used.
    """
    samples = load_split(load_config(config_path).data, split)
    packages = {"before": load_package(before), "after": load_package(after)}
    scores = {name: _score(package, samples, name) for name, package in packages.items()}
    pairs = {name: [stack_figures([scores[each]], name) for each in packages] for name in COMPARED_MEASURES}
    comparison: dict[str, Any] = {
        "command": f"panoseg evaluate {after} --config {config_path} --split {split} --before {before}",
        "split": split,
        **{
            name: {"model": f"{package.manifest.name}/{package.manifest.version}", **summarise(scores[name])}
            for name, package in packages.items()
        },
        "difference": {
            measure: subtract(old, new) for measure, (old, new) in pairs.items() if old is not None and new is not None
        },
    }
    (out or after / COMPARISON).write_text(json.dumps(comparison, indent=1) + "\n", encoding="utf-8")
    return comparison


def subtract(before: Figures, after: Figures) -> dict[str, Any]:
    """Paired difference, after minus before, its 95 % bootstrap interval, and how many pictures rose and fell.

    Args:
        before, after: of one run each, on the same pictures in the same order.
    """
    low, high = bootstrap_difference(after, before, _SEED)
    one_by_one = np.eye(before.parts.shape[1])
    rises = after.weighted(one_by_one) - before.weighted(one_by_one)
    return {
        "before": round(before.mean, 4),
        "after": round(after.mean, 4),
        "mean": round(after.mean - before.mean, 4),
        "interval": [round(low, 4), round(high, 4)],
        "better": int((rises > 0).sum()),
        "worse": int((rises < 0).sum()),
    }


def _score(package: ModelPackage, samples: Sequence[Sample], name: str) -> list[PictureScore]:
    with closing(open_segmenter(package)) as segmenter:
        return score_all(segmenter, samples, f"reading {name}")
