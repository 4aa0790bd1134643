"""How sure a figure is: 95 % intervals of means, shares and differences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p
from typing import Final

import numpy as np
import numpy.typing as npt

from training.metrics import Counts

_ENDS: Final = (0.025, 0.975)
"""Quantiles that a 95 % interval lies between."""


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
