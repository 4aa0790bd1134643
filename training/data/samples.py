"""A picture with its truth."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS
from service.errors import RequestError, SetupError
from service.radiograph import Limits, Radiograph, decode

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
        patient: who is shown, by whatever the data call them; empty where they do not tell.
    """

    name: str
    data: bytes
    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    labels: npt.NDArray[np.uint8]
    category: str = ""
    patient: str = ""


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
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except RequestError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def are_numbered(samples: Sequence[Sample]) -> bool:
    """Whether the truth shows teeth, and tells the number of each."""
    shown = any(sample.labels.any() for sample in samples)
    return shown and not any(lacks_numbers(sample.labels) for sample in samples)


def lacks_numbers(labels: npt.NDArray[np.uint8]) -> bool:
    """Whether labels show a tooth without a number."""
    return bool((labels == TOOTH).any())


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without ending; those that begin with a dot are the operating system's and are left out.

    Raises:
        DataError: two have the same name but for their ending.
    """
    found: dict[str, Path] = {}
    for path in sorted(path for path in paths if not path.name.startswith(".")):
        # macOS writes an umlaut as two characters, others as one.
        stem = normalize("NFC", path.stem)
        if stem in found:
            raise DataError(f"{found[stem]} and {path} have the same name but for the ending; remove one.")
        found[stem] = path
    return found


def to_classes(labels: npt.NDArray[np.uint8], classes: int) -> npt.NDArray[np.uint8]:
    """FDI numbers to the network's classes: 0 background, then the 32 numbers in order, or 1 for any tooth.

    Raises:
        ValueError: a tooth has no number, and the network's classes are numbers.
    """
    if classes > 2 and lacks_numbers(labels):
        raise ValueError("The truth shows teeth without numbers, which would become background.")
    table = np.zeros(256, np.uint8)
    if classes == 2:
        table[[*FDI_NUMBERS, TOOTH]] = 1
    else:
        table[list(FDI_NUMBERS)] = np.arange(1, len(FDI_NUMBERS) + 1)
    return table[labels]
