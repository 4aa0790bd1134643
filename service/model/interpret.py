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
    table = np.zeros(256, np.uint8)
    table[: len(classes)] = classes
    tooth = prediction.foreground >= 255 * thresholds.foreground
    labels = np.where(tooth, table[prediction.tooth], 0).astype(np.uint8)
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
    # Numbers of pieces, until each has its FDI number.
    whole = np.zeros_like(labels)
    for number, piece in enumerate(teeth, start=1):
        piece.draw(whole, number)
    for piece in sorted(teeth, key=lambda piece: piece.area):
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
    enlarged = cv2.resize(foreground, (content.width, content.height), interpolation=cv2.INTER_LINEAR)
    _, mask = cv2.threshold(enlarged, 255 * thresholds.foreground - 0.5, 255, cv2.THRESH_BINARY)
    labels_as_sent = np.zeros((height, width), np.uint8)
    nearest = np.zeros((height, width), np.uint8)
    for fdi in _numbers_in(labels):
        box = _surroundings(numbers, fdi, model_input)
        area = (slice(box.y, box.y + box.height), slice(box.x, box.x + box.width))
        closeness = _enlarge((numbers == fdi).view(np.uint8) * np.uint8(255), box, model_input)
        nearer = cv2.compare(closeness, nearest[area], cv2.CMP_GT)
        cv2.copyTo(closeness, nearer, nearest[area])
        labels_as_sent[area][nearer.view(bool)] = fdi
    inside = labels_as_sent[content.y : content.y + content.height, content.x : content.x + content.width]
    cv2.bitwise_and(inside, mask, inside)
    return labels_as_sent


def _numbers_in(labels: Labels) -> list[int]:
    return [int(fdi) for fdi in np.flatnonzero(np.bincount(labels.ravel(), minlength=256)) if fdi]


def _enlarge(small: npt.NDArray[np.uint8], box: Box, model_input: ModelInput) -> npt.NDArray[np.uint8]:
    """A map in pixels of the model's input, smoothed, as a box of the radiograph sees it."""
    height, width = small.shape
    left, top = model_input.from_radiograph(box.x, box.y)
    step_x, step_y = width / model_input.content.width, height / model_input.content.height
    to_small = np.array([[step_x, 0, left], [0, step_y, top]], np.float64)
    smooth = cv2.GaussianBlur(small, (3, 3), 0)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    enlarged = cv2.warpAffine(smooth, to_small, (box.width, box.height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(enlarged, np.uint8)


def outline_teeth(
    labels: Labels, small: Labels, model_input: ModelInput, confidences: dict[int, float]
) -> tuple[Tooth, ...]:
    """The teeth of a label map, in the order of their FDI numbers.

    Args:
        labels: FDI numbers, in pixels of the radiograph.
        small: the same in pixels of the model's input, which tells cheaply where to look for each.
        confidences: by FDI number.
    """
    areas = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()
    return tuple(
        _outline_tooth(labels, fdi, _surroundings(small, fdi, model_input), int(areas[fdi]), confidences[fdi])
        for fdi in FDI_NUMBERS
        if areas[fdi]
    )


def _surroundings(small: Labels, fdi: int, model_input: ModelInput) -> Box:
    """A box of the radiograph that surely holds a tooth: two pixels of the model wider than it on each side."""
    content = model_input.content
    x, y, width, height = cv2.boundingRect((small == fdi).view(np.uint8))
    left, top = model_input.to_radiograph(x - 2, y - 2)
    right, bottom = model_input.to_radiograph(x + width + 2, y + height + 2)
    box_left, box_top = max(content.x, int(left)), max(content.y, int(top))
    box_right, box_bottom = (
        min(content.x + content.width, int(right) + 1),
        min(content.y + content.height, int(bottom) + 1),
    )
    return Box(box_left, box_top, box_right - box_left, box_bottom - box_top)


def _outline_tooth(labels: Labels, fdi: int, near: Box, area: int, confidence: float) -> Tooth:
    cut = (labels[near.y : near.y + near.height, near.x : near.x + near.width] == fdi).view(np.uint8)
    contours, _ = cv2.findContours(cut, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(near.x, near.y))
    x, y, width, height = cv2.boundingRect(cut)
    # A pixel's corner less or more is nothing in a large picture, and much of a tooth in a small one.
    tolerance = max(0.5, labels.shape[1] / 3000)
    polygons = (cv2.approxPolyDP(contour, tolerance, closed=True)[:, 0].tolist() for contour in contours)
    rings = tuple(tuple((px, py) for px, py in polygon) for polygon in polygons if len(polygon) > 2)
    return Tooth(fdi, confidence, area, Box(x + near.x, y + near.y, width, height), rings)


def confidences(labels: Labels, prediction: Prediction) -> dict[int, float]:
    """For each FDI number in `labels`, the mean probability of the model's word over the tooth's pixels."""
    flat = labels.ravel()
    areas = np.bincount(flat, minlength=49)
    sums = np.bincount(flat, weights=prediction.confidence.ravel(), minlength=49)
    return {int(fdi): float(sums[fdi] / areas[fdi] / 255) for fdi in np.flatnonzero(areas) if fdi}
