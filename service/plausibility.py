"""How far what the model makes of a picture is from what it makes of a panoramic radiograph."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from service.model.package import Thresholds
from service.model.prediction import VIEWS, Prediction
from service.segmentation import Labels, Picture

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
