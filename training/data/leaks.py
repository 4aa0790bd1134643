"""Finds pictures and patients that are in two splits, which make a model look better than it is.

Two pictures are held to be the same where their perceptual hashes nearly are: the signs of 16 x 16 low frequencies of
the discrete cosine transform of the prepared picture, so that frame, size, exposure and compression hardly count, and
mirrored and negative copies are found as well. On UFBA-425 different patients' hashes are 66 bits of 256 apart at least
(one pair in train.json, 39 apart, is one patient taken twice), and copies of one picture 19 at most after another
exposure, noise or JPEG, 36 after local contrast, 42 (median) with 2 % cut off all around. Of 40 pictures 37 are found
with 2 % cut off all around, 11 turned by 3 degrees, and none with 5 % cut off. With 64 bits, as such hashes
usually have, panoramics are too much alike: 8 bits between patients, 7 between exposures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.model.prepare import fit_to, prepare
from training.data.samples import DataError, Sample
from training.data.splits import Splits

SAME: Final = 50
"""Bits of 256; at most so far apart are two copies of one picture."""

_SIDE, _FREQUENCIES = 64, 16

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Leak:
    """Two pictures of different splits that should be in one.

    Attributes:
        one, other: `split/file name`.
        reason: what they have in common.
    """

    one: str
    other: str
    reason: str

    def __str__(self) -> str:
        return f"{self.one} and {self.other}: {self.reason}"


def find_leaks(splits: Splits) -> list[Leak]:
    """Every pair of pictures in different splits that shows one radiograph, or one patient where the data tell."""
    sets = {name: _Hashes(getattr(splits, name)) for name in ("train", "val", "test")}
    return [
        leak
        for one, other in combinations(sets, 2)
        for leak in (
            *_same_patients(one, getattr(splits, one), other, getattr(splits, other)),
            *_same_pictures(one, sets[one], other, sets[other]),
        )
    ]


def refuse_leaks(splits: Splits) -> None:
    """Let no run begin whose figures would be too good.

    Raises:
        DataError: a picture or a patient is in two splits; the message names the files.
    """
    leaks = find_leaks(splits)
    if leaks:
        shown = "; ".join(str(leak) for leak in leaks[:_SHOWN])
        more = f"; and {len(leaks) - _SHOWN} more" if len(leaks) > _SHOWN else ""
        raise DataError(
            f"Pictures of one patient are in two splits ({shown}{more}). Move each patient's pictures into one split; "
            "where you have looked and they are different, panoseg train --allow-leaks goes on."
        )


def hash_picture(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """The perceptual hash of a radiograph, `(32,)` `uint8`, 256 bits.

    Args:
        pixels: `(height, width)` `uint8` or `uint16`.
    """
    small = prepare(np.asarray(pixels), fit_to(_SIDE, _SIDE)).pixels.astype(np.float32)
    # Without the first row and column, which tell brightness and the shade from side to side.
    frequencies = cv2.dct(small)[1 : _FREQUENCIES + 1, 1 : _FREQUENCIES + 1]
    return np.packbits(frequencies > 0)


class _Hashes:
    """The hashes of a split's pictures, as they are and mirrored, `(pictures, 32)` each."""

    def __init__(self, samples: tuple[Sample, ...]) -> None:
        self.samples = samples
        empty = np.zeros((0, _FREQUENCIES**2 // 8), np.uint8)
        self.straight = np.stack([hash_picture(sample.pixels) for sample in samples]) if samples else empty
        self.mirrored = np.stack([hash_picture(sample.pixels[:, ::-1]) for sample in samples]) if samples else empty


def _same_pictures(one: str, mine: _Hashes, other: str, theirs: _Hashes) -> Iterator[Leak]:
    for index, sample in enumerate(mine.samples):
        ways = {
            "the same picture": _distances(mine.straight[index], theirs.straight),
            "the same picture mirrored": _distances(mine.mirrored[index], theirs.straight),
        }
        # In a negative every frequency has the other sign.
        ways |= {f"{reason} as a negative": _FREQUENCIES**2 - apart for reason, apart in ways.items()}
        for reason, apart in ways.items():
            for found in np.flatnonzero(apart <= SAME):
                likeness = f"{reason}, or nearly ({apart[found]} of {_FREQUENCIES**2} bits differ)"
                yield Leak(f"{one}/{sample.name}", f"{other}/{theirs.samples[found].name}", likeness)


def _distances(one: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """How many bits differ from each of the others."""
    return np.bitwise_count(one ^ others).sum(axis=1, dtype=np.int64)


def _same_patients(one: str, mine: tuple[Sample, ...], other: str, theirs: tuple[Sample, ...]) -> Iterator[Leak]:
    known = {sample.patient: sample.name for sample in mine if sample.patient}
    for sample in theirs:
        if sample.patient in known:
            yield Leak(f"{one}/{known[sample.patient]}", f"{other}/{sample.name}", f"patient {sample.patient}")
