"""Draws an answer: the mask, and the overlay of coloured, numbered teeth on the radiograph."""

import colorsys
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS, universal
from service.segmentation import Grey, Segmentation

Picture = npt.NDArray[np.uint8]

MaskKind = Literal["binary", "fdi"]

_GOLDEN_RATIO: Final = 0.618034


def _colour(fdi: int) -> tuple[int, int, int]:
    """Red, green and blue; along the arches, as Universal numbers run, each step is a golden ratio of the hues."""
    hue = universal(fdi) * _GOLDEN_RATIO % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, 0.55, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


PALETTE: Final = {fdi: _colour(fdi) for fdi in FDI_NUMBERS}
"""Red, green and blue of each FDI number."""

_TABLE: Final = np.zeros((256, 3), np.uint8)
_TABLE[list(PALETTE)] = list(PALETTE.values())

_IS_TOOTH: Final = np.array([0, *[255] * 255], np.uint8)


def draw_mask(segmentation: Segmentation, kind: MaskKind) -> Picture:
    """The mask, `(height, width)` `uint8`: 255 where there is tooth, or each pixel's FDI number."""
    if kind == "fdi":
        return segmentation.labels
    return np.asarray(cv2.LUT(segmentation.labels, _IS_TOOTH), np.uint8)


def to_8_bits(pixels: Grey) -> Picture:
    """A radiograph's grey values as a screen shows them, `(height, width)` `uint8`."""
    return np.asarray(pixels if pixels.dtype == np.uint8 else pixels >> 8, np.uint8)


def draw_overlay(pixels: Grey, segmentation: Segmentation, opacity: float) -> Picture:
    """The radiograph with its teeth in colour, outlined and numbered, `(height, width, 3)` `uint8`, RGB.

    Args:
        pixels: the radiograph.
        opacity: of the colour, 0..1; at 0 the picture is the radiograph alone.
    """
    picture = np.asarray(cv2.cvtColor(to_8_bits(pixels), cv2.COLOR_GRAY2RGB), np.uint8)
    if opacity > 0:
        for tooth in segmentation.teeth:
            box = tooth.bbox
            area = (slice(box.y, box.y + box.height), slice(box.x, box.x + box.width))
            inside = (segmentation.labels[area] == tooth.fdi).view(np.uint8)
            colour = PALETTE[tooth.fdi]
            tinted = cv2.addWeighted(
                picture[area], 1 - opacity, np.full((*inside.shape, 3), colour, np.uint8), opacity, 0
            )
            cv2.copyTo(tinted, inside, picture[area])
        _draw_outlines(picture, segmentation)
        _draw_numbers(picture, segmentation)
    return picture


def _draw_outlines(picture: Picture, segmentation: Segmentation) -> None:
    thickness = max(1, picture.shape[1] // 1000)
    for tooth in segmentation.teeth:
        rings = [np.array(ring, np.int32) for ring in tooth.polygons]
        cv2.polylines(picture, rings, True, PALETTE[tooth.fdi], thickness, cv2.LINE_8)


def _draw_numbers(picture: Picture, segmentation: Segmentation) -> None:
    scale = max(0.4, picture.shape[1] / 2200)
    thickness = max(1, round(2 * scale))
    for tooth in segmentation.teeth:
        text = str(tooth.fdi)
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        at = (tooth.bbox.x + (tooth.bbox.width - width) // 2, tooth.bbox.y + (tooth.bbox.height + height) // 2)
        for colour, strength in (((0, 0, 0), 3 * thickness), ((255, 255, 255), thickness)):
            cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, strength, cv2.LINE_AA)
