"""From the model's maps to teeth, in pixels of its input: pieces joined or dropped, numbered, and how sure each is."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.dentition.arrangement import Numbering, arrange
from service.dentition.fdi import CLASSES
from service.model.package import Thresholds
from service.model.prediction import EVIDENCE_CELL, EVIDENCE_STEPS, Prediction
from service.segmentation import Box, Labels

_MOST_TEETH: Final = 64
"""Pieces that can be teeth; only of pictures that show no jaw there are more."""

_FDI_OF_CLASS: Final = np.array(CLASSES + (0,) * (256 - len(CLASSES)), np.uint8)
"""The FDI number of each value that a byte can have, 0 where that is no class."""

NEIGHBOURHOOD: Final = np.ones((3, 3), np.uint8)
"""A pixel and the eight around it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Connected pixels of one number: their box, and which pixels of it they are."""

    box: Box
    pixels: npt.NDArray[np.bool_]
    area: int

    def draw(self, numbers: npt.NDArray[np.uint8], number: int) -> None:
        numbers[self.box.index][self.pixels] = number


def find_teeth(prediction: Prediction, thresholds: Thresholds, numbering: Numbering = arrange) -> Labels:
    """The FDI number of each pixel of the model's input, 0 where there is no tooth.

    A tooth is one piece. Of several pieces with one number the largest is a tooth, and so is each other one that is no
    smaller than a tooth may be; the rest are fragments, which belong to the tooth that they touch most, or are dropped
    where they touch none. A tooth that is small beside the others is a fragment too, where it touches another;
    one that stands alone may be the rest of a root, and stays. The teeth's numbers are decided for an arch as a whole.

    Args:
        numbering: what gives the teeth their numbers, as `arrange` does.
    """
    is_tooth = prediction.foreground >= math.ceil(255 * thresholds.foreground)
    raw_labels = np.asarray(cv2.LUT(prediction.tooth, _FDI_OF_CLASS) * is_tooth, np.uint8)
    by_number = [
        sorted(_pieces(raw_labels, fdi, box), key=lambda piece: -piece.area)
        for fdi, box in find_boxes(raw_labels).items()
    ]
    typical_area = _typical_area(by_number, thresholds)
    least_area = thresholds.min_share_of_typical_area * typical_area
    teeth, fragments = _part(by_number, thresholds.min_tooth_area, least_area)
    numbered = _join(teeth, fragments, least_area, raw_labels.shape)
    fdi_of = _number(numbered, prediction.evidence, typical_area, numbering)
    labels = np.asarray(cv2.LUT(numbered, fdi_of), np.uint8)
    if not fdi_of[1 : len(teeth) + 1].all():
        _join_second_pieces(labels, numbered, fdi_of)
    return labels


def _typical_area(by_number: list[list[_Piece]], thresholds: Thresholds) -> float:
    """The median area of the teeth that are the largest piece of their number; 0 without teeth."""
    areas = [pieces[0].area for pieces in by_number if pieces[0].area >= thresholds.min_tooth_area]
    return float(np.median(areas)) if areas else 0.0


def _part(by_number: list[list[_Piece]], min_tooth_area: int, least_area: float) -> tuple[list[_Piece], list[_Piece]]:
    """Teeth, the largest first, and fragments.

    Args:
        by_number: the pieces of each number, the largest first.
        least_area: what a tooth has that is not the largest piece of its number.
    """
    teeth: list[_Piece] = []
    fragments: list[_Piece] = []
    for pieces in by_number:
        for rank, piece in enumerate(pieces):
            alike = piece.area >= min_tooth_area and (rank == 0 or piece.area >= max(least_area, 1))
            (teeth if alike else fragments).append(piece)
    teeth.sort(key=lambda piece: -piece.area)
    return teeth[:_MOST_TEETH], fragments + teeth[_MOST_TEETH:]


def _join(
    teeth: list[_Piece], fragments: list[_Piece], least_area: float, shape: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """The number of each pixel's tooth, from 1 on in the order of `teeth`, fragments joined to the teeth they touch.

    Args:
        least_area: a tooth that has less is part of one that it touches.
        shape: of the model's input.
    """
    numbered = np.zeros(shape, np.uint8)
    for number, tooth in enumerate(teeth, start=1):
        tooth.draw(numbered, number)
    everywhere = Box(0, 0, shape[1], shape[0])
    for number in range(len(teeth), 0, -1):
        if teeth[number - 1].area < least_area:
            # With what has joined it, which else would be left over as a tooth of that number.
            whole = _Piece(everywhere, numbered == number, 0)
            if neighbour := _touched(numbered, whole):
                whole.draw(numbered, neighbour)
    # The largest first, so that a piece can lean on one that leans on a tooth.
    for fragment in sorted(fragments, key=lambda piece: -piece.area):
        fragment.draw(numbered, _touched(numbered, fragment))
    return numbered


def _join_second_pieces(labels: Labels, numbered: npt.NDArray[np.uint8], fdi_of: npt.NDArray[np.uint8]) -> None:
    """Draw what was given no number, second pieces of teeth that have theirs, as part of the tooth that it touches."""
    for number, box in find_boxes(numbered).items():
        if not fdi_of[number]:
            for piece in _pieces(numbered, number, box):
                piece.draw(labels, _touched(labels, piece))


def _number(
    numbered: npt.NDArray[np.uint8], evidence: npt.NDArray[np.uint8], typical_area: float, numbering: Numbering
) -> npt.NDArray[np.uint8]:
    """The FDI number of each tooth of `_join`, `(256,)`, 0 for one that has none.

    Args:
        numbered: as `_join` gives it.
        evidence: as `Prediction` has it.
        typical_area: of a tooth.
    """
    pixels = np.flatnonzero(numbered > 0)
    rows, columns = np.divmod(pixels, numbered.shape[1])
    of_pixel = numbered.ravel()[pixels]
    areas = np.bincount(of_pixel, minlength=256)
    present = np.flatnonzero(areas)
    fdi_of = np.zeros(256, np.uint8)
    if not present.size:
        return fdi_of
    across = np.bincount(of_pixel, columns, 256)[present] / areas[present]
    down = np.bincount(of_pixel, rows, 256)[present] / areas[present]
    # Of each tooth the cells whose middle it covers; of one that covers none, the cell that its own middle is in.
    middle = slice(EVIDENCE_CELL // 2, None, EVIDENCE_CELL)
    cells = numbered[middle, middle]
    cell_rows, cell_columns = np.nonzero(cells)
    of_cell = np.concatenate([cells[cell_rows, cell_columns], present])
    evidence_of_cell = np.concatenate(
        [
            evidence[cell_rows, cell_columns],
            evidence[(down / EVIDENCE_CELL).astype(int), (across / EVIDENCE_CELL).astype(int)],
        ]
    )
    order = np.argsort(of_cell, kind="stable")
    starts = np.searchsorted(of_cell[order], present)
    sums = np.add.reduceat(evidence_of_cell[order].astype(np.int32), starts, axis=0)
    counts = np.diff([*starts, len(order)])
    logarithms = -sums / counts[:, None] / EVIDENCE_STEPS
    substance = np.minimum(1.0, areas[present] / max(typical_area, 1.0))
    fdi_of[present] = numbering(across / numbered.shape[1], logarithms, substance)
    return fdi_of


def find_boxes(numbers: npt.NDArray[np.uint8]) -> dict[int, Box]:
    """The smallest box around the pixels of each number but 0, in the order of the numbers."""
    left, top, across, down = cv2.boundingRect(numbers)
    jaws = numbers[top : top + down, left : left + across]
    boxes = {}
    for number in np.flatnonzero(np.bincount(jaws.ravel())).tolist():
        x, y, width, height = cv2.boundingRect((jaws == number).view(np.uint8))
        boxes[number] = Box(left + x, top + y, width, height)
    boxes.pop(0, None)
    return boxes


def _pieces(numbers: npt.NDArray[np.uint8], number: int, box: Box) -> list[_Piece]:
    """The pieces of a number that lies within a box."""
    cut = (numbers[box.index] == number).view(np.uint8)
    _, of_pixel, statistics, _ = cv2.connectedComponentsWithStats(cut, connectivity=8)
    pieces = []
    for piece, (x, y, width, height, area) in enumerate(statistics[1:].tolist(), start=1):
        pixels = of_pixel[y : y + height, x : x + width] == piece
        pieces.append(_Piece(Box(box.x + x, box.y + y, width, height), pixels, area))
    return pieces


def _touched(numbers: npt.NDArray[np.uint8], piece: _Piece) -> int:
    """The number of the other tooth that a piece touches most, 0 where it touches none."""
    box = piece.box
    top, left = max(0, box.y - 1), max(0, box.x - 1)
    around = numbers[top : box.y + box.height + 1, left : box.x + box.width + 1]
    padded = np.zeros(around.shape, np.uint8)
    padded[box.y - top : box.y - top + box.height, box.x - left : box.x - left + box.width] = piece.pixels
    touched = around[cv2.dilate(padded, NEIGHBOURHOOD).view(bool) & ~padded.view(bool)]
    touched = touched[touched > 0]
    return int(np.bincount(touched).argmax()) if touched.size else 0


def mean_probabilities(labels: Labels, prediction: Prediction) -> dict[int, float]:
    """For each FDI number in `labels`, the mean probability of the number over the tooth's pixels.

    A pixel for which the model has another number counts as nothing. How often a tooth of that probability is right is
    told by the package's `Calibration`.
    """
    pixels = np.flatnonzero(labels > 0)
    of_pixel = labels.ravel()[pixels]
    agreed = _FDI_OF_CLASS[prediction.tooth.ravel()[pixels]] == of_pixel
    areas = np.bincount(of_pixel)
    sums = np.bincount(of_pixel, agreed * prediction.confidence.ravel()[pixels])
    return {int(fdi): float(sums[fdi] / areas[fdi] / 255) for fdi in np.flatnonzero(areas)}
