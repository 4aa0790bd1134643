"""Lets a loaded model read the picture of its package whose answer is known, before it may read anybody else's."""

import cv2
import numpy as np

from service.errors import ModelPackageError, ProviderUnavailable
from service.model.interpret import find_teeth
from service.model.package import ModelPackage
from service.model.session import Session
from service.segmentation import Picture


def check_known_answer(package: ModelPackage, session: Session) -> None:
    """Run the known-answer picture, as often as the session has lanes and in every size of batch; also its warm-up.

    Raises:
        ModelPackageError: the picture cannot be read, or the model gives another answer on this machine.
        ProviderUnavailable: the model was loaded and cannot be run.
    """
    manifest, known = package.manifest, package.manifest.known_answer
    picture, labels = (_read(package, name) for name in (known.picture, known.labels))
    pixels = picture[np.newaxis]
    sizes = {session.lanes, *session.batches}
    try:
        predictions = [each for count in sizes for each in session.run(pixels.repeat(count, 0))]
    except Exception as error:  # the runtimes' own errors have nothing else in common
        reason, *_ = str(error).splitlines() or [type(error).__name__]
        raise ProviderUnavailable(f"{session.execution_provider} cannot run the model here: {reason}") from error
    answers = (find_teeth(prediction, manifest.thresholds) for prediction in predictions)
    agreement = min(float((answer == labels).mean()) for answer in answers)
    if agreement < known.min_agreement:
        raise ModelPackageError(
            f"{package.folder} does not give its known answer on {session.execution_provider}: {agreement:.1%} of the "
            f"pixels agree, and {known.min_agreement:.1%} must. The file or the runtime is not what it was."
        )


def _read(package: ModelPackage, name: str) -> Picture:
    height, width = package.manifest.input.height, package.manifest.input.width
    picture = cv2.imread(str(package.folder / name), cv2.IMREAD_GRAYSCALE)
    if picture is None or picture.shape != (height, width):
        raise ModelPackageError(
            f"{package.folder / name} is no picture of {width} x {height} pixels; copy the whole model package."
        )
    return np.asarray(picture, np.uint8)
