"""What is noticed about a picture, from the picture, the model's word and the teeth together."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from service.model.package import Thresholds
from service.model.prediction import VIEWS, Prediction, View
from service.model.prepare import ModelInput
from service.radiograph import Radiograph
from service.segmentation import Finding, Labels, Picture, Severity

_RING: Final = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))

_PANORAMIC: Final = VIEWS.index("panoramic")

_DENTITION, _SURE_OF_IT = 14, 0.9
"""So many teeth, numbered so surely on average, are what only a panoramic shows: of 164 foreign pictures none does."""


@dataclass(frozen=True, slots=True)
class Plausibility:
    """How far a picture, as the model read it, is from what a panoramic radiograph gives.

    Attributes:
        teeth: how many teeth were found.
        certainty: mean probability of the numbers over the tooth pixels, 0..1; 0 without teeth.
        distance: of the network's features from those of the training pictures.
        panoramic: probability of an upright panoramic, 0..1.
        clearance: distance of the outermost tooth from the picture's side, as a share of its width or height; 1 without
            teeth.
    """

    teeth: int
    certainty: float
    distance: float
    panoramic: float
    clearance: float

    def holds(self, thresholds: Thresholds) -> bool:
        """Whether an upright panoramic radiograph can have given this."""
        # A jaw with few teeth or none is a panoramic too, and a few numbers say little: the features alone can tell.
        sure = self.teeth < thresholds.few_teeth or self.certainty >= thresholds.min_certainty
        return sure and self.distance <= thresholds.max_distance and self.panoramic >= thresholds.min_panoramic

    def shows_dentition(self, thresholds: Thresholds) -> bool:
        """Whether its teeth make a panoramic of it though it looks like none, as a photo of a monitor may."""
        sure = self.teeth >= _DENTITION and self.certainty >= _SURE_OF_IT
        return sure and self.distance <= thresholds.max_distance


def measure_plausibility(labels: Labels, prediction: Prediction) -> Plausibility:
    """Measure a reading of a picture.

    Args:
        labels: FDI numbers in pixels of the model's input.
    """
    tooth = labels > 0
    certainty = float(prediction.confidence[tooth].mean()) / 255 if tooth.any() else 0.0
    teeth = int(np.count_nonzero(np.bincount(labels[tooth])))
    return Plausibility(teeth, certainty, prediction.distance, prediction.view[_PANORAMIC], measure_clearance(labels))


def measure_clearance(labels: Labels) -> float:
    """How far the outermost tooth is from the picture's side, as a share of its width or height; 1 without teeth."""
    height, width = labels.shape
    x, y, across, down = cv2.boundingRect((labels > 0).view(np.uint8))
    if not across:
        return 1.0
    return float(min(x / width, (width - x - across) / width, y / height, (height - y - down) / height))


def likely_view(prediction: Prediction) -> View:
    """What the picture most probably shows."""
    return VIEWS[int(np.argmax(prediction.view))]


def tooth_contrast(labels: Labels, pixels: Picture) -> float:
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
    plausible: bool,
    turned: View | None,
    inverted: bool,
    thresholds: Thresholds,
) -> tuple[Finding, ...]:
    """Everything worth telling about a picture, the gravest first.

    Args:
        plausibility: of the reading that the answer rests on, where the picture lies turned that of the upright one.
        plausible: whether that is the reading of a panoramic.
        turned: how the picture lies, where it had to be turned to be read.
        inverted: whether its grey values had to be inverted to be read.
    """
    findings = []
    if radiograph.colourfulness > thresholds.max_colourfulness:
        text = "The picture is in colour, so it is no radiograph; send it as the capture software saves it."
        findings.append(
            _finding("not-a-panoramic", "error", text, radiograph.colourfulness, thresholds.max_colourfulness)
        )
    elif not plausible:
        findings.append(_not_a_panoramic(plausibility, thresholds))
    elif turned:
        findings.append(_turned(turned))
    if inverted:
        text = "The picture is a negative (teeth dark); its grey values were inverted before it was read."
        findings.append(_finding("inverted", "warning", text, 1.0, 1.0))
    if model_input.grey_range < thresholds.low_contrast:
        text = "The picture uses a small part of its grey scale; check exposure and export."
        findings.append(_finding("low-contrast", "warning", text, model_input.grey_range, thresholds.low_contrast))
    if plausible and plausibility.clearance < thresholds.min_clearance:
        text = (
            "Teeth come up to the side of the picture, and any that it cuts off count as missing; "
            "send it uncut, or take it again."
        )
        findings.append(_finding("cropped", "warning", text, plausibility.clearance, thresholds.min_clearance))
    if plausible and plausibility.teeth < thresholds.few_teeth:
        findings.append(_few_teeth(plausibility.teeth, thresholds.few_teeth))
    return tuple(findings)


def _finding(code: str, severity: Severity, message: str, value: float, limit: float) -> Finding:
    return Finding(code, severity, message, round(value, 3), limit)


def _turned(view: View) -> Finding:
    if view == "upside-down":
        text = "The picture stands on its head; turn it so that the upper teeth are on top."
        return _finding("upside-down", "error", text, 1.0, 1.0)
    text = "The picture lies on its side; turn it so that the upper teeth are on top."
    return _finding("sideways", "error", text, 1.0, 1.0)


def _few_teeth(teeth: int, limit: int) -> Finding:
    found = "Few teeth were found" if teeth else "No teeth were found"
    text = f"{found}; where the patient has more, the picture is cut off or of poor quality."
    return _finding("few-teeth", "warning", text, teeth, limit)


def _not_a_panoramic(plausibility: Plausibility, thresholds: Thresholds) -> Finding:
    if plausibility.panoramic < thresholds.min_panoramic:
        value, limit = plausibility.panoramic, thresholds.min_panoramic
    elif plausibility.distance > thresholds.max_distance:
        value, limit = plausibility.distance, thresholds.max_distance
    else:
        value, limit = plausibility.certainty, thresholds.min_certainty
    text = "The picture does not look like a panoramic radiograph of a dentition; send one that is upright and uncut."
    return _finding("not-a-panoramic", "error", text, value, limit)
