"""What is noticed about a picture, from the picture, the model's word and the teeth together."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.model.package import Thresholds
from service.model.prepare import ModelInput
from service.model.session import Prediction
from service.radiograph import Radiograph
from service.segmentation import Finding

_RING: Final = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))


@dataclass(frozen=True, slots=True)
class Plausibility:
    """How far a picture, as the model read it, is from what a panoramic radiograph gives.

    Attributes:
        teeth: how many teeth were found.
        certainty: mean probability of the numbers over the tooth pixels, 0..1; 0 without teeth.
        distance: of the network's features from those of the training pictures.
    """

    teeth: int
    certainty: float
    distance: float

    def holds(self, thresholds: Thresholds) -> bool:
        """Whether a panoramic radiograph can have given this."""
        # A jaw without teeth is a panoramic too: then the network's features alone can tell.
        familiar = self.distance <= thresholds.max_distance
        return familiar and (self.teeth == 0 or self.certainty >= thresholds.min_certainty)


def measure_plausibility(labels: npt.NDArray[np.uint8], prediction: Prediction) -> Plausibility:
    """Measure a reading of a picture.

    Args:
        labels: FDI numbers in pixels of the model's input.
    """
    tooth = labels > 0
    certainty = float(prediction.confidence[tooth].mean()) / 255 if tooth.any() else 0.0
    return Plausibility(np.unique(labels[tooth]).size, certainty, prediction.distance)


def tooth_contrast(labels: npt.NDArray[np.uint8], pixels: npt.NDArray[np.uint8]) -> float:
    """How much brighter teeth are than what surrounds them, as a share of the grey range; negative in a negative.

    Args:
        labels: FDI numbers in pixels of the model's input.
        pixels: the model's input.
    """
    tooth = (labels > 0).view(np.uint8)
    ring = cv2.dilate(tooth, _RING) - tooth
    if not tooth.any() or not ring.any():
        return 0.0
    return float(pixels[tooth.view(bool)].mean() - pixels[ring.view(bool)].mean()) / 255


def judge(
    radiograph: Radiograph,
    model_input: ModelInput,
    plausibility: Plausibility,
    turned: str | None,
    thresholds: Thresholds,
) -> tuple[Finding, ...]:
    """Everything worth telling about a picture, the gravest first.

    Args:
        turned: how the picture had to be turned to be read: `inverted`, `sideways`, or None.
    """
    findings = []
    plausible = plausibility.holds(thresholds)
    if radiograph.colourfulness > thresholds.max_colourfulness:
        findings.append(
            Finding(
                "not-a-panoramic",
                "error",
                "The picture is in colour, so it is no radiograph; send it as the capture software saves it.",
                round(radiograph.colourfulness, 3),
                thresholds.max_colourfulness,
            )
        )
    elif turned == "sideways":
        findings.append(
            Finding(
                "sideways",
                "error",
                "The picture lies on its side or its head; turn it so that the upper teeth are on top.",
                1.0,
                1.0,
            )
        )
    elif not plausible:
        findings.append(_not_a_panoramic(plausibility, thresholds))
    if turned == "inverted":
        findings.append(
            Finding(
                "inverted",
                "warning",
                "The picture is a negative (teeth dark); it was turned over before it was read.",
                1.0,
                1.0,
            )
        )
    if model_input.grey_range < thresholds.low_contrast:
        findings.append(
            Finding(
                "low-contrast",
                "warning",
                "The picture uses a small part of its grey scale; check exposure and export.",
                round(model_input.grey_range, 3),
                thresholds.low_contrast,
            )
        )
    if plausible and plausibility.teeth < thresholds.few_teeth:
        findings.append(
            Finding(
                "few-teeth",
                "warning",
                "Few teeth were found; where the patient has more, the picture is cut off or of poor quality.",
                float(plausibility.teeth),
                float(thresholds.few_teeth),
            )
        )
    return tuple(findings)


def _not_a_panoramic(plausibility: Plausibility, thresholds: Thresholds) -> Finding:
    if plausibility.distance > thresholds.max_distance:
        value, limit = plausibility.distance, thresholds.max_distance
    else:
        value, limit = plausibility.certainty, thresholds.min_certainty
    return Finding(
        "not-a-panoramic",
        "error",
        "The picture does not look like a panoramic radiograph of a dentition; send the panoramic, upright and uncut.",
        round(value, 3),
        limit,
    )
