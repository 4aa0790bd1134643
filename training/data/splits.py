"""The three splits that a data source gives, whatever its kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.radiograph import Limits
from training.config import CocoData, Config, ConfigError, Data, PairsData, PhantomData, TuftsData
from training.data.coco import load_coco
from training.data.pairs import load_pairs
from training.data.samples import DataError, Sample, are_numbered
from training.data.tufts import load_tufts
from training.phantom import draw_samples

_LEAST: Final = 2
"""Pictures with teeth, to learn numbers from and to choose by."""


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

    Raises:
        ConfigError: pictures of a category are to be repeated, and there are none.
        DataError: a network that numbers teeth has one picture alone to learn from or to choose by.
    """
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
    if not are_numbered(samples):
        return f"{summary}, teeth without numbers"
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
