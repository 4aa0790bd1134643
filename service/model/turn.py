"""A picture that does not lie upright: turned for the model, and what the model says of it turned back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from service.model.prediction import Prediction, View
from service.model.prepare import ModelInput
from service.segmentation import Labels, Picture

_QUARTER_TURNS: Final[Mapping[View, int]] = {"right-side-down": 1, "upside-down": 2, "left-side-down": -1}
"""How often a picture is turned by 90 degrees, against the clock, to lie upright."""

TURNED: Final = frozenset(_QUARTER_TURNS)
"""The views that are a panoramic, but not upright."""


def turn_upright(model_input: ModelInput, view: View) -> ModelInput:
    """The same picture as it would be had it been taken upright; of the same size, whatever way it is turned."""
    return replace(model_input, pixels=_turn(model_input.pixels, _QUARTER_TURNS[view], cv2.INTER_LINEAR))


def turn_back(labels: Labels, prediction: Prediction, view: View) -> tuple[Labels, Prediction]:
    """FDI numbers and prediction of a picture that `turn_upright` turned, as the picture itself lies."""
    back = -_QUARTER_TURNS[view]
    return (
        _turn(labels, back, cv2.INTER_NEAREST_EXACT),
        replace(
            prediction,
            tooth=_turn(prediction.tooth, back, cv2.INTER_NEAREST_EXACT),
            foreground=_turn(prediction.foreground, back, cv2.INTER_LINEAR),
            confidence=_turn(prediction.confidence, back, cv2.INTER_LINEAR),
        ),
    )


def _turn(plane: Picture, quarter_turns: int, interpolation: int) -> Picture:
    """A plane turned, and stretched to the size that it had."""
    height, width = plane.shape
    turned = cv2.resize(np.rot90(plane, quarter_turns), (width, height), interpolation=interpolation)
    return np.asarray(turned, np.uint8)
