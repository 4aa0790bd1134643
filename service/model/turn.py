"""A picture that does not lie upright: turned for the model, and what the model says of it turned back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.model.prediction import Prediction, View
from service.model.prepare import ModelInput

_UPRIGHT: Final[Mapping[View, int]] = {
    "upside-down": cv2.ROTATE_180,
    "left-side-down": cv2.ROTATE_90_CLOCKWISE,
    "right-side-down": cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_BACK: Final[Mapping[int, int]] = {
    cv2.ROTATE_180: cv2.ROTATE_180,
    cv2.ROTATE_90_CLOCKWISE: cv2.ROTATE_90_COUNTERCLOCKWISE,
    cv2.ROTATE_90_COUNTERCLOCKWISE: cv2.ROTATE_90_CLOCKWISE,
}

_Map = npt.NDArray[np.uint8]

TURNED: Final = frozenset(_UPRIGHT)
"""The views that are a panoramic, but not upright."""


def turn_upright(model_input: ModelInput, view: View) -> ModelInput:
    """The same picture as it would be had it been taken upright; of the same size, whatever way it is turned."""
    return replace(model_input, pixels=_turn(model_input.pixels, _UPRIGHT[view], cv2.INTER_LINEAR))


def turn_back(labels: _Map, prediction: Prediction, view: View) -> tuple[_Map, Prediction]:
    """FDI numbers and prediction of a picture that `turn_upright` turned, as the picture itself lies."""
    turn = _BACK[_UPRIGHT[view]]
    return (
        _turn(labels, turn, cv2.INTER_NEAREST_EXACT),
        replace(
            prediction,
            tooth=_turn(prediction.tooth, turn, cv2.INTER_NEAREST_EXACT),
            foreground=_turn(prediction.foreground, turn, cv2.INTER_LINEAR),
            confidence=_turn(prediction.confidence, turn, cv2.INTER_LINEAR),
        ),
    )


def _turn(plane: _Map, turn: int, interpolation: int) -> _Map:
    height, width = plane.shape
    return np.asarray(cv2.resize(cv2.rotate(plane, turn), (width, height), interpolation=interpolation), np.uint8)
