"""Fits what a tooth's confidence says to how often such teeth are right, on the validation pictures.

What a network calls its probability is none: it comes from a loss that is content with the right number. So the mean
probability of a tooth is mapped to the share of such teeth that are right: by beta calibration (Kull et al. 2017, Beta
calibration, AISTATS, PMLR 54), a smooth curve of three figures of which the logistic one of Platt (1999) and no map at
all are cases, or by none where that is no better. A rising line of any shape (isotonic regression) takes the chance of
a few teeth for the truth: with a thousand teeth, two of them decided which of a hundred others are uncertain.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from service.errors import SetupError
from service.model.interpret import find_teeth, mean_probabilities
from service.model.package import Calibration, CalibrationMethod, Thresholds
from service.model.prediction import Prediction
from training.metrics import right_teeth
from training.pixels import Labels
from training.reliability import JudgedTooth, expected_calibration_error, kept_at, reliability_bins
from training.thresholds import UNCERTAIN

CALIBRATION: Final = "calibration.json"
"""What a package says of how its confidences were fitted."""

_FOLDS: Final = 10
_WORTH: Final = 0.01
"""Of calibration error; about what chance alone gives with a thousand teeth."""

_LEAST: Final = 1e-4
"""Nothing is held for more certain than this, or a single tooth would decide the comparison."""

Numbers = npt.NDArray[np.float64]


class CalibrationError(SetupError):
    """Validation pictures that tell too little to fit confidence to."""


@dataclass(frozen=True, slots=True)
class FoundTeeth:
    """Teeth that a model found in some pictures, one item each in four arrays.

    Attributes:
        picture: number of the picture.
        fdi: number of the tooth.
        raw: mean probability over the tooth's pixels, 0..1.
        right: 1 where the tooth is right (its own number, IoU at least 0.5), 0 where not.
    """

    picture: npt.NDArray[np.intp]
    fdi: npt.NDArray[np.intp]
    raw: Numbers
    right: Numbers

    def of(self, chosen: npt.NDArray[np.bool_]) -> "FoundTeeth":
        """Some of them."""
        return FoundTeeth(self.picture[chosen], self.fdi[chosen], self.raw[chosen], self.right[chosen])

    def judged(self, sure: Numbers) -> list[JudgedTooth]:
        """Each with a confidence of its own."""
        return [
            JudgedTooth(int(fdi), float(confidence), bool(right))
            for fdi, confidence, right in zip(self.fdi, sure, self.right, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Candidate:
    """How well one map does on pictures that it was not fitted to.

    Attributes:
        method: the map.
        log_loss: mean over the teeth of minus the logarithm of the confidence in what is true.
        calibration_error: expected calibration error by tooth.
    """

    method: CalibrationMethod
    log_loss: float
    calibration_error: float


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A package's calibration, and what it rests on.

    Attributes:
        teeth: how many teeth of the validation pictures it was fitted to.
        candidates: the maps that were compared, by cross-validation over the pictures.
        kept, precision: share of those teeth that is not uncertain (`UNCERTAIN`), and the share of them that is right;
            None where there is none.
    """

    calibration: Calibration
    teeth: int
    candidates: tuple[Candidate, ...]
    kept: float
    precision: float | None

    def summary(self) -> dict[str, Any]:
        """All but the table itself, as `calibration.json` has it."""
        return {
            "method": self.calibration.method,
            "teeth": self.teeth,
            "candidates": {
                one.method: {"log_loss": round(one.log_loss, 4), "ece": round(one.calibration_error, 4)}
                for one in self.candidates
            },
            "uncertain": {
                "limit": UNCERTAIN,
                "kept": round(self.kept, 4),
                "precision": None if self.precision is None else round(self.precision, 4),
            },
        }


def judge_teeth(predictions: Sequence[Prediction], truths: Sequence[Labels], thresholds: Thresholds) -> FoundTeeth:
    """The teeth of each picture as the service finds them, in pixels of the model's input, and which are right."""
    rows: list[tuple[int, int, float, bool]] = []
    for picture, (prediction, truth) in enumerate(zip(predictions, truths, strict=True)):
        labels = find_teeth(prediction, thresholds)
        right = right_teeth(labels, truth)
        rows += [(picture, fdi, raw, fdi in right) for fdi, raw in mean_probabilities(labels, prediction).items()]
    picture, fdi, raw, right = np.array(rows, np.float64).reshape(-1, 4).T
    return FoundTeeth(picture.astype(np.intp), fdi.astype(np.intp), raw, right)


def calibrate(teeth: FoundTeeth) -> Calibrated:
    """Choose and fit a map, and tell what it is worth.

    Each map is fitted to nine tenths of the pictures and judged on the last, ten times. The curve is taken
    where its log loss is lower than without by more than the standard error of the difference over the pictures (the
    rule of Breiman et al. 1984), or where it is lower at all and the calibration error lower by more than 0.01, which
    a few teeth that the model is wrongly sure of can hide from the first rule.

    Raises:
        CalibrationError: the teeth are of fewer than two pictures, so that nothing can be judged apart.
    """
    if np.unique(teeth.picture).size < 2:
        raise CalibrationError(
            "Teeth were found in fewer than two validation pictures; confidence needs more to be fitted."
        )
    losses, errors, candidates = {}, {}, []
    for method in _FITS:
        apart = _fit_apart(method, teeth)
        losses[method] = _losses(apart, teeth.right)
        errors[method] = expected_calibration_error(reliability_bins(teeth.judged(apart)))
        candidates.append(Candidate(method, float(losses[method].mean()), errors[method]))
    chosen: CalibrationMethod = "none"
    for method in _FITS:
        gain, error = _gain(losses[chosen] - losses[method], teeth.picture)
        if gain > error or (gain > 0 and errors[chosen] - errors[method] > _WORTH):
            chosen = method
    calibration = _FITS[chosen](teeth)
    judged = teeth.judged(calibration.probabilities(teeth.raw))
    kept = kept_at(judged, UNCERTAIN)
    return Calibrated(calibration, len(judged), tuple(candidates), kept.share, kept.precision)


def fit_none(teeth: FoundTeeth) -> Calibration:
    """The confidence is the mean probability."""
    return Calibration(method="none", raw=(0.0, 1.0), confidence=(0.0, 1.0))


def fit_beta(teeth: FoundTeeth) -> Calibration:
    """The most likely curve `a log p - b log(1 - p) + c` of the logit, never falling: neither `a` nor `b` below 0."""
    right = teeth.right.sum()
    # Softened, the targets of teeth that are all right do not ask for a certainty that no number of teeth can show.
    high, low = (right + 1) / (right + 2), 1 / (teeth.right.size - right + 2)
    target, columns = np.where(teeth.right > 0, high, low), _columns(teeth.raw)
    found, used = np.full(3, -1.0), np.ones(3, np.bool_)
    while (found[:2] < 0).any():
        found[:] = 0
        found[used] = _fit_curve(columns[:, used], target)
        used[:2] &= found[:2] >= 0
    raw = np.concatenate([[0.0], _sigmoid(np.linspace(-5, 5, 41)), [1.0]])
    return _table("beta", raw, _sigmoid(_columns(raw) @ found))


_FITS: Final[dict[CalibrationMethod, Callable[[FoundTeeth], Calibration]]] = {
    "none": fit_none,
    "beta": fit_beta,
}


def _fit_apart(method: CalibrationMethod, teeth: FoundTeeth) -> Numbers:
    """The confidence of each tooth by a map that was fitted to other pictures."""
    confidence = np.zeros(teeth.raw.size)
    # Counted over the pictures in which teeth were found, so that two of them never lie in one fold alone.
    folds = np.unique(teeth.picture, return_inverse=True)[1] % _FOLDS
    for fold in np.unique(folds):
        held_out = folds == fold
        confidence[held_out] = _FITS[method](teeth.of(~held_out)).probabilities(teeth.raw[held_out])
    return confidence


def _losses(confidence: Numbers, right: Numbers) -> Numbers:
    sure = np.clip(confidence, _LEAST, 1 - _LEAST)
    return -np.log(np.where(right > 0, sure, 1 - sure))


def _gain(differences: Numbers, picture: npt.NDArray[np.intp]) -> tuple[float, float]:
    """Sum of the differences, and its standard error over the pictures: the teeth of one are alike."""
    by_picture = np.bincount(picture, weights=differences)
    return float(by_picture.sum()), float(by_picture.std() * np.sqrt(by_picture.size))


def _fit_curve(columns: Numbers, target: Numbers) -> Numbers:
    """The most likely weights of columns `(teeth, weights)` in a logistic curve, by Newton's method, never uphill."""

    def unlikely(weights: Numbers) -> float:
        logits = columns @ weights
        return float((np.logaddexp(0, logits) - target * logits).sum())

    weights = np.zeros(columns.shape[1])
    for _ in range(50):
        probability = _sigmoid(columns @ weights)
        variance = np.maximum(probability * (1 - probability), 1e-6)
        # The little on the diagonal is for columns that are alike, as where all teeth have one probability.
        curvature = (columns * variance[:, None]).T @ columns + 1e-6 * np.eye(weights.size)
        step = np.linalg.solve(curvature, columns.T @ (target - probability))
        while unlikely(weights + step) > unlikely(weights) and np.abs(step).max() > 1e-9:
            step /= 2
        weights = weights + step
    return weights


def _table(method: CalibrationMethod, raw: Numbers, confidence: Numbers) -> Calibration:
    rounded, first = np.unique(np.round(raw, 5), return_index=True)
    return Calibration(
        method=method,
        raw=tuple(rounded.tolist()),
        confidence=tuple(np.round(confidence[first], 5).tolist()),
    )


def _columns(probability: Numbers) -> Numbers:
    inside = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.stack([np.log(inside), -np.log(1 - inside), np.ones_like(inside)], axis=1)


def _sigmoid(value: Numbers) -> Numbers:
    return np.asarray(1 / (1 + np.exp(-value)), np.float64)
