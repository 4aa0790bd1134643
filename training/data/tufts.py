"""The Tufts Dental Database in the folders that it is handed out in.

Panetta et al. 2022, Tufts Dental Database: A Multimodal Panoramic X-Ray Dataset for Benchmarking Diagnostic Systems,
IEEE J. Biomed. Health Inform. 26(4), doi 10.1109/JBHI.2021.3117575: 1000 panoramic radiographs of 1615 x 840 pixels.
Its terms bind whoever asks for it to research without commerce and forbid passing it on, so nothing of it comes with
this project: not a picture, not a mask, and no model that ships has seen it.

    Radiographs/1.JPG ... 1051.JPG          with gaps
    Segmentation/teeth_mask/1.jpg ...       white where tooth; black all over where the patient has none
    Segmentation/maxillomandibular/, Expert/, Student/      jaws, abnormalities, gaze: not read
"""

import hashlib
from pathlib import Path
from typing import Final

from training.config import TuftsData
from training.data.pairs import load_pair
from training.data.samples import DataError, Sample, by_stem

_RADIOGRAPHS: Final = Path("Radiographs")
_MASKS: Final = Path("Segmentation", "teeth_mask")
_ENDINGS: Final = (".jpg", ".jpeg", ".png")


def load_tufts(source: TuftsData, split: str) -> tuple[Sample, ...]:
    """Load one split.

    The pictures' names are ordered by a hash of seed and name, and cut by the shares: the same folder and seed give the
    same splits on every machine. A picture that is left out moves no other one.

    Args:
        split: `train`, `val` or `test`.

    Raises:
        DataError: a folder without pictures, a picture without a mask, a mask that does not fit its picture, a name to
            leave out that is not there, or a split that gets no picture.
    """
    radiographs, masks = (_find_pictures(source.folder / part) for part in (_RADIOGRAPHS, _MASKS))
    if unknown := set(source.leave_out) - radiographs.keys():
        raise DataError(f"{source.folder / _RADIOGRAPHS} holds no picture {min(unknown)} to leave out.")
    ordered = sorted(radiographs, key=lambda name: hashlib.sha256(f"{source.seed}:{name}".encode()).digest())
    first, second = round(source.train * len(ordered)), round((source.train + source.val) * len(ordered))
    part = {"train": ordered[:first], "val": ordered[first:second], "test": ordered[second:]}[split]
    names = sorted(set(part) - set(source.leave_out))
    if not names:
        raise DataError(f"{source.folder} has {len(ordered)} pictures, too few for one in {split}.")
    for name in names:
        if name not in masks:
            raise DataError(f"{radiographs[name]} has no mask of the same name in {source.folder / _MASKS}.")
    return tuple(load_pair(radiographs[name], masks[name]) for name in names)


def _find_pictures(folder: Path) -> dict[str, Path]:
    """Pictures by their name without ending, which is in capitals for some parts of the database and not for others."""
    found = by_stem(path for path in folder.glob("*") if path.suffix.lower() in _ENDINGS)
    if not found:
        raise DataError(f"{folder} holds no pictures; it should be as the Tufts Dental Database is handed out.")
    return found
