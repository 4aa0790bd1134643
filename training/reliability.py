"""Whether confidences are what they say: how far they are from the share that is right, and what a limit keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

_BINS: Final = 10
_CURVE_POINTS: Final = 40


@dataclass(frozen=True, slots=True)
class JudgedTooth:
    """A tooth that was told of, and whether it is right.

    Attributes:
        fdi: its number.
        confidence: that it is right, 0..1, as the answer has it.
        right: whether its own number stands there in truth, with an IoU of at least 0.5.
    """

    fdi: int
    confidence: float
    right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Teeth of like confidence: how many, their mean confidence, and the share of them that is right."""

    teeth: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays of the teeth when those below a limit are put aside.

    Attributes:
        limit: teeth of at least this confidence are kept.
        share: of the teeth that is kept, 0..1.
        precision: share of the kept teeth that is right, 0..1; None where none is kept.
    """

    limit: float
    share: float
    precision: float | None


def reliability_bins(teeth: Sequence[JudgedTooth]) -> list[Bin]:
    """Teeth in the order of their confidence, cut into ten bins of as many each.

    Those of equal confidence lie together, so there are fewer bins where there are fewer confidences.
    """
    confidences, right = _arrays(teeth)
    # A bin ends where its last confidence does, so that a tie is no matter of the teeth's order.
    ends = np.searchsorted(confidences, [part[-1] for part in np.array_split(confidences, _BINS) if part.size], "right")
    edges = np.unique(np.concatenate([[0], ends]))
    return [
        Bin(int(last - first), float(confidences[first:last].mean()), float(right[first:last].mean()))
        for first, last in pairwise(edges)
    ]


def expected_calibration_error(bins: Sequence[Bin]) -> float:
    """Mean distance over the teeth between the confidence of their bin and the share of it that is right, 0..1.

    Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning", with bins of
    as many teeth each. Chance alone makes it a little more than 0. Without teeth, 0.
    """
    teeth = sum(one.teeth for one in bins)
    return sum(one.teeth * abs(one.confidence - one.right) for one in bins) / teeth if teeth else 0.0


def kept_at(teeth: Sequence[JudgedTooth], limit: float) -> Kept:
    """What a limit of confidence keeps."""
    kept = [tooth for tooth in teeth if tooth.confidence >= limit]
    share = len(kept) / len(teeth) if teeth else 1.0
    return Kept(limit, share, sum(tooth.right for tooth in kept) / len(kept) if kept else None)


def coverage_curve(teeth: Sequence[JudgedTooth]) -> list[Kept]:
    """What is kept as the limit rises, from all teeth to the surest fortieth of them."""
    if not teeth:
        return []
    confidences, _ = _arrays(teeth)
    starts = np.unique(np.linspace(0, len(teeth), _CURVE_POINTS, endpoint=False).astype(int))
    return [kept_at(teeth, float(limit)) for limit in np.unique(confidences[starts])]


def _arrays(teeth: Sequence[JudgedTooth]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Confidences, rising, and with each whether the tooth is right."""
    confidences = np.array([tooth.confidence for tooth in teeth], np.float64)
    right = np.array([tooth.right for tooth in teeth], np.float64)
    order = np.argsort(confidences, kind="stable")
    return confidences[order], right[order]
