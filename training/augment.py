"""Changes a training picture as other patients, positions and machines would, its truth along with it.

Geometry comes first, in one resampling; then grey values. All of it draws from the generator it is given, so that an
epoch can be had again.
"""

import cv2
import numpy as np
import numpy.typing as npt

from service.dentition.fdi import FDI_NUMBERS, mirrored
from training.config import Augmentation
from training.pixels import Labels, Layer, Picture
from training.restorations import restore

_MIRRORED_CLASS = np.array([0, *(1 + FDI_NUMBERS.index(mirrored(fdi)) for fdi in FDI_NUMBERS)], np.uint8)

_GRID = (3, 5)
"""Points of the coarse grid that bends a picture, down and across."""


def augment(
    pixels: Picture, classes: Labels, numbered: bool, how: Augmentation, generator: np.random.Generator
) -> tuple[Picture, Labels]:
    """Change a prepared picture and its truth.

    Args:
        pixels: `(height, width)`, as `service.model.prepare` gives it.
        classes: the same shape; 0 background, 1..32 FDI numbers in order, or 1 for any tooth.
        numbered: whether the classes are the indices 1..32 of `FDI_NUMBERS`, so that a tooth's fellow on the other side
            and its arch are known; not so of 1 for any tooth, and of FDI numbers themselves.
    """
    if generator.random() < how.mirror:
        pixels, classes = mirror(pixels, classes, numbered)
    pixels, classes = restore(pixels, classes, numbered, how, generator)
    pixels, classes = _warp(pixels, classes, how, generator)
    return _change_grey(pixels, how, generator), classes


def mirror(pixels: Picture, classes: Labels, numbered: bool) -> tuple[Picture, Labels]:
    """Turn a picture left to right; a numbered tooth of the right side becomes its fellow of the left."""
    turned = classes[:, ::-1]
    renumbered = _MIRRORED_CLASS[turned] if numbered else turned
    return np.ascontiguousarray(pixels[:, ::-1]), np.ascontiguousarray(renumbered)


def _warp(
    pixels: Picture, classes: Labels, how: Augmentation, generator: np.random.Generator
) -> tuple[Picture, Labels]:
    height, width = pixels.shape
    even = generator.uniform
    angle = np.deg2rad(even(-how.rotate, how.rotate))
    scale = np.exp(even(-how.scale, how.scale))
    aspect = np.exp(even(-how.aspect, how.aspect) / 2)
    shear = even(-how.shear, how.shear)
    shift = np.array([even(-how.translate, how.translate) * width, even(-how.translate, how.translate) * height])
    shifts = even(-how.elastic, how.elastic, (2, *_GRID)).astype(np.float32) * height
    # A prepared picture squeezes the jaw but little: turning it in its own pixels is near to turning the patient.
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inverse = np.linalg.inv(turn @ np.array([[scale * aspect, shear], [0, scale / aspect]]))
    centre = np.array([width / 2, height / 2])
    # In float32 throughout, and the two directions apart until they are added: twice as soon as by whole grids.
    across, down = np.arange(width) - centre[0] - shift[0], np.arange(height) - centre[1] - shift[1]
    from_x, from_y = (
        (inverse[axis, 0] * across + centre[axis]).astype(np.float32)
        + (inverse[axis, 1] * down).astype(np.float32)[:, np.newaxis]
        for axis in (0, 1)
    )
    if how.elastic:
        from_x += cv2.resize(shifts[0], (width, height), interpolation=cv2.INTER_CUBIC)
        from_y += cv2.resize(shifts[1], (width, height), interpolation=cv2.INTER_CUBIC)
    if how.wide:
        wide = even(0, how.wide)
        from_x = squeeze_middle(from_x, width, wide)
        from_y = squeeze_middle(from_y, height, wide / 2)
    return (
        np.asarray(cv2.remap(pixels, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.uint8),
        np.asarray(cv2.remap(classes, from_x, from_y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT), np.uint8),
    )


def squeeze_middle(places: npt.NDArray[np.float32], length: int, much: float) -> npt.NDArray[np.float32]:
    """Where to take pixels from for the middle to be `1 + much` times smaller, the ends staying where they are.

    Args:
        places: along one side, in pixels.
        length: of that side, in pixels.
        much: 0 (nothing changes) to 0.5, beyond which places would change their order.
    """
    half = np.float32((length - 1) / 2)
    from_middle = np.clip(places / half - 1, -1, 1)
    return places + np.float32(much) * half * (from_middle - from_middle**3)


def _change_grey(pixels: Picture, how: Augmentation, generator: np.random.Generator) -> Picture:
    height, width = pixels.shape
    even, chance = generator.uniform, generator.random
    if chance() < how.local_contrast:
        pixels = cv2.createCLAHE(clipLimit=even(1.0, 4.0), tileGridSize=(4, 8)).apply(pixels)
    curve = (np.arange(256) / 255) ** np.exp(even(-how.gamma, how.gamma))
    grey: Layer = np.asarray(cv2.LUT(pixels, curve.astype(np.float32)), np.float32)
    if how.ramp:
        across, down = even(-how.ramp, how.ramp, 2)
        ramp = 1 + across * np.linspace(-1, 1, width)[None] + down * np.linspace(-1, 1, height)[:, None]
        grey = grey * ramp.astype(np.float32)
    grey = (grey - 0.5) * np.float32(1 + even(-how.contrast, how.contrast)) + np.float32(
        0.5 + even(-how.brightness, how.brightness)
    )
    sigma = even(0, how.blur) * height / 256
    if sigma > 0.3 and chance() < 0.5:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32)
    elif chance() < how.sharpen:
        grey = grey + np.float32(even(0.3, 1.5)) * (
            grey - np.asarray(cv2.GaussianBlur(grey, (0, 0), 2.0 * height / 256), np.float32)
        )
    if how.noise and chance() < 0.5:
        grey = grey + generator.standard_normal(grey.shape, np.float32) * np.float32(even(0, how.noise))
    if chance() < how.negative:
        grey = 1 - grey
    changed = np.clip(np.rint(grey * 255), 0, 255).astype(np.uint8)
    if chance() < how.jpeg:
        _, encoded = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, int(even(15, 80))])
        changed = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.uint8)
    return changed
