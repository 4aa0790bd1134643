"""How well a prediction agrees with the truth: by pixel and by tooth."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS
from training.pixels import Labels, Mask

_LEAST_IOU: Final = 0.5
"""Of a tooth that is right."""


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


def _require_masks(predicted: Mask, truth: Mask) -> None:
    if predicted.shape != truth.shape:
        raise ValueError(f"a prediction of shape {predicted.shape} does not fit a truth of {truth.shape}")
    if predicted.dtype != np.bool_ or truth.dtype != np.bool_:
        raise ValueError(f"masks must be boolean, not {predicted.dtype} and {truth.dtype}")
