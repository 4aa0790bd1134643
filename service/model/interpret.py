"""From the model's maps to teeth, in pixels of its input: pieces joined or dropped, numbered, and how sure each is."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.dentition.arrangement import Numbering, arrange
from service.model.package import Thresholds
from service.model.prediction import EVIDENCE_CELL, EVIDENCE_STEPS, Prediction
from service.segmentation import Box, Labels

_MOST_TEETH: Final = 64
"""Pieces that can be teeth; only of pictures that show no jaw there are more."""

NEIGHBOURHOOD: Final = np.ones((3, 3), np.uint8)
"""A pixel and the eight around it."""


def find_teeth(
    prediction: Prediction, classes: tuple[int, ...], thresholds: Thresholds, numbering: Numbering = arrange
) -> Labels:
    """The FDI number of each pixel of the model's input, 0 where there is no tooth.

    A tooth is one piece. Of several pieces with one number the largest is a tooth, and so is each other one that is no
    smaller than a tooth may be; the rest are fragments, which belong to the tooth that they touch most, or are dropped
    where they touch none. A tooth that is small beside the others is a fragment too, where it touches another;
    one that stands alone may be the rest of a root, and stays. The teeth's numbers are decided for an arch as a whole.

    Args:
        classes: FDI numbers of the model's classes.
        numbering: what gives the teeth their numbers, as `arrange` does.
    """
    tooth = prediction.foreground >= math.ceil(255 * thresholds.foreground)
    labels = np.asarray(cv2.LUT(prediction.tooth, _numbers_of(classes)) * tooth, np.uint8)
    boxes = find_boxes(labels)
    ranked = [sorted(_pieces(labels, fdi, box), key=lambda piece: -piece.area) for fdi, box in boxes.items()]
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
    numbers = _number(whole, prediction.evidence, typical, numbering)
    labels = np.asarray(cv2.LUT(whole, numbers), np.uint8)
    # Second pieces of teeth that have their number already.
    nameless = {} if numbers[1 : len(teeth) + 1].all() else find_boxes(whole)
    for number, box in nameless.items():
        for piece in [] if numbers[number] else _pieces(whole, number, box):
            piece.draw(labels, _touched(labels, piece))
    return labels


def _number(
    whole: Labels, evidence: npt.NDArray[np.uint8], typical: float, numbering: Numbering
) -> npt.NDArray[np.uint8]:
    """The FDI number of each numbered piece, `(256,)`, 0 for one that has none.

    Args:
        whole: numbers of pieces.
        evidence: as `Prediction` has it.
        typical: area of a tooth.
    """
    pixels = np.flatnonzero(whole > 0)
    rows, columns = np.divmod(pixels, whole.shape[1])
    of_pixel = whole.ravel()[pixels]
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
    found[present] = numbering(across / whole.shape[1], logarithms, substance)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Connected pixels of one number: their box, and which pixels of it they are."""

    box: Box
    pixels: npt.NDArray[np.bool_]
    area: int

    def draw(self, labels: Labels, fdi: int) -> None:
        labels[self.box.index][self.pixels] = fdi


def find_boxes(labels: Labels) -> dict[int, Box]:
    """The smallest box around the pixels of each number but 0, in the order of the numbers."""
    left, top, across, down = cv2.boundingRect(labels)
    jaws = labels[top : top + down, left : left + across]
    boxes = {}
    for number in np.flatnonzero(np.bincount(jaws.ravel())).tolist():
        x, y, width, height = cv2.boundingRect((jaws == number).view(np.uint8))
        boxes[number] = Box(left + x, top + y, width, height)
    boxes.pop(0, None)
    return boxes


def _pieces(labels: Labels, fdi: int, box: Box) -> list[_Piece]:
    """The pieces of a number that lies within a box."""
    cut = (labels[box.index] == fdi).view(np.uint8)
    _, numbered, statistics, _ = cv2.connectedComponentsWithStats(cut, connectivity=8)
    pieces = []
    for number, (x, y, width, height, area) in enumerate(statistics[1:].tolist(), start=1):
        pixels = numbered[y : y + height, x : x + width] == number
        pieces.append(_Piece(Box(box.x + x, box.y + y, width, height), pixels, area))
    return pieces


def _touched(whole: Labels, piece: _Piece) -> int:
    """The number of the other tooth that a piece touches most, 0 where it touches none."""
    box = piece.box
    top, left = max(0, box.y - 1), max(0, box.x - 1)
    around = whole[top : box.y + box.height + 1, left : box.x + box.width + 1]
    padded = np.zeros(around.shape, np.uint8)
    padded[box.y - top : box.y - top + box.height, box.x - left : box.x - left + box.width] = piece.pixels
    touched = around[cv2.dilate(padded, NEIGHBOURHOOD).view(bool) & ~padded.view(bool)]
    touched = touched[touched > 0]
    return int(np.bincount(touched).argmax()) if touched.size else 0


def mean_probabilities(labels: Labels, prediction: Prediction, classes: tuple[int, ...]) -> dict[int, float]:
    """For each FDI number in `labels`, the mean probability of the number over the tooth's pixels.

    A pixel for which the model has another number counts as nothing. How often a tooth of that probability is right is
    told by the package's `Calibration`.

    Args:
        classes: FDI numbers of the model's classes.
    """
    pixels = np.flatnonzero(labels > 0)
    of_pixel = labels.ravel()[pixels]
    agreed = _numbers_of(classes)[prediction.tooth.ravel()[pixels]] == of_pixel
    areas = np.bincount(of_pixel)
    sums = np.bincount(of_pixel, agreed * prediction.confidence.ravel()[pixels])
    return {int(fdi): float(sums[fdi] / areas[fdi] / 255) for fdi in np.flatnonzero(areas)}


def _numbers_of(classes: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The FDI number of each class, `(256,)`, 0 where there is no such class."""
    table = np.zeros(256, np.uint8)
    table[: len(classes)] = classes
    return table
