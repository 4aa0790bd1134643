"""Draws an answer: the mask, and the overlay of coloured, numbered teeth on the radiograph.

The overlay is drawn as JPEG keeps it, brightness apart from colour and colour at half the size: the radiograph's own
grey values are the brightness, and a JPEG file takes the planes as they are.
"""

import colorsys
from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np

from service.dentition.fdi import FDI_NUMBERS, universal
from service.segmentation import Grey, Picture, Segmentation

MaskKind = Literal["binary", "fdi"]

_GOLDEN_RATIO: Final = 0.618034


def _colour(fdi: int) -> tuple[int, int, int]:
    """Red, green and blue; along the arches, as Universal numbers run, each step is a golden ratio of the hues."""
    hue = universal(fdi) * _GOLDEN_RATIO % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, 0.55, 0.9)
    return round(255 * red), round(255 * green), round(255 * blue)


PALETTE: Final = {fdi: _colour(fdi) for fdi in FDI_NUMBERS}
"""Red, green and blue of each FDI number."""

_NEUTRAL: Final = 128
"""Of both colour planes, where there is no colour."""


def _plane(weights: tuple[float, float, float], neutral: int) -> Picture:
    """A plane's value for each FDI number's colour, `(256,)`; `neutral` for all other numbers."""
    table = np.full(256, neutral, np.uint8)
    for fdi, colour in PALETTE.items():
        table[fdi] = round(neutral + float(np.dot(weights, colour)))
    return table


_LUMA: Final = _plane((0.299, 0.587, 0.114), 0)
_BLUE: Final = _plane((-0.168736, -0.331264, 0.5), _NEUTRAL)
_RED: Final = _plane((0.5, -0.418688, -0.081312), _NEUTRAL)


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """A picture as YCbCr over the full range (JFIF, ITU-R BT.601), `uint8`.

    Attributes:
        luma: of even sides, as encoders want it; where the picture's are odd, a row or column more than is shown.
        blue, red: of half those sides.
        height, width: of the picture, in pixels.

    Raises:
        ValueError: the planes do not fit each other; an encoder would read past their ends.
    """

    luma: Picture
    blue: Picture
    red: Picture
    height: int
    width: int

    def __post_init__(self) -> None:
        half = ((self.height + 1) // 2, (self.width + 1) // 2)
        if not self.blue.shape == self.red.shape == half or self.luma.shape != (2 * half[0], 2 * half[1]):
            raise ValueError(f"planes {self.luma.shape}, {self.blue.shape} and {self.red.shape} are of no one picture")

    def to_rgb(self) -> Picture:
        """The picture as `(height, width, 3)`, RGB."""
        sides = self.luma.shape[::-1]
        red, blue = (cv2.resize(plane, sides, interpolation=cv2.INTER_NEAREST) for plane in (self.red, self.blue))
        rgb = np.asarray(cv2.cvtColor(cv2.merge([self.luma, red, blue]), cv2.COLOR_YCrCb2RGB), np.uint8)
        return rgb[: self.height, : self.width]


def load_font() -> None:
    """Call in a thread before it draws: OpenCV unpacks its font in each, which takes 20 ms."""
    cv2.getTextSize("0", cv2.FONT_HERSHEY_SIMPLEX, 1, 1)


def draw_mask(segmentation: Segmentation, kind: MaskKind) -> Picture:
    """The mask, `(height, width)` `uint8`: 255 where there is tooth, or each pixel's FDI number."""
    if kind == "fdi":
        return segmentation.labels
    return np.asarray(cv2.threshold(segmentation.labels, 0, 255, cv2.THRESH_BINARY)[1], np.uint8)


def to_8_bits(pixels: Grey) -> Picture:
    """A radiograph's grey values as a screen shows them, `(height, width)` `uint8`."""
    return np.asarray(pixels if pixels.dtype == np.uint8 else pixels >> 8, np.uint8)


def draw_overlay(pixels: Grey, segmentation: Segmentation, opacity: float) -> Overlay:
    """The radiograph with its teeth in colour, outlined and numbered.

    Args:
        pixels: the radiograph.
        opacity: of the colour, 0..1; at 0 the picture is the radiograph alone.
    """
    height, width = pixels.shape
    luma = np.asarray(
        cv2.copyMakeBorder(to_8_bits(pixels), 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8
    )
    if opacity == 0:
        segmentation = replace(segmentation, teeth=())
    for tooth in segmentation.teeth:
        area = tooth.bbox.index
        inside = (segmentation.labels[area] == tooth.fdi).view(np.uint8)
        tinted = cv2.convertScaleAbs(luma[area], alpha=1 - opacity, beta=opacity * float(_LUMA[tooth.fdi]))
        cv2.copyTo(tinted, inside, luma[area])
    overlay = Overlay(luma, *_draw_colours(segmentation, opacity), height, width)
    _draw_outlines(overlay, segmentation)
    _draw_numbers(overlay, segmentation)
    return overlay


def _draw_colours(segmentation: Segmentation, opacity: float) -> tuple[Picture, Picture]:
    """The planes of blue and red."""
    height, width = segmentation.labels.shape
    blue, red = (np.full(((height + 1) // 2, (width + 1) // 2), _NEUTRAL, np.uint8) for _ in range(2))
    boxes = [tooth.bbox for tooth in segmentation.teeth]
    if boxes:
        top, left = min(box.y for box in boxes) // 2, min(box.x for box in boxes) // 2
        bottom, right = max(box.y + box.height for box in boxes), max(box.x + box.width for box in boxes)
        numbers = np.ascontiguousarray(segmentation.labels[2 * top : bottom : 2, 2 * left : right : 2])
        area = slice(top, top + numbers.shape[0]), slice(left, left + numbers.shape[1])
        for plane, table in ((blue, _BLUE), (red, _RED)):
            plane[area] = cv2.LUT(numbers, _tint(table, opacity))
    return blue, red


def _tint(table: Picture, opacity: float) -> Picture:
    """A colour plane's values by FDI number, at an opacity."""
    return np.rint(_NEUTRAL + opacity * (table - np.float64(_NEUTRAL))).astype(np.uint8)


def _draw_outlines(overlay: Overlay, segmentation: Segmentation) -> None:
    thickness = max(1, overlay.width // 1000)
    for tooth in segmentation.teeth:
        cv2.polylines(overlay.luma, tooth.polygons, True, int(_LUMA[tooth.fdi]), thickness, cv2.LINE_8)
        for plane, table in ((overlay.blue, _BLUE), (overlay.red, _RED)):
            # Of the points' coordinates one bit counts halves.
            cv2.polylines(
                plane, tooth.polygons, True, int(table[tooth.fdi]), max(1, thickness // 2), cv2.LINE_8, shift=1
            )


def _draw_numbers(overlay: Overlay, segmentation: Segmentation) -> None:
    """White letters on a black rim; as both are without colour, the colour planes know but their place."""
    scale = max(0.4, overlay.width / 2200)
    thickness = max(1, round(2 * scale))
    for tooth in segmentation.teeth:
        text = f"{tooth.fdi}?" if tooth.uncertain else str(tooth.fdi)
        (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        x, y = tooth.bbox.x + (tooth.bbox.width - width) // 2, tooth.bbox.y + (tooth.bbox.height + height) // 2
        for grey, strength in ((0, 3 * thickness), (255, thickness)):
            _write(overlay.luma, text, (x, y), scale, grey, strength)
        for plane in (overlay.blue, overlay.red):
            _write(plane, text, (x // 2, y // 2), scale / 2, _NEUTRAL, max(1, 3 * thickness // 2))


def _write(plane: Picture, text: str, at: tuple[int, int], scale: float, value: int, strength: int) -> None:
    cv2.putText(plane, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, value, strength, cv2.LINE_AA)
