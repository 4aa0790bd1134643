"""The three splits that a data source gives, whatever its kind."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from training.config import CocoData, Data, PairsData, TuftsData
from training.data.coco import load_coco
from training.data.pairs import load_pairs
from training.data.samples import DataError, Sample
from training.data.tufts import load_tufts
from training.phantom import draw_samples


@dataclass(frozen=True, slots=True, eq=False)
class Splits:
    """Pictures to learn from, to choose by, and to report on."""

    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]


def load_splits(source: Data, *, names: Sequence[str] = ("train", "val", "test")) -> Splits:
    """Load the named splits of a data source; the others stay empty.

    Raises:
        DataError: a file that is missing or damaged, a mask of another size, an unknown category, or a picture that is
            in two splits.
    """
    loaded: dict[str, tuple[Sample, ...]] = {"train": (), "val": (), "test": ()}
    for name in names:
        if isinstance(source, CocoData):
            loaded[name] = load_coco(source.folder / getattr(source, name), source.folder / source.images)
        elif isinstance(source, PairsData):
            loaded[name] = load_pairs(source.folder / name)
        elif isinstance(source, TuftsData):
            loaded[name] = load_tufts(source, name)
        else:
            # A seed of its own for each split, far from the others, so that none shares a picture.
            offset = {"train": 0, "val": 1_000_000, "test": 2_000_000}[name]
            loaded[name] = draw_samples(getattr(source, name), source.seed + offset)
    splits = Splits(**loaded)
    _refuse_shared_pictures(splits)
    return splits


def has_test(source: Data) -> bool:
    """Whether a data source has pictures to report on; training itself can do without."""
    if isinstance(source, CocoData):
        return (source.folder / source.test).exists()
    return not isinstance(source, PairsData) or (source.folder / "test").exists()


def _refuse_shared_pictures(splits: Splits) -> None:
    seen: dict[str, tuple[str, str]] = {}
    for split in ("train", "val", "test"):
        for sample in getattr(splits, split):
            digest = hashlib.sha256(sample.pixels.tobytes()).hexdigest()
            other_split, other_name = seen.setdefault(digest, (split, sample.name))
            if other_split != split:
                raise DataError(
                    f"{sample.name} in {split} shows the same picture as {other_name} in {other_split}; "
                    "a picture may be in one split only."
                )
