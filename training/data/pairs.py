"""A folder of pictures and a folder of masks of the same names: tooth or not, without numbers."""

from pathlib import Path

import numpy as np

from training.data.samples import TOOTH, DataError, Sample, read_radiograph


def load_pairs(folder: Path) -> tuple[Sample, ...]:
    """Load one split.

    Args:
        folder: holds `images/` and `masks/`; a mask has its picture's name, whatever the ending, and is tooth where its
            grey value is above half of its range.

    Raises:
        DataError: no pictures, a picture without a mask or the other way round, or a mask of another size.
    """
    images, masks = ({path.stem: path for path in sorted((folder / part).glob("*.*"))} for part in ("images", "masks"))
    if not images:
        raise DataError(f"{folder / 'images'} holds no pictures.")
    if alone := sorted(images.keys() ^ masks.keys()):
        missing = "mask" if alone[0] in images else "picture"
        raise DataError(f"{(images | masks)[alone[0]]} has no {missing} of the same name.")
    return tuple(load_pair(images[name], masks[name]) for name in images)


def load_pair(image: Path, mask: Path) -> Sample:
    """Load one picture with its mask, which is tooth where its grey value is above half of its range.

    Raises:
        DataError: a file that is missing or damaged, or a mask of another size.
    """
    data, radiograph = read_radiograph(image)
    truth = read_radiograph(mask)[1].pixels
    if truth.shape != radiograph.pixels.shape:
        raise DataError(
            f"{mask} is {truth.shape[1]} x {truth.shape[0]} pixels, and its picture "
            f"{radiograph.pixels.shape[1]} x {radiograph.pixels.shape[0]}."
        )
    labels = np.where(truth > np.iinfo(truth.dtype).max // 2, TOOTH, 0).astype(np.uint8)
    return Sample(image.name, data, radiograph.pixels, labels)
