"""A picture with its truth, and the three splits that a data source gives."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS
from service.errors import RequestError, SetupError
from service.radiograph import Limits, Radiograph, decode
from training.config import CocoData, Data, PairsData

TOOTH: int = 255
"""The label of a tooth whose number the data do not tell (image and mask pairs)."""


class DataError(SetupError):
    """A data set that is broken; the message names the file."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One radiograph with its truth.

    Attributes:
        name: the picture's file name.
        data: the bytes of its file.
        pixels: `(height, width)` `uint8` or `uint16`.
        labels: `(height, width)` `uint8`: FDI number of the tooth, `TOOTH` where the number is unknown, 0 elsewhere.
        category: the data set's own group of pictures; empty where it has none.
    """

    name: str
    data: bytes
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    labels: npt.NDArray[np.uint8]
    category: str = ""


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
    from training.data.coco import load_coco
    from training.data.pairs import load_pairs
    from training.phantom import draw_samples

    loaded: dict[str, tuple[Sample, ...]] = {"train": (), "val": (), "test": ()}
    for name in names:
        if isinstance(source, CocoData):
            loaded[name] = load_coco(source.folder / getattr(source, name), source.folder / source.images)
        elif isinstance(source, PairsData):
            loaded[name] = load_pairs(source.folder / name)
        else:
            # A seed of its own for each split, far from the others, so that none shares a picture.
            offset = {"train": 0, "val": 1_000_000, "test": 2_000_000}[name]
            loaded[name] = draw_samples(getattr(source, name), source.seed + offset)
    splits = Splits(**loaded)
    _refuse_shared_pictures(splits)
    return splits


def read_radiograph(path: Path) -> tuple[bytes, Radiograph]:
    """The bytes of a picture's file and what they show, as the service itself reads them.

    Raises:
        DataError: the file is missing or is no picture.
    """
    try:
        data = path.read_bytes()
        return data, decode(data, Limits(min_side=1))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing.") from error
    except RequestError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def to_classes(labels: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.uint8]:
    """FDI numbers to the network's classes: 0 background, then the 32 numbers in order, or 1 for any tooth."""
    table = np.zeros(256, np.uint8)
    if classes == 2:
        table[[*FDI_NUMBERS, TOOTH]] = 1
    else:
        table[list(FDI_NUMBERS)] = np.arange(1, len(FDI_NUMBERS) + 1)
    return table[labels]


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
