"""Where the shipped model's wrong pixels lie: how far from the true outline, on pictures it learnt from and on others.

python -m benchmarks.outlines
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from benchmarks.places import RESULTS
from benchmarks.reading import splits_of
from service.machine import processor_name
from service.model.interpret import find_teeth
from service.model.package import Manifest, choose_package
from service.model.prediction import Prediction
from service.model.session import Session, open_session
from service.settings import Settings
from training.data import Sample
from training.export import prepare_truths
from training.metrics import dice, pixel_accuracy
from training.pixels import Mask

OUT: Final = RESULTS / "outlines.json"

_ENDS: Final = (1.5, 2.5, 4.5)
"""Distances from the outline, in pixels of the model's input, that part the wrong pixels; the first row of pixels on
either side of it lies nearer than the first."""

_LIMITS: Final = np.linspace(0.05, 0.95, 19)


def main() -> None:
    """Measure both splits, write the result file and show it."""
    settings = Settings()
    package = choose_package(settings.models, settings.model)
    session = open_session(package, "cpu")
    splits = splits_of(package, "train", "val")
    result = {
        "command": "python -m benchmarks.outlines",
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor_name(),
        "sha256": session.file.sha256,
        "ends_px": _ENDS,
        "splits": {name: measure(session, package.manifest, getattr(splits, name), name) for name in ("train", "val")},
    }
    OUT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    Console().print(result)


def measure(session: Session, manifest: Manifest, samples: Sequence[Sample], name: str) -> dict[str, Any]:
    """Means over the pictures, in pixels of the model's input; wrong pixels as shares of all."""
    pictures, truths = prepare_truths(samples, manifest.input.height, manifest.input.width)
    predictions = [session.run(picture[np.newaxis])[0] for picture in track(pictures, name)]
    found = [find_teeth(prediction, manifest.thresholds) > 0 for prediction in predictions]
    true = [truth > 0 for truth in truths]
    pairs = list(zip(found, true, strict=True))
    wrong = np.mean([wrong_by_distance(*pair) for pair in pairs], axis=0)
    best = [best_accuracy(prediction, truth) for prediction, truth in zip(predictions, true, strict=True)]
    return {
        "pictures": len(pairs),
        "tooth": round(float(np.mean(true)), 4),
        "dice": round(float(np.mean([dice(*pair) for pair in pairs])), 4),
        "pixel_accuracy": round(float(np.mean([pixel_accuracy(*pair) for pair in pairs])), 4),
        "pixel_accuracy_at_each_pictures_own_limit": round(float(np.mean(best)), 4),
        "wrong": [round(float(share), 5) for share in wrong],
    }


def wrong_by_distance(found: Mask, true: Mask) -> npt.NDArray[np.float64]:
    """Shares of a picture's pixels that are wrong, by their distance from the true outline, parted at `_ENDS`."""
    inside, outside = (cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (true, ~true))
    distances = np.where(true, inside, outside)[found != true]
    return np.histogram(distances, [0, *_ENDS, np.inf])[0] / true.size


def best_accuracy(prediction: Prediction, true: Mask) -> float:
    """Pixel accuracy, were the limit of tooth chosen for this picture by its truth, of 0.05 to 0.95."""
    return max(pixel_accuracy(prediction.foreground >= 255 * limit, true) for limit in _LIMITS)


if __name__ == "__main__":
    main()
