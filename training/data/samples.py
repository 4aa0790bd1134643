"""A picture with its truth."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from service.dentition.fdi import FDI_NUMBERS
from service.errors import RequestError, SetupError
from service.radiograph import Limits, Radiograph, decode
from service.radiograph.grey import read_orientation

TOOTH: int = 255
"""The label of a tooth whose number the data do not tell (image and mask pairs)."""


_NO_PICTURES: frozenset[str] = frozenset({"thumbs.db", "desktop.ini", "@eadir"})
"""What Windows and network storage leave in a folder."""


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


def find_orientation(data: bytes) -> int:
    """How a file says that its stored pixels are to be turned, as EXIF counts it, 1 to 8; 1 is not at all."""
    # Pillow decodes a PNG file that has no such block to its end.
    if data.startswith(b"\x89PNG") and b"eXIf" not in data:
        return 1
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.format == "TIFF":
                return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
            return read_orientation(picture.info.get("exif", b""))
    except Exception:  # DICOM, which has no such tag, and whatever else Pillow does not read
        return 1


def explain_size(data: bytes, size: tuple[int, ...], other: tuple[int, ...]) -> str:
    """What a message that a picture's size differs from another goes on with, where it is that its file turns it."""
    if size != other[::-1] or find_orientation(data) == 1:
        return ""
    return "; the picture's EXIF orientation turns it, so draw the teeth on the upright picture"


def are_numbered(samples: Sequence[Sample]) -> bool:
    """Whether the truth shows teeth, and tells the number of each."""
    shown = any(sample.labels.any() for sample in samples)
    return shown and not any(lacks_numbers(sample.labels) for sample in samples)


def lacks_numbers(labels: npt.NDArray[np.uint8]) -> bool:
    """Whether labels show a tooth without a number."""
    return bool((labels == TOOTH).any())


def by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without ending, where they have one; what operating systems leave beside them is left out.

    Raises:
        DataError: two have the same name but for their ending, or one is a folder.
    """
    found: dict[str, Path] = {}
    for path in sorted(path for path in paths if not _is_systems_own(path)):
        if path.is_dir():
            raise DataError(
                f"{path} is a folder, and what is in it would be passed over; put its files into {path.parent} itself, "
                "or move it elsewhere."
            )
        # A DICOM archive's names, such as 1.2.840.0, end in a number that belongs to them.
        whole = path.suffix[1:].isdigit()
        # macOS writes an umlaut as two characters, others as one.
        stem = normalize("NFC", path.name if whole else path.stem)
        if stem in found:
            raise DataError(f"{found[stem]} and {path} have the same name but for the ending; remove one.")
        found[stem] = path
    return found


def _is_systems_own(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _NO_PICTURES


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
