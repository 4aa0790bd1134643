"""A folder of pictures and a folder of masks of the same names: tooth or not, or the number of each tooth."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeGuard
from unicodedata import normalize

import cv2
import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS
from service.radiograph import Radiograph
from service.segmentation import Grey
from training.data.samples import TOOTH, DataError, Sample, by_stem, explain_size, read_radiograph

PATIENTS: Final = "patients.csv"

_MOST_COLOUR: Final = 0.002
"""What compression may leave of colour in a grey picture."""

_FLAT_GREYS: Final = 0.01
"""Share of what is not black that may be flat and grey, such as what a blurred edge leaves."""

_MOST_TOOTH: Final = 0.5
"""Share of a picture that may be tooth; a fifth is usual."""

_OR_NUMBERS: Final = "(or, in a grey picture of 8 bits, each tooth's FDI number and 0 elsewhere)"

_DECIDUOUS: Final = frozenset(10 * quadrant + tooth for quadrant in (5, 6, 7, 8) for tooth in (1, 2, 3, 4, 5))

_MOSTLY_NUMBERS: Final = 0.7
"""Share of what is not black that has teeth's numbers where a mask is meant to be of them."""

_SHOWN: Final = 5
"""Grey values that a refusal tells."""


def load_pairs(folder: Path) -> tuple[Sample, ...]:
    """Load one split.

    Args:
        folder: holds `images/` and `masks/`; a mask has its picture's name, whatever the ending, and is as `load_pair`
            takes it. Files whose name begins with a dot are left out. `patients.csv`, where there is one, has the
            columns `picture` (a file name in `images/`) and `patient`, with commas or semicolons between them.

    Raises:
        DataError: no pictures, two of one name but for the ending, a folder among them, a picture without a mask or the
            other way round, a mask of another size, one that is neither black and white nor of FDI numbers, or a
            `patients.csv` that leaves a picture out or tells two patients of one.
    """
    images, masks = (by_stem((folder / part).glob("*")) for part in ("images", "masks"))
    if not images:
        pictures = folder / "images"
        raise DataError(f"{pictures} {'holds no pictures' if pictures.is_dir() else 'is no folder'}.")
    if alone := sorted(images.keys() ^ masks.keys()):
        missing = "mask" if alone[0] in images else "picture"
        raise DataError(f"{(images | masks)[alone[0]]} has no {missing} of the same name.")
    patients = _read_patients(folder / PATIENTS, [image.name for image in images.values()])
    return tuple(load_pair(images[name], masks[name], patients.get(images[name].name, "")) for name in images)


def _read_patients(path: Path, pictures: Sequence[str]) -> dict[str, str]:
    """Whose each picture is; nothing where there is no such file."""
    if not path.exists():
        return {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}); save it as CSV in UTF-8.") from error
    # Where the decimal sign is a comma, spreadsheets write semicolons.
    reader = csv.DictReader(lines, delimiter=";" if lines and ";" in lines[0] else ",")
    try:
        reader.fieldnames = [_tidy(column).lower() for column in reader.fieldnames or ()]
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{path} is no CSV ({error}); look for a quotation mark that is left open.") from error
    if not {"picture", "patient"} <= set(reader.fieldnames):
        raise DataError(f"{path} must begin with a line that names the columns picture and patient.")
    patient_of: dict[str, str] = {}
    for row in rows:
        picture, patient = _tidy(row["picture"]), _tidy(row["patient"])
        if patient and patient_of.setdefault(picture, patient) != patient:
            raise DataError(
                f"{path} says of {picture} that it shows {patient_of[picture]}, and that it shows {patient}; remove "
                "the line that is wrong."
            )
    patients = {name: patient_of.get(_tidy(name), "") for name in pictures}
    if unknown := [name for name, patient in patients.items() if not patient]:
        raise DataError(f"{path} does not say whose picture {unknown[0]} is; give every picture a line.")
    return patients


def _tidy(text: str | None) -> str:
    """A name as it compares: without spaces around it, and an umlaut as one character, which macOS writes as two."""
    return normalize("NFC", text or "").strip()


def _has_flat_greys(truth: Grey) -> bool:
    """Whether areas are painted neither black nor white, as where each tooth has a grey; soft edges are none."""
    most = int(np.iinfo(truth.dtype).max)
    kernel = np.ones((3, 3), np.uint8)
    flat = cv2.erode(truth, kernel) == cv2.dilate(truth, kernel)
    grey = flat & (truth > most // 10) & (truth < most - most // 10)
    return bool(grey.sum() > _FLAT_GREYS * np.count_nonzero(truth))


def load_pair(image: Path, mask: Path, patient: str = "") -> Sample:
    """Load one picture with its mask.

    The mask is tooth where its grey value is above half of its range, or has each tooth's FDI number for its value, as
    the service's `/v1/mask?kind=fdi` writes it.

    Raises:
        DataError: a file that is missing or damaged, or a mask of another size or one that is neither.
    """
    data, radiograph = read_radiograph(image)
    mask_data, painted = read_radiograph(mask)
    truth = painted.pixels
    if truth.shape != radiograph.pixels.shape:
        why = explain_size(data, radiograph.pixels.shape, truth.shape)
        raise DataError(
            f"{mask} is {truth.shape[1]} x {truth.shape[0]} pixels, and its picture "
            f"{radiograph.pixels.shape[1]} x {radiograph.pixels.shape[0]}{why}."
        )
    if not truth.any() and _varies_unseen(mask_data):
        raise DataError(
            f"{mask} is black all over but for its transparency, which is not read; save it without an alpha channel, "
            f"{np.iinfo(truth.dtype).max} where tooth and 0 elsewhere."
        )
    labels = truth if _is_grey(painted) and _has_numbers(truth) else _to_labels(mask, painted)
    return Sample(image.name, data, radiograph.pixels, labels, patient=patient)


def _varies_unseen(data: bytes) -> bool:
    """Whether a file has an alpha channel, and one of its channels is not the same all over."""
    # None where it is no format that can have one.
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels is not None and pixels.ndim == 3 and pixels.shape[2] == 4 and bool(np.ptp(pixels, axis=(0, 1)).any())


def _is_grey(painted: Radiograph) -> bool:
    """Whether a file's own values are greys: a dark colour may have a tooth's number for its grey value."""
    return painted.photometric_interpretation.startswith("MONOCHROME")


def _has_numbers(truth: Grey) -> TypeGuard[npt.NDArray[np.uint8]]:
    """Whether a mask has no other grey values than FDI numbers."""
    return truth.dtype == np.uint8 and bool(truth.any()) and set(np.unique(truth).tolist()) <= {0, *FDI_NUMBERS}


def _to_labels(mask: Path, painted: Radiograph) -> npt.NDArray[np.uint8]:
    """The labels of a mask that is black and white, or should be."""
    truth = painted.pixels
    most = int(np.iinfo(truth.dtype).max)
    or_numbers = _OR_NUMBERS if _is_grey(painted) else f"{_OR_NUMBERS}; one of FDI numbers must be saved as 8-bit grey"
    if _is_grey(painted) and truth.dtype == np.uint8:
        _refuse_other_numbers(mask, truth)
    # One that is black all over is of a patient without teeth.
    if 0 < truth.max() <= most // 2:
        values = _list_values(np.unique(truth).tolist())
        raise DataError(
            f"{mask} has the grey values {values}, all of which would count as no tooth; a mask is {most} where tooth "
            f"and 0 elsewhere {or_numbers}."
        )
    # Of 16 bits it comes spread over the whole range, so that tooth numbers would look like greys.
    if truth.dtype == np.uint16 and len(values := np.unique(truth)) > 2:
        raise DataError(
            f"{mask} is of 16 bits and has {len(values)} grey values; a mask has two, for tooth and none {_OR_NUMBERS}."
        )
    if painted.colourfulness > _MOST_COLOUR or _has_flat_greys(truth):
        raise DataError(f"{mask} has colours or greys; a mask is {most} where tooth and 0 elsewhere {or_numbers}.")
    if (truth > most // 2).mean() > _MOST_TOOTH:
        raise DataError(f"{mask} is more than half white, so it is no mask of teeth, or one with black teeth.")
    return np.where(truth > most // 2, TOOTH, 0).astype(np.uint8)


def _refuse_other_numbers(mask: Path, truth: Grey) -> None:
    """Refuse a mask of teeth's numbers by those that are wrong, be they few among many."""
    shown = truth[truth > 0]
    if not np.isin(shown, [*FDI_NUMBERS, *_DECIDUOUS]).sum() > _MOSTLY_NUMBERS * shown.size:
        return
    wrong = [value for value in np.unique(shown).tolist() if value not in FDI_NUMBERS]
    why = " (51 to 85 are deciduous teeth)" if _DECIDUOUS & {*wrong} else ""
    raise DataError(
        f"{mask} has the grey values {_list_values(wrong)}, which are no FDI numbers of permanent teeth{why}; give "
        "each tooth its number, and 0 to all else."
    )


def _list_values(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:_SHOWN])) + (", …" if len(values) > _SHOWN else "")
