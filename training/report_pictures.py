"""Draws the report's pictures: a radiograph as it is, as it was read, as it is in truth, and where the two differ."""

import base64
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from service.dentition.fdi import FDI_NUMBERS
from service.model.outline import locate, outline_teeth
from service.model.prepare import ModelInput
from service.render.draw import draw_overlay, to_8_bits
from service.render.encode import encode_jpeg
from service.segmentation import Box, Grey, Segmentation
from training.data.samples import lacks_numbers
from training.pixels import Labels, Mask, Picture

WIDTH: Final = 960
"""Of the pictures, in pixels."""

PANORAMIC: Final = 2.0
"""Width to height of a panoramic; a picture that is less than `_SQUEEZED` times as wide as high is stretched to it."""

_SQUEEZED: Final = 1.5

_OPACITY: Final = 0.35

MISSED: Final = (213, 94, 0)
FALSE: Final = (0, 158, 215)
"""Colours of the differences, red, green and blue; told apart with any colour vision."""


@dataclass(frozen=True, slots=True)
class Views:
    """One radiograph four times, each as a data URI of a JPEG."""

    radiograph: str
    answer: str
    truth: str
    difference: str


def draw_views(pixels: Grey, found: Labels, truth: Labels) -> Views:
    """Draw a radiograph's four pictures.

    Args:
        pixels: the radiograph, `(height, width)` `uint8` or `uint16`.
        found: FDI number of each pixel as the model says, the same shape.
        truth: the same in truth, or `TOOTH` where the number is unknown.
    """
    return Views(*(_data_uri(view) for view in _draw_four(pixels, found, truth)))


def draw_sheet(pixels: Grey, found: Labels, truth: Labels) -> Picture:
    """A radiograph's four pictures on one, `(height, width, 3)`: radiograph and answer, truth and difference.

    Args:
        pixels, found, truth: as `draw_views` takes them.
    """
    radiograph, answer, true, difference = _draw_four(pixels, found, truth)
    return np.vstack([np.hstack([radiograph, answer]), np.hstack([true, difference])])


def _draw_four(pixels: Grey, found: Labels, truth: Labels) -> tuple[Picture, Picture, Picture, Picture]:
    size = shown_size(*pixels.shape)
    shown = np.asarray(cv2.resize(to_8_bits(pixels), size, interpolation=cv2.INTER_AREA), np.uint8)
    found, truth = (
        np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
        for labels in (found, truth)
    )
    return (
        np.asarray(cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB), np.uint8),
        _draw_labels(shown, found),
        _draw_labels(shown, truth),
        draw_difference(shown, found > 0, truth > 0),
    )


def shown_size(height: int, width: int) -> tuple[int, int]:
    """Width and height at which a picture is shown; one that was squeezed is stretched back."""
    ratio = width / height if width >= _SQUEEZED * height else PANORAMIC
    return WIDTH, round(WIDTH / ratio)


def segmentation_of(labels: Labels) -> Segmentation:
    """The answer that a label map of FDI numbers stands for, as if it were certain."""
    height, width = labels.shape
    itself = ModelInput(labels, Box(0, 0, width, height), 1.0)
    teeth = outline_teeth(labels, locate(labels), itself, dict.fromkeys(FDI_NUMBERS, 1.0))
    return Segmentation(labels, teeth, ())


def draw_difference(grey: Picture, found: Mask, truth: Mask) -> Picture:
    """The radiograph, dimmed, with pixels of teeth that were missed and pixels that are none, `(height, width, 3)`."""
    picture = np.asarray(cv2.cvtColor(grey // 2, cv2.COLOR_GRAY2RGB), np.uint8)
    picture[truth & ~found] = MISSED
    picture[found & ~truth] = FALSE
    return picture


def _draw_labels(grey: Picture, labels: Labels) -> Picture:
    if not lacks_numbers(labels):
        return draw_overlay(grey, segmentation_of(labels), _OPACITY).to_rgb()
    # Teeth without numbers have no colours of their own.
    picture = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    tooth = labels > 0
    picture[tooth] = np.rint((1 - _OPACITY) * picture[tooth] + _OPACITY * np.array(FALSE)).astype(np.uint8)
    return picture


def _data_uri(picture: Picture) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture)).decode()
