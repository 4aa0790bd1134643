"""From a label map of the model's input to teeth in the radiograph's own pixels: enlarged smoothly, and outlined."""

from typing import Final

import cv2
import numpy as np

from service.model.interpret import NEIGHBOURHOOD, find_boxes
from service.model.package import Thresholds
from service.model.prediction import Prediction
from service.model.prepare import ModelInput
from service.segmentation import Box, Labels, Picture, Tooth

_MARGIN: Final = 3
"""Pixels of the model's input by which a tooth's smooth edge may lie outside of its own: a rim, blurred, enlarged."""

_SPECK: Final = 0.02
"""Share of a tooth's largest piece below which another is no piece: enlarging leaves up to 0.006, jaws show 0.1."""


def locate(labels: Labels) -> dict[int, Box]:
    """For each FDI number, in their order, a box that holds its tooth, and its edge where that is smoothed.

    Args:
        labels: FDI numbers in pixels of the model's input, of which the boxes are, too.
    """
    height, width = labels.shape
    boxes = {}
    for fdi, tight in find_boxes(labels).items():
        top, left = max(0, tight.y - _MARGIN), max(0, tight.x - _MARGIN)
        after_y, after_x = min(height, tight.y + tight.height + _MARGIN), min(width, tight.x + tight.width + _MARGIN)
        boxes[fdi] = Box(left, top, after_x - left, after_y - top)
    return boxes


def to_radiograph(
    labels: Labels,
    boxes: dict[int, Box],
    prediction: Prediction,
    model_input: ModelInput,
    height: int,
    width: int,
    thresholds: Thresholds,
) -> Labels:
    """The FDI number of each pixel of the picture as viewers show it, `(height, width)`.

    Both the outline of all teeth together, which follows the foreground probability, and the lines between teeth that
    touch, where the nearer one wins, are enlarged smoothly and not in steps of the model's pixels.

    Args:
        labels: FDI numbers in pixels of the model's input.
        boxes: as `locate` gives them.
    """
    # A rim around the teeth, so that the smooth outline finds a number wherever it runs.
    numbers = np.asarray(cv2.copyTo(labels, labels, cv2.dilate(labels, NEIGHBOURHOOD)), np.uint8)
    foreground = prediction.foreground * (numbers > 0)
    labels_as_sent = np.zeros((height, width), np.uint8)
    if not boxes:
        return labels_as_sent
    content = model_input.content
    # What lies below all teeth, or to the right of them, need not be enlarged.
    after_y = max(box.y + box.height for box in boxes.values())
    after_x = max(box.x + box.width for box in boxes.values())
    step_y, step_x = content.height / labels.shape[0], content.width / labels.shape[1]
    nearest = cv2.resize(foreground[:after_y, :after_x], None, fx=step_x, fy=step_y, interpolation=cv2.INTER_LINEAR)
    # How close the nearest tooth is; where nothing is tooth, as close as none can be, so that no number comes there.
    cv2.threshold(nearest, 255 * thresholds.foreground - 0.5, 255, cv2.THRESH_BINARY_INV, nearest)
    inside = labels_as_sent[content.index]
    for fdi, box in boxes.items():
        large_box = _in_content(box, model_input)
        area = large_box.index
        closeness = _enlarge(numbers, fdi, box, large_box)
        nearer = cv2.compare(closeness, nearest[area], cv2.CMP_GT)
        cv2.max(closeness, nearest[area], nearest[area])
        cv2.copyTo(np.full_like(nearer, fdi), nearer, inside[area])
    return labels_as_sent


def _in_content(box: Box, model_input: ModelInput) -> Box:
    """A box of the model's input in pixels of the radiograph's content, rounded to whole ones."""
    height, width = model_input.pixels.shape
    content = model_input.content
    left, right = _whole_pixels(box.x, box.x + box.width, content.width / width)
    top, bottom = _whole_pixels(box.y, box.y + box.height, content.height / height)
    return Box(left, top, right - left, bottom - top)


def _whole_pixels(first: int, after: int, step: float) -> tuple[int, int]:
    """A span enlarged and rounded to whole pixels, at least one."""
    left, right = round(first * step), round(after * step)
    return min(left, max(0, right - 1)), max(right, 1)


def _enlarge(small: Labels, fdi: int, box: Box, large_box: Box) -> Picture:
    """How close each pixel of a box is to a tooth, 0..255: its pixels, smoothed and enlarged.

    That the box is rounded to whole pixels shifts a line between two teeth by half a pixel of the radiograph at most.

    Args:
        small: FDI numbers in pixels of the model's input.
        box, large_box: the same in those, and in pixels of the content.
    """
    smooth = cv2.GaussianBlur((small[box.index] == fdi).view(np.uint8) * np.uint8(255), (3, 3), 0)
    return np.asarray(cv2.resize(smooth, (large_box.width, large_box.height), interpolation=cv2.INTER_LINEAR), np.uint8)


def outline_teeth(
    labels: Labels,
    boxes: dict[int, Box],
    model_input: ModelInput,
    confidences: dict[int, float],
    uncertain_below: float = 0.0,
) -> tuple[Tooth, ...]:
    """The teeth of a label map, in the order of their FDI numbers.

    Args:
        labels: FDI numbers, in pixels of the radiograph; threads and specks, which no outline could show, are cleared.
        boxes: as `locate` gives them, in pixels of the model's input.
        confidences: by FDI number; pixels of any other number are no tooth's.
        uncertain_below: confidence below which a tooth is uncertain, 0..1.
    """
    content = model_input.content
    teeth = []
    for fdi, box in boxes.items():
        if fdi not in confidences:
            continue
        inside = _in_content(box, model_input)
        near = Box(content.x + inside.x, content.y + inside.y, inside.width, inside.height)
        confidence = confidences[fdi]
        teeth.append(_outline_tooth(labels, fdi, near, confidence, confidence < uncertain_below))
    return tuple(tooth for tooth in teeth if tooth.area_px)


def _outline_tooth(labels: Labels, fdi: int, near: Box, confidence: float, uncertain: bool) -> Tooth:
    area = labels[near.index]
    cut = (area == fdi).view(np.uint8) * np.uint8(255)
    tooth = _without_threads(cut)
    contours, _ = cv2.findContours(tooth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(near.x, near.y))
    if len(contours) > 1:
        tooth = _without_specks(tooth)
        contours, _ = cv2.findContours(tooth, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(near.x, near.y))
    if not contours:
        tooth = cut
    cv2.subtract(area, cv2.bitwise_xor(cut, tooth), area)
    x, y, width, height = cv2.boundingRect(tooth)
    # A pixel's corner less or more is nothing in a large picture, and much of a tooth in a small one.
    tolerance = max(0.5, labels.shape[1] / 3000)
    polygons = (np.asarray(cv2.approxPolyDP(contour, tolerance, closed=True)[:, 0], np.int32) for contour in contours)
    rings = tuple(polygon for polygon in polygons if len(polygon) > 2)
    bbox = Box(x + near.x, y + near.y, width, height)
    return Tooth(fdi, confidence, uncertain, cv2.countNonZero(tooth), bbox, rings)


def _without_threads(cut: Picture) -> Picture:
    """A tooth without what is one pixel thin, along which its outline would go out and back and cross itself.

    What stays are its squares of 2 x 2 pixels. The same by `cv2.erode` and `cv2.dilate` takes four times as long.
    """
    rimmed = cv2.copyMakeBorder(cut, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    squares = cv2.bitwise_and(rimmed[:-1], rimmed[1:])
    squares = cv2.bitwise_and(squares[:, :-1], squares[:, 1:])
    covered = cv2.bitwise_or(squares[:-1], squares[1:])
    return np.asarray(cv2.bitwise_or(covered[:, :-1], covered[:, 1:]), np.uint8)


def _without_specks(tooth: Picture) -> Picture:
    """A tooth without the pixels beside it that come of enlarging it."""
    _, of_pixel, statistics, _ = cv2.connectedComponentsWithStats(tooth, connectivity=8)
    areas = statistics[:, cv2.CC_STAT_AREA]
    stays = areas >= _SPECK * areas[1:].max()
    stays[0] = False
    return np.where(stays[of_pixel], tooth, 0).astype(np.uint8)
