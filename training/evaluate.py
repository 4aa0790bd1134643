"""Measures a model package as it ships: each picture's file through `service.segmenter`, against its truth."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import track

from service.dentition.fdi import FDI_NUMBERS
from service.errors import RequestError
from service.model.package import MANIFEST, ModelPackage, load_package, read_manifest
from service.segmentation import Segmentation
from service.segmenter import Segmenter, Wanted
from service.settings import Settings
from service.ticket import Ticket
from training.config import load_config
from training.data import DataError, Sample, load_split
from training.data.samples import are_numbered
from training.intervals import bootstrap_interval
from training.metrics import Counts, ToothAgreement, dice, iou, match_missing, match_teeth, pixel_accuracy, right_teeth
from training.metrics_file import add_figures, calibration_sha256, choose_file, describe_measurement
from training.pixels import Labels
from training.reliability import (
    JudgedTooth,
    Kept,
    coverage_curve,
    expected_calibration_error,
    kept_at,
    reliability_bins,
)

_SEED: Final = 0
_PATIENCE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class PictureScore:
    """How well one picture was read.

    Attributes:
        teeth, judged, missing, missing_uncertain: None where the truth has no numbers, which says nothing of them.
            Of missing teeth, `missing_uncertain` are those beside an uncertain tooth.
    """

    name: str
    category: str
    dice: float
    iou: float
    pixel_accuracy: float
    teeth: ToothAgreement | None
    judged: tuple[JudgedTooth, ...] | None
    missing: Counts | None
    findings: tuple[str, ...]
    missing_uncertain: Counts | None = None


def evaluate(package_folder: Path, config_path: Path, split: str, out: Path | None = None) -> dict[str, Any]:
    """Measure a package on one split of a configuration's data, and write it into the package's `metrics.json`.

    The test split's main figures also go into the manifest. Figures by tooth are None where the truth has no numbers.

    Args:
        split: `val` or `test`.
        out: the file to write to in place of `metrics.json`; the package then stays as it is.

    Returns:
        What was written under the split's name.

    Raises:
        MetricsFileError: the file has figures of other data.
        ModelPackageError, ConfigError, DataError: something of it cannot be used.
    """
    path = choose_file(package_folder, config_path, out)
    source = load_config(config_path).data
    samples = load_split(source, split)
    command = f"panoseg evaluate {package_folder} --config {config_path} --split {split}"
    command += f" --out {out}" if out else ""
    with closing(open_segmenter(load_package(package_folder))) as segmenter:
        scores = score_all(segmenter, samples, f"reading {split}")
        session = segmenter.model.session
    summary = {
        **describe_measurement(command, source, session),
        "calibration_sha256": calibration_sha256(segmenter.package.manifest),
        **summarise(scores),
        **describe_confidence(scores, segmenter.package.manifest.thresholds.uncertain),
        "by_category": {name: summarise(group) for name, group in _by_category(scores).items()},
        "by_picture": [_row(picture) for picture in scores],
    }
    add_figures(path, split, summary)
    if split == "test" and out is None:
        _tell_in_manifest(package_folder, summary)
    return summary


def _tell_in_manifest(package_folder: Path, summary: dict[str, Any]) -> None:
    """Put the main figures where `/v1/models` tells them from."""
    manifest = read_manifest(package_folder)
    names = ["pictures", "dice", "iou", "pixel_accuracy"]
    figures = {name: summary[name] for name in names}
    figures |= {name: summary[name] for name in ("tooth", "missing", "uncertain") if summary[name] is not None}
    if summary["calibration"] is not None:
        figures["ece"] = summary["calibration"]["ece"]
    manifest = manifest.model_copy(update={"metrics": {"test": figures}})
    (package_folder / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def open_segmenter(package: ModelPackage) -> Segmenter:
    """A package on the provider that it is measured on: ONNX Runtime's own, or what `PANOSEG_PROVIDER` says.

    The service would take what is soonest, which rounds a little differently, and may be another one the next time.
    """
    settings = Settings()
    return Segmenter(package, settings if settings.model_fields_set & {"provider"} else Settings(provider="cpu"))


def segment_upload(segmenter: Segmenter, name: str, upload: bytes) -> Segmentation:
    """What the service answers to a picture's file.

    Args:
        name: the picture's, for the message.

    Raises:
        DataError: the service refuses it, such as one with a side below 128 pixels.
    """
    try:
        return segmenter.segment(upload, Wanted(), Ticket(_PATIENCE_S)).segmentation
    except RequestError as error:
        raise DataError(f"{name} cannot be read: {error}") from error


def read_again(segmenter: Segmenter, samples: Mapping[str, Sample], name: str) -> tuple[Sample, Labels]:
    """A picture that was measured, with the labels that are found on it now, in pixels of the picture.

    Args:
        samples: of the split, by name.

    Raises:
        DataError: there is no such picture any more, or the service refuses it.
    """
    if name not in samples:
        raise DataError(f"{name} was measured and is not in the data; evaluate the package again.")
    sample = samples[name]
    return sample, segment_upload(segmenter, name, sample.data).labels


def score_all(segmenter: Segmenter, samples: Sequence[Sample], title: str) -> list[PictureScore]:
    """Compare the answers to some pictures with their truth."""
    # Of them all together: a jaw without teeth has no mask that could tell.
    numbered = are_numbered(samples)
    return [
        score(segment_upload(segmenter, sample.name, sample.data), sample, numbered) for sample in track(samples, title)
    ]


def score(segmentation: Segmentation, sample: Sample, numbered: bool) -> PictureScore:
    """Compare an answer with the truth, in pixels of the picture as it lies on disk.

    Args:
        numbered: whether the truth tells numbers.
    """
    predicted, truth = segmentation.labels > 0, sample.labels > 0
    gaps = set(FDI_NUMBERS) - set(np.unique(sample.labels).tolist())
    return PictureScore(
        sample.name,
        sample.category,
        dice(predicted, truth),
        iou(predicted, truth),
        pixel_accuracy(predicted, truth),
        match_teeth(segmentation.labels, sample.labels) if numbered else None,
        judge(segmentation, sample.labels) if numbered else None,
        match_missing(segmentation.missing, gaps) if numbered else None,
        tuple(finding.code for finding in segmentation.findings),
        match_missing(segmentation.missing_uncertain, gaps) if numbered else None,
    )


def judge(segmentation: Segmentation, truth: Labels) -> tuple[JudgedTooth, ...]:
    """Each tooth of an answer with its confidence, and whether it is right.

    Args:
        truth: FDI numbers, in pixels of the radiograph.
    """
    right = right_teeth(segmentation.labels, truth)
    return tuple(JudgedTooth(tooth.fdi, tooth.confidence, tooth.fdi in right) for tooth in segmentation.teeth)


def describe_confidence(scores: Sequence[PictureScore], uncertain: float) -> dict[str, Any]:
    """How far confidences can be believed, what a limit keeps, and what the package's own limit does.

    Args:
        uncertain: confidence below which a tooth is called uncertain.

    Returns:
        `calibration` with the expected calibration error and its bins, `coverage`, the curve of kept teeth against
        their precision, and `uncertain`, with the share of the wrong teeth that are called so; each None where no tooth
        could be judged.
    """
    teeth = [tooth for picture in scores for tooth in picture.judged or ()]
    if not teeth:
        return {"calibration": None, "coverage": None, "uncertain": None}
    bins, kept = reliability_bins(teeth), kept_at(teeth, uncertain)
    wrong = [tooth for tooth in teeth if not tooth.right]
    caught = sum(tooth.confidence < uncertain for tooth in wrong)
    return {
        "calibration": {
            "ece": round(expected_calibration_error(bins), 4),
            "bins": [
                {"teeth": one.teeth, "confidence": round(one.confidence, 4), "right": round(one.right, 4)}
                for one in bins
            ],
        },
        "coverage": [_kept(point) for point in coverage_curve(teeth)],
        "uncertain": {**_kept(kept), "wrong_caught": round(caught / len(wrong), 4) if wrong else 1.0},
    }


def summarise(scores: Sequence[PictureScore]) -> dict[str, Any]:
    """Means over pictures with 95 % bootstrap intervals, figures by tooth over all teeth, and counts of findings.

    `tooth`, `missing`, `missing_uncertain` (beside an uncertain tooth) and `missing_others` are None where the truth
    has no numbers; of the last two it is told how many were said to be missing, and how many of these are.
    """
    agreements = [picture.teeth for picture in scores if picture.teeth is not None]
    teeth = sum(agreements, ToothAgreement())
    missing = sum((picture.missing for picture in scores if picture.missing is not None), Counts())
    uncertain = sum((one.missing_uncertain for one in scores if one.missing_uncertain is not None), Counts())
    others = Counts(missing.right - uncertain.right, missing.predicted - uncertain.predicted)
    worst = sorted(picture.dice for picture in scores)[: max(1, len(scores) // 10)]
    findings = sorted({code for picture in scores for code in picture.findings})
    return {
        "pictures": len(scores),
        **{name: _mean([getattr(picture, name) for picture in scores]) for name in ("dice", "iou", "pixel_accuracy")},
        "worst_tenth_dice": round(float(np.mean(worst)), 4),
        "tooth": {"dice": round(teeth.mean_dice, 4), **_agreement(teeth.teeth)} if agreements else None,
        "missing": _agreement(missing) if agreements else None,
        "missing_uncertain": _said(uncertain) if agreements else None,
        "missing_others": _said(others) if agreements else None,
        "findings": {code: sum(code in picture.findings for picture in scores) for code in findings},
    }


def _mean(values: Sequence[float]) -> dict[str, Any]:
    low, high = bootstrap_interval(values, _SEED)
    return {"mean": round(float(np.mean(values)), 4), "interval": [round(low, 4), round(high, 4)]}


def _kept(kept: Kept) -> dict[str, float | None]:
    precision = None if kept.precision is None else round(kept.precision, 4)
    return {"limit": round(kept.limit, 4), "kept": round(kept.share, 4), "precision": precision}


def _said(counts: Counts) -> dict[str, int]:
    return {"said": counts.predicted, "right": counts.right}


def _agreement(counts: Counts) -> dict[str, Any]:
    return {
        "precision": round(counts.precision, 4),
        "recall": round(counts.recall, 4),
        "f1": round(counts.f1, 4),
        "right": counts.right,
        "predicted": counts.predicted,
        "true": counts.true,
    }


def _by_category(scores: Iterable[PictureScore]) -> dict[str, list[PictureScore]]:
    groups: dict[str, list[PictureScore]] = defaultdict(list)
    for picture in scores:
        if picture.category:
            groups[picture.category].append(picture)
    return dict(sorted(groups.items(), key=lambda item: item[0].zfill(3)))


def _row(picture: PictureScore) -> dict[str, Any]:
    return {
        "name": picture.name,
        "category": picture.category,
        "dice": round(picture.dice, 4),
        "iou": round(picture.iou, 4),
        "pixel_accuracy": round(picture.pixel_accuracy, 4),
        "tooth_dice": None if picture.teeth is None else round(picture.teeth.mean_dice, 4),
        "tooth_f1": None if picture.teeth is None else round(picture.teeth.teeth.f1, 4),
        "findings": list(picture.findings),
    }
