"""Paints over teeth in training pictures: gaps, implants, bridges and crowns, which the data show too rarely.

Implants and the elements of bridges are no teeth, neither here nor in the annotation of UFBA-425, though their crowns
look like crowns of teeth: only the root tells. So both are taught side by side: teeth with metal crowns, which stay
teeth, and crowns on screws or on nothing, which are none.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS
from training.config import Augmentation
from training.pixels import Labels, Layer, Mask, Picture

_UPPER_CLASSES = frozenset(number for number, fdi in enumerate(FDI_NUMBERS, start=1) if fdi < 30)


def restore(
    pixels: Picture, classes: Labels, numbered: bool, how: Augmentation, generator: np.random.Generator
) -> tuple[Picture, Labels]:
    """Crown some teeth; take some away, leaving a gap, a screw, a screw with a crown, or a crown that hangs on others.

    Args:
        pixels: `(height, width)`, prepared.
        classes: the same shape; 0 background.
        numbered: whether the classes are the indices 1..32 of `FDI_NUMBERS`, so that a tooth's arch is known, and with
            it the crown's end from the root's; without, there are only gaps, where all teeth have one class of all or
            of none.
    """
    crowned = numbered and generator.random() < how.crowns
    removed = generator.random() < how.remove_teeth
    if not (crowned or removed) or not classes.any():
        return pixels, classes
    changed = pixels.astype(np.float32)
    if crowned:
        for number in _some_of(classes, generator, 0.4):
            _crown(changed, _Shape.of(classes, number), changed, generator)
    if removed:
        # From a single tooth to nearly all: jaws with few teeth are the rarest, and the hardest.
        gone = _some_of(classes, generator, 0.95)
        before = changed
        changed = _paint_over(changed, classes, np.isin(classes, gone))
        replaced = generator.uniform(0, 0.7) if numbered and generator.random() < how.implants else 0.0
        for number in gone:
            if generator.random() < replaced:
                _replace(changed, _Shape.of(classes, number), before, generator)
        classes = np.where(np.isin(classes, gone), 0, classes).astype(np.uint8)
    return np.clip(np.rint(changed), 0, 255).astype(np.uint8), classes


def remove_all(pixels: Picture, classes: Labels) -> Picture:
    """A picture with all its teeth painted over: a jaw without teeth.

    Args:
        pixels: `(height, width)`, prepared.
        classes: the same shape; 0 background.
    """
    return np.asarray(np.clip(np.rint(_paint_over(pixels.astype(np.float32), classes, classes > 0)), 0, 255), np.uint8)


def _some_of(classes: Labels, generator: np.random.Generator, most: float) -> npt.NDArray[np.uint8]:
    numbers = np.unique(classes[classes > 0])
    return numbers[generator.random(numbers.size) < generator.uniform(0, most)]


def _paint_over(pixels: Layer, classes: Labels, gone: Mask) -> Layer:
    """Paint teeth over with what surrounds them all, as a gap in the row looks."""
    height = pixels.shape[0]
    around = (cv2.dilate((classes > 0).view(np.uint8), np.ones((3, 3), np.uint8)) == 0).astype(np.float32)
    spread = height / 20
    bone = _blur_widely(pixels * around, spread) / np.maximum(_blur_widely(around, spread), 1e-3)
    # The rim is blended over a few pixels. Of the tooth only the grain stays: its edges, left faint, would teach that
    # faint teeth are none.
    share = cv2.GaussianBlur(cv2.dilate(gone.astype(np.float32), np.ones((5, 5), np.uint8)), (0, 0), height / 200)
    grain = np.clip(pixels - cv2.GaussianBlur(pixels, (0, 0), 1.0), -4, 4)
    return np.asarray(pixels * (1 - share) + (bone + grain) * share, np.float32)


def _blur_widely(layer: Layer, sigma: float) -> Layer:
    """As a Gaussian blur of many pixels, in a fifth of its time: made of a picture of a quarter of the size."""
    height, width = layer.shape
    small = cv2.resize(layer, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / 4), (width, height)), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """Where a tooth lies, and which way it points.

    Attributes:
        mask: `(height, width)`, 0 or 1.
        along: of each pixel, how far along the tooth it is: 0 at the tip of the root, 1 at the chewing edge.
        centre, axis: in pixels; the axis reaches from the tip of the root to the chewing edge.
        width: across the axis, in pixels.
    """

    mask: npt.NDArray[np.uint8]
    along: Layer
    centre: npt.NDArray[np.float64]
    axis: npt.NDArray[np.float64]
    width: float

    @classmethod
    def of(cls, classes: Labels, number: int) -> "_Shape":
        mask = (classes == number).view(np.uint8)
        points = cv2.findNonZero(mask).reshape(-1, 2).astype(np.float64)
        centre = points.mean(axis=0)
        # Of a single pixel too, which a slip of the pen leaves.
        spread, directions = np.linalg.eigh(np.cov(points.T, ddof=0) + 0.1 * np.eye(2))
        axis = directions[:, 1]
        if (axis[1] > 0) != (number in _UPPER_CLASSES):
            axis = -axis
        reach = (points - centre) @ axis
        low, high = float(reach.min()), float(reach.max())
        length = max(high - low, 1.0)
        across = (np.arange(mask.shape[1]) - centre[0]) * axis[0] - low
        down = (np.arange(mask.shape[0]) - centre[1]) * axis[1]
        along = (across / length).astype(np.float32) + (down / length).astype(np.float32)[:, np.newaxis]
        middle = centre + axis * (low + high) / 2
        return cls(mask, along, middle, axis * length, float(np.sqrt(12 * spread[0])))


def _crown(pixels: Layer, shape: _Shape, before: Layer, generator: np.random.Generator) -> None:
    """Cover the chewing end of a tooth with metal or porcelain."""
    box = _box(*cv2.boundingRect(shape.mask))
    end = shape.mask[box] * (shape.along[box] > 1 - generator.uniform(0.25, 0.5))
    closed = cv2.morphologyEx(end, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    cover = cv2.GaussianBlur(closed.astype(np.float32), (0, 0), 0.7)
    if generator.random() < 0.7:
        bright = generator.uniform(215, 255) + 0.1 * (before[box] - 200)
    else:
        bright = before[box] + generator.uniform(10, 60)
    pixels[box] += (bright - pixels[box]) * cover


def _box(x: int, y: int, width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns of a box, with what a small blur spreads around it."""
    return slice(max(0, y - 6), y + height + 6), slice(max(0, x - 6), x + width + 6)


def _replace(pixels: Layer, shape: _Shape, before: Layer, generator: np.random.Generator) -> None:
    """Put a screw, a crown, or a crown on a screw where a tooth was."""
    kind = generator.choice(["screw", "screw with crown", "hanging crown"], p=[0.3, 0.45, 0.25])
    if kind != "hanging crown":
        box, cover = _draw_screw(shape, generator)
        pixels[box] += (generator.uniform(205, 255) - pixels[box]) * cover
    if kind != "screw":
        _crown(pixels, shape, before, generator)


def _draw_screw(shape: _Shape, generator: np.random.Generator) -> tuple[tuple[slice, slice], Layer]:
    """How far an implant covers pixels of a box: a threaded, tapered cylinder, about 4 mm wide to 22 mm of tooth."""
    length = float(np.hypot(*shape.axis))
    radius = min(generator.uniform(0.07, 0.11) * length, 0.4 * shape.width)
    start, end = generator.uniform(0.5, 0.75), generator.uniform(-0.05, 0.25)
    taper, threads, depth = generator.uniform(0.6, 1.0), generator.uniform(6, 12), generator.uniform(0, 0.2)
    steps = np.linspace(0, 1, 40)
    radii = radius * (1 - (1 - taper) * steps) * (1 - depth * (0.5 + 0.5 * np.sin(2 * np.pi * threads * steps)))
    spine = shape.centre + np.outer(start + (end - start) * steps - 0.5, shape.axis)
    across = np.array([-shape.axis[1], shape.axis[0]]) / length
    outline = np.concatenate([spine + radii[:, None] * across, (spine - radii[:, None] * across)[::-1]])
    cover = np.zeros(shape.mask.shape, np.uint8)
    cv2.fillPoly(cover, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    box = _box(*cv2.boundingRect(cover))
    return box, np.asarray(cv2.GaussianBlur(cover[box].astype(np.float32) / 255, (0, 0), 0.6), np.float32)
