"""Which number each tooth has, decided for an arch as a whole: each number once, in order, at likely distances.

A network judges each pixel by what surrounds it. That no number comes twice, that numbers follow the arch, and that
neighbours lie a tooth's width apart is known before any picture. Both together are a hidden Markov model along the
arch: its hidden states are the places, its observations the teeth's evidence and the distances between them, and
dynamic programming finds its likeliest path (Viterbi 1967, doi:10.1109/TIT.1967.1054010).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS, LOWER, UPPER

_Scores = npt.NDArray[np.float64]


Numbering = Callable[[_Scores, _Scores, _Scores], tuple[int, ...]]
"""Something that does what `arrange` does."""


@dataclass(frozen=True, slots=True, eq=False)
class _Arch:
    """What is known of an arch before any picture; places are counted from the left of the picture.

    Attributes:
        numbers: the FDI number of each of the 16 places.
        centres: across the picture, as shares of its width, from the first place's.
        missing: natural logarithm of the odds that the place is empty.
    """

    numbers: tuple[int, ...]
    centres: _Scores
    missing: _Scores

    @property
    def columns(self) -> list[int]:
        """The places' numbers as positions in `FDI_NUMBERS`."""
        return [FDI_NUMBERS.index(fdi) for fdi in self.numbers]


def _symmetric(numbers: tuple[int, ...], distances: tuple[float, ...], missing: tuple[float, ...]) -> _Arch:
    """From the left half of an arch: eight distances to the next place in 1/512 of the width, eight shares missing."""
    steps = np.array([*distances, *distances[-2::-1]]) / 512
    shares = np.array([*missing, *missing[::-1]])
    return _Arch(numbers, np.concatenate([[0.0], np.cumsum(steps)]), np.log(shares / (1 - shares)))


# Means over the 300 training pictures of UFBA-425.
_UPPER: Final = _symmetric(
    UPPER,
    (19.1, 26.2, 23.3, 18.4, 18.0, 19.3, 18.6, 21.8),
    (0.27, 0.08, 0.15, 0.13, 0.09, 0.06, 0.08, 0.08),
)
_LOWER: Final = _symmetric(
    LOWER,
    (29.8, 32.2, 27.1, 21.6, 18.8, 18.4, 14.3, 13.8),
    (0.30, 0.17, 0.30, 0.12, 0.06, 0.02, 0.03, 0.03),
)

_WEIGHT_OF_THE_ARCH: Final = 0.75
"""How much what is known of arches counts beside the network's word, which has heard much of it already."""

_COST_OF_LEAVING_OUT: Final = 6.0
_SPREAD: Final = 0.22
"""Standard deviation of a distance, as a share of it."""
_STRAY: Final = 0.03
"""Share of neighbours whose distance follows no rule."""
_CLEAR_NEIGHBOURS: Final = 6
"""How many pairs of neighbours tell the size of a jaw."""
_REACH: Final = 4
"""How many teeth in a row may be left out, and one more."""

_FROM, _TO = np.triu_indices(16, 1)
"""The pairs of places that an arch can be followed along."""


def arrange(
    centres: npt.NDArray[np.float64], evidence: npt.NDArray[np.float64], substance: npt.NDArray[np.float64]
) -> tuple[int, ...]:
    """The FDI number of each tooth, 0 for one that has no place; no number is given twice.

    Args:
        centres: `(teeth,)`, across the picture, as shares of its width.
        evidence: `(teeth, 32)`, logarithms of the probabilities of `FDI_NUMBERS`, averaged over each tooth.
        substance: `(teeth,)`, 0..1; how much would be lost where the tooth is left out, such as its area.
    """
    probability = np.exp(evidence)
    in_upper = probability[:, _UPPER.columns].sum(axis=1) >= probability[:, _LOWER.columns].sum(axis=1)
    rows = []
    for arch, members in ((_UPPER, in_upper), (_LOWER, ~in_upper)):
        row = np.flatnonzero(members)
        row = row[np.argsort(centres[row], kind="stable")]
        rows.append((arch, row, centres[row], evidence[row][:, arch.columns]))
    size = _measure_size([(arch, across, words.argmax(axis=1)) for arch, _, across, words in rows])
    numbers = np.zeros(len(centres), np.intp)
    for arch, row, across, words in rows:
        places = _best_path(arch, across / size, words, substance[row])
        numbers[row] = [0 if place is None else arch.numbers[place] for place in places]
    # One that stands out of the row, such as an impacted canine, has its number from the network where it is free.
    for tooth in np.flatnonzero(numbers == 0):
        own = FDI_NUMBERS[int(evidence[tooth].argmax())]
        if own not in numbers:
            numbers[tooth] = own
    return tuple(numbers.tolist())


def _measure_size(rows: list[tuple[_Arch, _Scores, npt.NDArray[np.intp]]]) -> float:
    """How large the jaw is on this picture, 1 for the usual: median over neighbours that the network is clear on."""
    ratios = []
    for arch, across, places in rows:
        neighbours = np.diff(places) == 1
        ratios += (np.diff(across)[neighbours] / np.diff(arch.centres)[places[:-1][neighbours]]).tolist()
    return float(np.clip(np.median(ratios), 0.7, 1.4)) if len(ratios) >= _CLEAR_NEIGHBOURS else 1.0


def _best_path(arch: _Arch, centres: _Scores, evidence: _Scores, substance: _Scores) -> list[int | None]:
    """The place of each tooth of an arch, None for one left out; the teeth come from left to right.

    Of three teeth side by side the network calls the first 11 and the last 22, and the middle one 11 with a probability
    of 0.6 and 21 with 0.4. Both as 11 is no path. With the middle one at the place of 21 the path costs
    ln(0.6 / 0.4) = 0.4 more than the network's own word; with it left out it would cost 6 for the tooth, and 1.8 for
    the empty place of 21. So they are 11, 21 and 22.
    """
    teeth = len(centres)
    if not teeth:
        return []
    # Sums up to each tooth or place, so that a stretch costs one subtraction.
    lost = -_COST_OF_LEAVING_OUT * np.concatenate([[0.0], np.cumsum(substance)])
    empty = _WEIGHT_OF_THE_ARCH * np.concatenate([[0.0], np.cumsum(arch.missing)])
    score = evidence + empty[:16] + lost[:teeth, None]
    # Of each tooth at each place the tooth and the place before it; -1 for the tooth where it is the first.
    tooth_before, place_before = np.full((2, teeth, 16), -1)
    # From each tooth to each of those that follow it within reach.
    ahead = np.arange(teeth)[:, None] - np.arange(_REACH, 0, -1)
    distances = centres[:, None] - centres[np.maximum(ahead, 0)]
    transitions = _transitions(arch, distances) + (lost[:-1, None] - lost[np.maximum(ahead, -1) + 1])[:, :, None, None]
    columns = np.arange(16)
    for tooth in range(1, teeth):
        first = max(0, tooth - _REACH)
        steps = score[first:tooth, :, None] + transitions[tooth, _REACH - (tooth - first) :]
        from_each = steps.reshape(-1, 16)
        best = from_each.argmax(axis=0)
        reached = from_each[best, columns] + evidence[tooth]
        tooth_before[tooth] = np.where(reached > score[tooth], first + best // 16, -1)
        place_before[tooth] = best % 16
        score[tooth] = np.maximum(score[tooth], reached)
    total = score + (lost[teeth] - lost[1:])[:, None] + empty[16] - empty[1:]
    places: list[int | None] = [None] * teeth
    tooth, place = divmod(int(total.argmax()), 16)
    while tooth >= 0:
        places[tooth] = place
        tooth, place = int(tooth_before[tooth, place]), int(place_before[tooth, place])
    return places


def _transitions(arch: _Arch, distances: _Scores) -> _Scores:
    """Score of going from place to place, `(..., 16, 16)`, for teeth `(...)` so far apart; never backwards."""
    expected = arch.centres[_TO] - arch.centres[_FROM]
    one = float(arch.centres[-1]) / 15
    distance = distances[..., None]
    deviation = _SPREAD * np.maximum(expected, one / 2)
    near = np.exp(-0.5 * ((distance - expected) / deviation) ** 2) / deviation / np.sqrt(2 * np.pi)
    # Where teeth are missing their neighbours may have moved into the gap, by nothing or by nearly all of it.
    widest, narrowest = 1.1 * expected, 0.7 * one
    moved = ((distance > narrowest) & (distance < widest)) / np.maximum(widest - narrowest, one)
    likely = np.where(_TO - _FROM > 1, (near + moved) / 2, near)
    density = (1 - _STRAY) * likely + _STRAY / (5 * one)
    emptied = np.concatenate([[0.0], np.cumsum(arch.missing)])
    score = np.full((*distances.shape, 16, 16), -np.inf)
    score[..., _FROM, _TO] = _WEIGHT_OF_THE_ARCH * (np.log(density * one) + emptied[_TO] - emptied[_FROM + 1])
    return score
