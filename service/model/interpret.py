"""From the model's maps to teeth: pieces joined or dropped, brought back to the radiograph's own pixels, outlined."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.dentition.arrangement import arrange
from service.dentition.fdi import FDI_NUMBERS
from service.model.package import Thresholds
from service.model.prepare import ModelInput
from service.model.session import EVIDENCE_CELL, EVIDENCE_STEPS, Prediction
from service.segmentation import Box, Tooth

Labels = npt.NDArray[np.uint8]

_MOST_TEETH: Final = 64
"""Pieces that can be teeth; only of pictures that show no jaw there are more."""

_NEIGHBOURHOOD: Final = np.ones((3, 3), np.uint8)


def find_teeth(prediction: Prediction, classes: tuple[int, ...], thresholds: Thresholds) -> Labels:
    """The FDI number of each pixel of the model's input, 0 where there is no tooth.

    A tooth is one piece. Of several pieces with one number the largest is a tooth, and so is each other one that is no
    smaller than a tooth may be; the rest are fragments, which belong to the tooth that they touch most, or are dropped
    where they touch none. A tooth that is small beside the others is a fragment too, where it touches another;
    one that stands alone may be the rest of a root, and stays. The teeth's numbers are decided for an arch as a whole.

    Args:
        classes: FDI numbers of the model's classes.
    """
    tooth = prediction.foreground >= 255 * thresholds.foreground
    labels = np.where(tooth, _numbers_of(classes)[prediction.tooth], 0).astype(np.uint8)
    ranked = [sorted(_pieces(labels, fdi), key=lambda piece: -piece.area) for fdi in _numbers_in(labels)]
    large = [pieces[0].area for pieces in ranked if pieces[0].area >= thresholds.min_tooth_area]
    typical = float(np.median(large)) if large else 0.0
    least = thresholds.min_share_of_typical_area * typical
    teeth: list[_Piece] = []
    fragments: list[_Piece] = []
    for pieces in ranked:
        for rank, piece in enumerate(pieces):
            alike = piece.area >= thresholds.min_tooth_area and (rank == 0 or piece.area >= max(least, 1))
            (teeth if alike else fragments).append(piece)
    teeth.sort(key=lambda piece: -piece.area)
    fragments += teeth[_MOST_TEETH:]
    del teeth[_MOST_TEETH:]
    # Numbers of pieces, until each has its FDI number.
    whole = np.zeros_like(labels)
    for number, piece in enumerate(teeth, start=1):
        piece.draw(whole, number)
    for piece in reversed(teeth):
        if piece.area < least and (neighbour := _touched(whole, piece)):
            piece.draw(whole, neighbour)
    # The largest first, so that a piece can lean on one that leans on a tooth.
    for piece in sorted(fragments, key=lambda piece: -piece.area):
        piece.draw(whole, _touched(whole, piece))
    numbers = _number(whole, prediction.evidence, typical)
    labels = numbers[whole]
    # A second piece of a tooth that has its number already.
    for number in np.setdiff1d(whole[labels == 0], [0]):
        for piece in _pieces(whole, int(number)):
            piece.draw(labels, _touched(labels, piece))
    return labels


def _number(whole: Labels, evidence: npt.NDArray[np.uint8], typical: float) -> npt.NDArray[np.uint8]:
    """The FDI number of each numbered piece, `(256,)`, 0 for one that has none.

    Args:
        whole: numbers of pieces.
        evidence: as `Prediction` has it.
        typical: area of a tooth.
    """
    rows, columns = np.nonzero(whole)
    of_pixel = whole[rows, columns]
    areas = np.bincount(of_pixel, minlength=256)
    present = np.flatnonzero(areas)
    found = np.zeros(256, np.uint8)
    if not present.size:
        return found
    across = np.bincount(of_pixel, columns, 256)[present] / areas[present]
    down = np.bincount(of_pixel, rows, 256)[present] / areas[present]
    # Of each piece the cells whose middle it covers; of one that covers none, the cell that its own middle is in.
    middle = slice(EVIDENCE_CELL // 2, None, EVIDENCE_CELL)
    cells = whole[middle, middle]
    cell_rows, cell_columns = np.nonzero(cells)
    of_cell = np.concatenate([cells[cell_rows, cell_columns], present])
    words = np.concatenate(
        [
            evidence[cell_rows, cell_columns],
            evidence[(down / EVIDENCE_CELL).astype(int), (across / EVIDENCE_CELL).astype(int)],
        ]
    )
    order = np.argsort(of_cell, kind="stable")
    starts = np.searchsorted(of_cell[order], present)
    sums = np.add.reduceat(words[order].astype(np.int32), starts, axis=0)
    counts = np.diff([*starts, len(order)])
    logarithms = -sums / counts[:, None] / EVIDENCE_STEPS
    substance = np.minimum(1.0, areas[present] / max(typical, 1.0))
    found[present] = arrange(across / whole.shape[1], logarithms, substance)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Connected pixels of one number: their box, and which pixels of it they are."""

    box: Box
    pixels: npt.NDArray[np.bool_]
    area: int

    def draw(self, labels: Labels, fdi: int) -> None:
        box = self.box
        labels[box.y : box.y + box.height, box.x : box.x + box.width][self.pixels] = fdi


def _pieces(labels: Labels, fdi: int) -> list[_Piece]:
    mask = (labels == fdi).view(np.uint8)
    left, top, across, down = cv2.boundingRect(mask)
    cut = mask[top : top + down, left : left + across]
    count, numbered, statistics, _ = cv2.connectedComponentsWithStats(cut, connectivity=8)
    pieces = []
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in statistics[number])
        pixels = numbered[y : y + height, x : x + width] == number
        pieces.append(_Piece(Box(left + x, top + y, width, height), pixels, area))
    return pieces


def _touched(whole: Labels, piece: _Piece) -> int:
    """The number of the other tooth that a piece touches most, 0 where it touches none."""
    box = piece.box
    top, left = max(0, box.y - 1), max(0, box.x - 1)
    around = whole[top : box.y + box.height + 1, left : box.x + box.width + 1]
    padded = np.zeros(around.shape, np.uint8)
    padded[box.y - top : box.y - top + box.height, box.x - left : box.x - left + box.width] = piece.pixels
    touched = around[cv2.dilate(padded, _NEIGHBOURHOOD).view(bool) & ~padded.view(bool)]
    touched = touched[touched > 0]
    return int(np.bincount(touched).argmax()) if touched.size else 0


def to_radiograph(
    labels: Labels, prediction: Prediction, model_input: ModelInput, height: int, width: int, thresholds: Thresholds
) -> Labels:
    """The FDI number of each pixel of the radiograph as sent, `(height, width)`.

    Both the outline of all teeth together, which follows the foreground probability, and the lines between teeth that
    touch, where the nearer one wins, are enlarged smoothly and not in steps of the model's pixels.

    Args:
        labels: FDI numbers in pixels of the model's input.
    """
    # A rim around the teeth, so that the smooth outline finds a number wherever it runs.
    numbers = np.where(labels > 0, labels, cv2.dilate(labels, _NEIGHBOURHOOD))
    foreground = np.where(numbers > 0, prediction.foreground, 0).astype(np.uint8)
    content = model_input.content
    mask = cv2.resize(foreground, (content.width, content.height), interpolation=cv2.INTER_LINEAR)
    cv2.threshold(mask, 255 * thresholds.foreground - 0.5, 255, cv2.THRESH_BINARY, mask)
    labels_as_sent = np.zeros((height, width), np.uint8)
    nearest = np.zeros((height, width), np.uint8)
    for fdi in _numbers_in(labels):
        place = _surroundings(numbers, fdi)
        box = _in_radiograph(place, model_input)
        area = (slice(box.y, box.y + box.height), slice(box.x, box.x + box.width))
        closeness = _enlarge(numbers, fdi, place, box)
        nearer = cv2.compare(closeness, nearest[area], cv2.CMP_GT)
        cv2.copyTo(closeness, nearer, nearest[area])
        cv2.copyTo(np.full_like(nearer, fdi), nearer, labels_as_sent[area])
    inside = labels_as_sent[content.y : content.y + content.height, content.x : content.x + content.width]
    cv2.bitwise_and(inside, mask, inside)
    return labels_as_sent


def _numbers_in(labels: Labels) -> list[int]:
    return [int(fdi) for fdi in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)) if fdi]


def _surroundings(small: Labels, fdi: int) -> Box:
    """A box of the model's input, three pixels wider than a tooth on each side, so that its smooth edge lies within."""
    height, width = small.shape
    x, y, across, down = cv2.boundingRect((small == fdi).view(np.uint8))
    left, top = max(0, x - 3), max(0, y - 3)
    return Box(left, top, min(width, x + across + 3) - left, min(height, y + down + 3) - top)


def _in_radiograph(place: Box, model_input: ModelInput) -> Box:
    """A box of the model's input in pixels of the radiograph, rounded to whole ones."""
    height, width = model_input.pixels.shape
    content = model_input.content
    left, right = _whole_pixels(place.x, place.x + place.width, content.width / width)
    top, bottom = _whole_pixels(place.y, place.y + place.height, content.height / height)
    return Box(content.x + left, content.y + top, right - left, bottom - top)


def _whole_pixels(first: int, after: int, step: float) -> tuple[int, int]:
    """A span enlarged and rounded to whole pixels, at least one."""
    left, right = round(first * step), round(after * step)
    return min(left, max(0, right - 1)), max(right, 1)


def _enlarge(small: Labels, fdi: int, place: Box, box: Box) -> npt.NDArray[np.uint8]:
    """How close each pixel of a box of the radiograph is to a tooth, 0..255: its pixels, smoothed and enlarged.

    That the box is rounded to whole pixels shifts a line between two teeth by half a pixel of the radiograph at most.

    Args:
        small: FDI numbers in pixels of the model's input.
        place: the box, in those.
    """
    cut = small[place.y : place.y + place.height, place.x : place.x + place.width]
    smooth = cv2.GaussianBlur((cut == fdi).view(np.uint8) * np.uint8(255), (3, 3), 0)
    return np.asarray(cv2.resize(smooth, (box.width, box.height), interpolation=cv2.INTER_LINEAR), np.uint8)


def outline_teeth(
    labels: Labels, small: Labels, model_input: ModelInput, confidences: dict[int, float]
) -> tuple[Tooth, ...]:
    """The teeth of a label map, in the order of their FDI numbers.

    Args:
        labels: FDI numbers, in pixels of the radiograph.
        small: the same in pixels of the model's input, which tells cheaply where to look for each.
        confidences: by FDI number.
    """
    teeth = (
        _outline_tooth(labels, fdi, _in_radiograph(_surroundings(small, fdi), model_input), confidences[fdi])
        for fdi in FDI_NUMBERS
        if fdi in confidences
    )
    return tuple(tooth for tooth in teeth if tooth.area_px)


def _outline_tooth(labels: Labels, fdi: int, near: Box, confidence: float) -> Tooth:
    cut = (labels[near.y : near.y + near.height, near.x : near.x + near.width] == fdi).view(np.uint8)
    contours, _ = cv2.findContours(cut, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(near.x, near.y))
    x, y, width, height = cv2.boundingRect(cut)
    # A pixel's corner less or more is nothing in a large picture, and much of a tooth in a small one.
    tolerance = max(0.5, labels.shape[1] / 3000)
    polygons = (cv2.approxPolyDP(contour, tolerance, closed=True)[:, 0].tolist() for contour in contours)
    rings = tuple(tuple((px, py) for px, py in polygon) for polygon in polygons if len(polygon) > 2)
    return Tooth(fdi, confidence, cv2.countNonZero(cut), Box(x + near.x, y + near.y, width, height), rings)


def confidences(labels: Labels, prediction: Prediction, classes: tuple[int, ...]) -> dict[int, float]:
    """For each FDI number in `labels`, the mean probability of the number over the tooth's pixels.

    A pixel for which the model has another number counts as nothing. How often a tooth of that probability is right is
    told by the package's `Calibration`.

    Args:
        classes: FDI numbers of the model's classes.
    """
    agreed = np.where(_numbers_of(classes)[prediction.tooth] == labels, prediction.confidence, 0)
    flat = labels.ravel()
    areas = np.bincount(flat, minlength=49)
    sums = np.bincount(flat, weights=agreed.ravel(), minlength=49)
    return {int(fdi): float(sums[fdi] / areas[fdi] / 255) for fdi in np.flatnonzero(areas) if fdi}


def _numbers_of(classes: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The FDI number of each class, `(256,)`, 0 where there is no such class."""
    table = np.zeros(256, np.uint8)
    table[: len(classes)] = classes
    return table
