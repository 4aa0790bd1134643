"""The three splits that a data source gives, whatever its kind."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.radiograph import Limits
from training.config import CocoData, Config, ConfigError, Data, PairsData, PhantomData, TuftsData
from training.data.coco import load_coco
from training.data.pairs import load_pairs
from training.data.samples import TOOTH, DataError, Sample, find_orientation, lacks_numbers
from training.data.tufts import load_tufts
from training.phantom import draw_samples

_LEAST: Final = 2
"""Pictures with teeth, to learn numbers from and to choose by."""

_NAMED: Final = 3
"""Pictures that a remark names."""

_LOOKED_AT: Final = 256
"""Pixels along a picture's short side that are looked at to tell a tooth's pieces; a tooth is ten wide."""

_STRAY: Final = 0.2
"""Share of a tooth's largest piece below which another is a slip of the pen."""

_APART: Final = 2
"""Widths of a tooth between two pieces that are hardly of one; a neighbour that lies over it splits it by less."""


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Pictures to learn from, to choose by, and to report on."""

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]


def load_splits(source: Data, *, names: Sequence[str] = ("train", "val", "test")) -> Splits:
    """Load the named splits of a data source; the others stay empty.

    Raises:
        DataError: a file that is missing or damaged, a mask of another size, an unknown category, a split without
            pictures, or one to learn from or to choose by without a tooth.
    """
    return Splits(**{name: load_split(source, name) if name in names else () for name in ("train", "val", "test")})


def load_split(source: Data, name: str) -> tuple[Sample, ...]:
    """Load one split of a data source.

    Raises:
        DataError: as `load_splits`.
    """
    if isinstance(source, CocoData):
        samples = load_coco(source.folder / getattr(source, name), source.folder / source.images)
    elif isinstance(source, PairsData):
        samples = load_pairs(source.folder / name)
    elif isinstance(source, TuftsData):
        samples = load_tufts(source, name)
    else:
        # A seed of its own for each split, far from the others, so that none shares a picture.
        offset = {"train": 0, "val": 1_000_000, "test": 2_000_000}[name]
        samples = draw_samples(getattr(source, name), source.seed + offset)
    if not samples:
        raise DataError(f"{_describe(source, name)} lists no pictures; at least one is needed in {name}.")
    if name != "test" and not any(sample.labels.any() for sample in samples):
        raise DataError(
            f"{_describe(source, name)} has no pixel of a tooth in any of its {len(samples)} pictures; "
            "look at its masks."
        )
    return samples


def refuse_unfit(splits: Splits, config: Config) -> None:
    """Let no night be spent on pictures of which no package could be made, or not the one that was meant.

    What may be meant and is more often a slip is no reason to refuse, and is told on stderr.

    Raises:
        ConfigError: pictures of a category are to be repeated, and there are none.
        DataError: a network that numbers teeth has one picture alone to learn from or to choose by.
    """
    # First, since one of them may be why the data are refused.
    for remark in find_oddities(splits):
        print(remark, file=sys.stderr)
    categories = {sample.category for sample in splits.train} - {""}
    if unknown := sorted(config.repeat.keys() - categories):
        raise ConfigError(
            f"repeat names the category {unknown[0]}, of which there is no training picture; the categories are "
            f"{', '.join(sorted(categories)) or 'not told by these data'}."
        )
    for name in ("train", "val"):
        shown = sum(bool(sample.labels.any()) for sample in getattr(splits, name))
        if config.network.classes > 2 and shown < _LEAST:
            raise DataError(
                f"{_describe(config.data, name)} shows teeth in {shown} picture; at least {_LEAST} are needed, of "
                "which one is held against the other when a package is made."
            )


def find_oddities(splits: Splits) -> Iterator[str]:
    """What should be looked at, a sentence for each split and kind, with the names of a few pictures."""
    parts = {name: part for name in ("train", "val", "test") if (part := getattr(splits, name))}
    telling = [name for name, part in parts.items() if any(sample.patient for sample in part)]
    for name, part in parts.items():
        bare = [sample.name for sample in part if not sample.labels.any()]
        if 0 < len(bare) < len(part):
            yield f"{name}: no tooth in {_count(bare)}. Where the patient has some, draw them."
        if split := [sample.name for sample in part if _has_scattered_tooth(sample.labels)]:
            yield f"{name}: one number in places far apart in {_count(split)}. Give each tooth its own."
        if turned := [sample.name for sample in part if _is_turned_in_place(sample)]:
            yield f"{name}: an EXIF orientation turns {_count(turned)}. Masks must be drawn on the upright picture."
        if telling and name not in telling:
            yield f"{name} does not tell whose its pictures are, and {telling[0]} does: a patient may be in both."


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} picture{'s' if len(names) > 1 else ''} ({_name_some(names)})"


def _name_some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")


def _has_scattered_tooth(labels: npt.NDArray[np.uint8]) -> bool:
    """Whether two large pieces have one number and lie farther apart than any tooth's do."""
    step = max(1, min(labels.shape) // _LOOKED_AT)
    small = labels[::step, ::step]
    rows, columns = np.nonzero(small)
    numbers = small[rows, columns]
    teeth = (numbers == number for number in set(np.unique(numbers).tolist()) - {TOOTH})
    return any(_is_scattered(rows[tooth], columns[tooth]) for tooth in teeth)


def _is_scattered(rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> bool:
    """Whether the pixels of one number are of pieces far apart."""
    tooth = np.zeros((np.ptp(rows) + 1, np.ptp(columns) + 1), np.uint8)
    tooth[rows - rows.min(), columns - columns.min()] = 1
    pieces = cv2.connectedComponentsWithStats(tooth)[2][1:]
    left, top, width, height, area = pieces[pieces[:, cv2.CC_STAT_AREA].argmax()]
    others = pieces[pieces[:, cv2.CC_STAT_AREA] > _STRAY * area]
    across = np.maximum(left - others[:, 0] - others[:, 2], others[:, 0] - left - width)
    down = np.maximum(top - others[:, 1] - others[:, 3], others[:, 1] - top - height)
    return bool((np.maximum(across, down) > _APART * width).any())


def _is_turned_in_place(sample: Sample) -> bool:
    """Whether a picture is turned as its file says, and a mask of its stored pixels has the same size."""
    height, width = sample.pixels.shape
    return 1 < find_orientation(sample.data) <= (8 if height == width else 4)


def describe_split(samples: Sequence[Sample]) -> str:
    """How many pictures a split has, how much of them is tooth, and how many teeth where they are numbered.

    Where some are too small for the service, which could not be asked what it makes of them, it says so.
    """
    least = Limits().min_side
    small = [sample.name for sample in samples if min(sample.pixels.shape) < least]
    summary = f"{len(samples)} pictures, {_describe_teeth(samples)}"
    if not small:
        return summary
    return f"{summary}; {len(small)} with a side below {least} pixels, such as {small[0]}, which the service refuses"


def _describe_teeth(samples: Sequence[Sample]) -> str:
    if not any(sample.labels.any() for sample in samples):
        return "no tooth in any of them"
    share = float(np.mean([(sample.labels > 0).mean() for sample in samples]))
    summary = f"{share:.1%} of a picture tooth on average"
    lacking = [sample.name for sample in samples if lacks_numbers(sample.labels)]
    if lacking:
        numbered = sum(bool(sample.labels.any()) for sample in samples) - len(lacking)
        told = f"{numbered} numbered, {len(lacking)} without numbers ({_name_some(lacking)})"
        return f"{summary}, {told if numbered else 'teeth without numbers'}"
    return f"{summary}, {sum(np.unique(sample.labels[sample.labels > 0]).size for sample in samples)} teeth"


def has_test(source: Data) -> bool:
    """Whether a data source has pictures to report on; training itself can do without."""
    if isinstance(source, CocoData):
        return (source.folder / source.test).exists()
    return not isinstance(source, PairsData) or (source.folder / "test").exists()


def _describe(source: Data, name: str) -> str:
    """Where a split comes from, for a message."""
    if isinstance(source, CocoData):
        return str(source.folder / getattr(source, name))
    return f"{name} of the phantoms" if isinstance(source, PhantomData) else str(source.folder / name)
