"""Gives masks without numbers the numbers that the model to be trained further reads inside them.

So one loss teaches both. The cross-entropy of a tooth's pixel is -log p(tooth) - log p(number | tooth): the first term
follows the mask alone, since p(tooth) is the sum over the 32 numbers, and the second holds the numbers where the model
has them already, so that it does not forget them while it learns the clinic's outlines.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.dentition.fdi import CLASSES
from service.model.interpret import find_teeth
from service.model.package import ModelPackage, load_package
from service.model.prepare import prepare
from service.model.session import open_session
from training.checkpoint import is_package
from training.config import Config, ConfigError
from training.data.loader import prepare_sample
from training.data.samples import TOOTH, Sample, lacks_numbers

_WHOLE: Final = np.uint8(255)


def number_teeth(samples: Sequence[Sample], config: Config) -> tuple[Sample, ...]:
    """The samples with a number on every tooth's pixel, where the run's network numbers teeth.

    Numbers that the data tell stay as they are. The model is the package that the run begins with.

    Raises:
        ConfigError: the data have masks without numbers, and the run does not begin with a package.
        ModelPackageError: the package is damaged.
    """
    if config.network.classes == 2 or not any(lacks_numbers(sample.labels) for sample in samples):
        return tuple(samples)
    if config.begin_with is None or not is_package(config.begin_with):
        raise ConfigError(
            f"The masks of {config.name} tell tooth from background only, and its network numbers teeth; begin with a "
            "model package, whose numbers are kept (--from models/<name>/<version>). With classes: 2 a run can be "
            "compared with others, and no package can be made of it."
        )
    numberer = _Numberer(load_package(config.begin_with))
    return tuple(map(numberer.number, samples))


class _Numberer:
    """Reads pictures with a package's model."""

    def __init__(self, package: ModelPackage) -> None:
        self._manifest = package.manifest
        self._session = open_session(package, "cpu")

    def number(self, sample: Sample) -> Sample:
        """The sample with the model's numbers on the teeth that have none."""
        if not lacks_numbers(sample.labels):
            return sample
        height, width = sample.labels.shape
        model_input = prepare(sample.pixels, self._manifest.input)
        rows, columns = (
            np.clip((np.arange(length) + 0.5 - begin) * size // extent, 0, size - 1).astype(np.intp)
            for length, begin, extent, size in (
                (height, model_input.content.y, model_input.content.height, model_input.pixels.shape[0]),
                (width, model_input.content.x, model_input.content.width, model_input.pixels.shape[1]),
            )
        )
        _, tooth = prepare_sample(sample, *model_input.pixels.shape, classes=2)
        numbers = self._read(model_input.pixels, tooth * _WHOLE)[rows][:, columns]
        return replace(sample, labels=np.where(sample.labels == TOOTH, numbers, sample.labels))

    def _read(self, pixels: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """A number for every pixel: inside the mask that of the service's own reading of it, else the nearest."""
        (prediction,) = self._session.run(pixels[np.newaxis])
        teeth = find_teeth(replace(prediction, foreground=mask), self._manifest.thresholds)
        if not teeth.any():
            return np.array(CLASSES, np.uint8)[prediction.tooth]
        _, nearest = cv2.distanceTransformWithLabels(
            (teeth == 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
        )
        numbers = np.zeros(int(nearest.max()) + 1, np.uint8)
        numbers[nearest[teeth > 0]] = teeth[teeth > 0]
        return numbers[nearest]
