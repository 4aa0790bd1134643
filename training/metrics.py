"""How well a prediction agrees with the truth: by pixel, by tooth, and how sure the figure is."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p
from typing import Final

import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS
from training.pixels import Labels, Mask

_LEAST_IOU: Final = 0.5
"""Of a tooth that is right."""

_ENDS: Final = (0.025, 0.975)
"""Quantiles that a 95 % interval lies between."""


def dice(predicted: Mask, truth: Mask) -> float:
    """Dice coefficient, 2 |P and T| / (|P| + |T|) (Dice 1945), 0..1.

    Two empty masks agree: 1.

    Args:
        predicted: `(height, width)`, true where tooth.
        truth: the same shape.

    Raises:
        ValueError: the shapes differ, or a mask is not boolean.
    """
    _require_masks(predicted, truth)
    both = int(predicted.sum()) + int(truth.sum())
    return 2 * int((predicted & truth).sum()) / both if both else 1.0


def iou(predicted: Mask, truth: Mask) -> float:
    """Intersection over union, |P and T| / |P or T| (Jaccard 1912), 0..1.

    Two empty masks agree: 1.

    Args:
        predicted: `(height, width)`, true where tooth.
        truth: the same shape.

    Raises:
        ValueError: the shapes differ, or a mask is not boolean.
    """
    _require_masks(predicted, truth)
    union = int((predicted | truth).sum())
    return int((predicted & truth).sum()) / union if union else 1.0


def pixel_accuracy(predicted: Mask, truth: Mask) -> float:
    """Share of pixels on which both agree, (true positives + true negatives) / pixels, 0..1.

    A figure to compare with publications that give it, and with little else: four in five pixels of a panoramic are
    background, so an empty mask scores about 0.8. A picture of no pixels agrees: 1.

    Args:
        predicted: `(height, width)`, true where tooth.
        truth: the same shape.

    Raises:
        ValueError: the shapes differ, or a mask is not boolean.
    """
    _require_masks(predicted, truth)
    return float((predicted == truth).mean()) if truth.size else 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Agreement of two sets, added up over pictures.

    Attributes:
        right: members of both sets.
        predicted: members of the predicted set.
        true: members of the true set.
    """

    right: int = 0
    predicted: int = 0
    true: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.right + other.right, self.predicted + other.predicted, self.true + other.true)

    @property
    def precision(self) -> float:
        """Right / predicted; with nothing predicted, 1 where nothing was true either and 0 otherwise."""
        return self.right / self.predicted if self.predicted else float(self.true == 0)

    @property
    def recall(self) -> float:
        """Right / true; with nothing true, 1 where nothing was predicted either and 0 otherwise."""
        return self.right / self.true if self.true else float(self.predicted == 0)

    @property
    def f1(self) -> float:
        """2 right / (predicted + true), the harmonic mean of both (van Rijsbergen 1979); nothing in either set: 1."""
        both = self.predicted + self.true
        return 2 * self.right / both if both else 1.0


@dataclass(frozen=True, slots=True)
class ToothAgreement:
    """Agreement of label maps tooth by tooth, added up over pictures.

    Attributes:
        teeth: how many teeth were predicted, are true, and are right.
        dice: Dice coefficient of each true tooth with what was predicted under its number, 0 where nothing was.
    """

    teeth: Counts = Counts()
    dice: tuple[float, ...] = ()

    def __add__(self, other: "ToothAgreement") -> "ToothAgreement":
        return ToothAgreement(self.teeth + other.teeth, self.dice + other.dice)

    @property
    def mean_dice(self) -> float:
        """Mean Dice over the true teeth of all pictures, a missed tooth counting 0; without true teeth, 1.

        A tooth predicted where there is none is counted by `teeth.precision`, not here.
        """
        return float(np.mean(self.dice)) if self.dice else 1.0


def match_teeth(predicted: Labels, truth: Labels) -> ToothAgreement:
    """Compare two label maps tooth by tooth.

    A tooth is right where its own FDI number is predicted with an IoU of at least 0.5 (the matching rule of Pascal VOC,
    Everingham et al. 2010, with the number as the class).

    Args:
        predicted: `(height, width)`, a pixel's FDI number, 0 for background.
        truth: the same shape.

    Raises:
        ValueError: the shapes differ, or a map holds anything but 0 and FDI numbers.
    """
    areas = _ToothAreas.of(predicted, truth)
    true = areas.true > 0
    return ToothAgreement(
        Counts(int(areas.right().sum()), int((areas.predicted > 0).sum()), int(true.sum())),
        tuple((2 * areas.shared[true] / (areas.true + areas.predicted)[true]).tolist()),
    )


def right_teeth(predicted: Labels, truth: Labels) -> set[int]:
    """FDI numbers of the predicted teeth that are right, as `match_teeth` counts them.

    Args:
        predicted: `(height, width)`, a pixel's FDI number, 0 for background.
        truth: the same shape.

    Raises:
        ValueError: as `match_teeth`.
    """
    return set(np.array(FDI_NUMBERS)[_ToothAreas.of(predicted, truth).right()].tolist())


@dataclass(frozen=True, slots=True, eq=False)
class _ToothAreas:
    """Pixels of each FDI number, in the order of `FDI_NUMBERS`: predicted, true, and both at once."""

    predicted: npt.NDArray[np.intp]
    true: npt.NDArray[np.intp]
    shared: npt.NDArray[np.intp]

    @classmethod
    def of(cls, predicted: Labels, truth: Labels) -> "_ToothAreas":
        if predicted.shape != truth.shape:
            raise ValueError(f"a prediction of shape {predicted.shape} does not fit a truth of {truth.shape}")
        # One pass over the pixels: how many have each pair of numbers.
        counts = np.bincount(truth.ravel().astype(np.intp) * 256 + predicted.ravel(), minlength=256 * 256)
        pairs = counts.reshape(256, 256)
        true_areas, predicted_areas = pairs.sum(axis=1), pairs.sum(axis=0)
        numbers = np.array(FDI_NUMBERS)
        for areas in (true_areas, predicted_areas):
            if areas[0] + areas[numbers].sum() != truth.size:
                raise ValueError("a label map holds values that are neither 0 nor an FDI number")
        return cls(predicted_areas[numbers], true_areas[numbers], pairs[numbers, numbers])

    def right(self) -> Mask:
        union = np.maximum(self.predicted + self.true - self.shared, 1)
        return np.asarray(self.shared >= _LEAST_IOU * union, np.bool_)


def match_missing(predicted: Collection[int], truth: Collection[int]) -> Counts:
    """Compare which teeth are said to be missing with which are.

    Args:
        predicted: FDI numbers, as `Segmentation.missing` has them.
        truth: FDI numbers.
    """
    said, true = set(predicted), set(truth)
    return Counts(len(said & true), len(said), len(true))


def bootstrap_interval(values: Sequence[float], seed: int, resamples: int = 10_000) -> tuple[float, float]:
    """95 % confidence interval of a mean over pictures, by the percentile bootstrap (Efron 1979).

    Pictures are drawn with replacement, as many as there are; of the `resamples` means, the interval leaves out
    a fortieth at either end. It speaks of other pictures of the same kind, not of other clinics or machines.

    Args:
        values: one figure for each picture; a single one gives an interval of no width.
        seed: of the drawing; the same seed gives the same interval.
        resamples: how many times to draw.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: no values.
    """
    if not len(values):
        raise ValueError("no values, so no interval")
    figures = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(figures), (resamples, len(figures)))
    low, high = np.quantile(figures[drawn].mean(axis=1), _ENDS)
    return float(low), float(high)


def share_interval(hits: int, count: int) -> tuple[float, float]:
    """Exact 95 % confidence interval of a share (Clopper and Pearson 1934), 0..1; of nothing it is all of that.

    Unlike the bootstrap it has a width where all or none are hits.

    Args:
        hits: of `count`.
    """
    # In logarithms: from about a thousand on, the ways to choose are more than a float holds.
    ways = [lgamma(count + 1) - lgamma(hit + 1) - lgamma(count - hit + 1) for hit in range(hits + 1)]

    def at_most(most: int, chance: float) -> float:
        yes, no = log(chance), log1p(-chance)
        return sum(exp(ways[hit] + hit * yes + (count - hit) * no) for hit in range(most + 1))

    def up_to_where(holds: Callable[[float], bool]) -> float:
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if holds(middle) else (low, middle)
        return low

    return (
        up_to_where(lambda chance: 1 - at_most(hits - 1, chance) < 0.025),
        up_to_where(lambda chance: at_most(hits, chance) > 0.025),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """One measure of the same pictures by one or more runs, in a form whose mean can be drawn anew.

    A run's figure over some pictures is the sum of their parts over the sum of their wholes: `wholes` of 1 make it the
    mean over pictures, 2 right and predicted + true make it F1. Where the wholes add up to nothing it is 1, as in
    `Counts.f1`.

    Attributes:
        parts: `(runs, pictures)` `float64`.
        wholes: the same shape, not negative.
    """

    parts: npt.NDArray[np.float64]
    wholes: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.parts.shape != self.wholes.shape or self.parts.ndim != 2 or not self.parts.size:
            raise ValueError(f"parts {self.parts.shape} and wholes {self.wholes.shape} are not both (runs, pictures)")

    @property
    def by_run(self) -> npt.NDArray[np.float64]:
        """`(runs,)`, each run's figure over all pictures."""
        return self.weighted(np.ones((1, self.parts.shape[1])))[:, 0]

    @property
    def mean(self) -> float:
        """Mean of `by_run`."""
        return float(self.by_run.mean())

    def weighted(self, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """`(runs, drawings)`, each run's figure with the pictures counted as often as `(drawings, pictures)` says."""
        parts, wholes = self.parts @ weights.T, self.wholes @ weights.T
        return np.divide(parts, wholes, out=np.ones_like(parts), where=wholes > 0)


def f1_figures(counts: Sequence[Counts]) -> Figures:
    """One run's F1, of each picture's counts."""
    parts = np.array([[2.0 * one.right for one in counts]])
    return Figures(parts, np.array([[float(one.predicted + one.true) for one in counts]]))


def bootstrap_difference(ours: Figures, baseline: Figures, seed: int, resamples: int = 10_000) -> tuple[float, float]:
    """95 % confidence interval of how far one recipe is ahead of another, by the paired percentile bootstrap.

    Both are judged on the same drawn pictures, so that what is hard for both cancels out (Efron and Tibshirani 1993,
    An Introduction to the Bootstrap, chapter 8). Where a recipe has several runs they are drawn with replacement too,
    for each recipe on its own; of two or three runs that shows the spread between seeds as smaller than it is.

    Args:
        ours: the recipe's figures.
        baseline: the other recipe's figures of the same pictures in the same order; it may have another number of runs.
        seed: of the drawing; the same seed gives the same interval.
        resamples: how many times to draw.

    Returns:
        Lower and upper end of `ours.mean - baseline.mean`.

    Raises:
        ValueError: the numbers of pictures differ.
    """
    count = ours.parts.shape[1]
    if baseline.parts.shape[1] != count:
        raise ValueError(f"{count} pictures cannot be paired with {baseline.parts.shape[1]}")
    generator = np.random.default_rng(seed)

    def draw(of: int) -> npt.NDArray[np.float64]:
        return generator.multinomial(of, np.full(of, 1 / of), resamples).astype(np.float64)

    pictures = draw(count)
    ahead = np.zeros(resamples)
    for figures, sign in ((ours, 1), (baseline, -1)):
        runs = draw(len(figures.parts)).T / len(figures.parts)
        ahead += sign * (runs * figures.weighted(pictures)).sum(axis=0)
    low, high = np.quantile(ahead, _ENDS)
    return float(low), float(high)


def _require_masks(predicted: Mask, truth: Mask) -> None:
    if predicted.shape != truth.shape:
        raise ValueError(f"a prediction of shape {predicted.shape} does not fit a truth of {truth.shape}")
    if predicted.dtype != np.bool_ or truth.dtype != np.bool_:
        raise ValueError(f"masks must be boolean, not {predicted.dtype} and {truth.dtype}")
