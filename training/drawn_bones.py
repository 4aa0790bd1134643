"""All of a drawn radiograph but its teeth: soft tissue, jaws, sinuses, palate, spine, and the grain of bone.

Places are `(x, y)` in halves of the picture's width from the middle of its upper edge: x from -1 (the patient's right)
to 1, y from 0 to 1.
"""

import cv2
import numpy as np

from training.drawn_teeth import blur
from training.pixels import Layer, Points

_LOWER_BORDER = (
    (0, 0.93),
    (0.12, 0.935),
    (0.3, 0.90),
    (0.5, 0.82),
    (0.68, 0.72),
    (0.80, 0.63),
    (0.86, 0.55),
    (0.875, 0.46),
)
"""The mandible from the chin to its angle."""

_RAMUS = (
    (0.875, 0.46),
    (0.87, 0.34),
    (0.90, 0.22),
    (0.91, 0.15),
    (0.885, 0.12),
    (0.85, 0.13),
    (0.83, 0.20),
    (0.78, 0.25),
)
_RAMUS_FRONT = ((0.74, 0.24), (0.70, 0.20), (0.67, 0.24), (0.655, 0.35), (0.63, 0.45), (0.60, 0.50))
"""From the angle up to the condyle and the notch; from the coronoid process down to the last molar."""


def draw_bones(
    shape: tuple[int, int], upper_crest: Points, lower_crest: Points, generator: np.random.Generator
) -> Layer:
    """What X-rays are weakened by before any tooth.

    Args:
        shape: height and width of the canvas, in pixels.
        upper_crest: `(n, 2)` edge of the upper jaw's bone towards the mouth, from the picture's left to its right.
        lower_crest: the same of the lower jaw.
        generator: of everything that differs from patient to patient.

    Returns:
        `shape`, about 0 (air) to 1.
    """
    height, width = shape
    even = generator.uniform
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x + 0.5) * 2 / width - 1, (y + 0.5) / height
    size = even(0.97, 1.06)
    upper_crest, lower_crest = _smooth(upper_crest), _smooth(lower_crest)

    def fill(points: Points, sigma: float) -> Layer:
        mask = np.zeros(shape, np.uint8)
        pixels = (points * [width / 2, height] + [width / 2, 0]) * 16
        cv2.fillPoly(mask, [np.rint(pixels).astype(np.int32)], 255, shift=4)
        return blur(mask.astype(np.float32) / np.float32(255), sigma * height)

    def stroke(points: Points, thickness: float, sigma: float) -> Layer:
        mask = np.zeros(shape, np.uint8)
        pixels = np.rint((_smooth(points) * [width / 2, height] + [width / 2, 0]) * 16).astype(np.int32)
        cv2.polylines(mask, [pixels], False, 255, max(1, round(thickness * height)), shift=4)
        return blur(mask.astype(np.float32) / np.float32(255), sigma * height)

    def disc(at: tuple[float, float], radius: tuple[float, float], edge: float) -> Layer:
        far = np.sqrt(((x - at[0]) / radius[0]) ** 2 + ((y - at[1]) / radius[1]) ** 2)
        return np.asarray(1 / (1 + np.exp(np.clip((far - 1) / edge, -30, 30))), np.float32)

    def both(points: tuple[tuple[float, float], ...]) -> tuple[Points, Points]:
        right = np.array(points) * [size, 1]
        return right, right * [-1, 1]

    # Soft tissue: cheeks and neck, lighter towards the corners below, and the spine's shadow across the middle.
    canvas = 0.10 + 0.16 * disc((0, 0.5), (0.95, 0.62), 0.08) + 0.03 * _cloud(shape, (4, 8), generator)
    canvas -= 0.10 * disc((0, 1.05), (0.8, 0.13), 0.15)
    spine = np.exp(-np.square(x / even(0.10, 0.18))) * np.clip((y - 0.45) * 2, 0, 1)
    canvas += even(0.03, 0.10) * spine
    for side in (-1, 1):
        canvas += even(0.05, 0.15) * disc((side * 1.03, 0.55), (0.10, 0.5), 0.15) * (1 + 0.3 * np.sin(y * 40))

    # The lower jaw: thicker towards its border, bright where its cortex is.
    border, ramus, front = (both(part) for part in (_LOWER_BORDER, _RAMUS, _RAMUS_FRONT))
    jaw = np.concatenate([*(_smooth(part[0]) for part in (border, ramus, front)), lower_crest[::-1]])
    jaw = np.concatenate([jaw, *(_smooth(part[1])[::-1] for part in (front, ramus, border))])
    mandible = fill(jaw, 0.007)
    canvas += even(0.13, 0.20) * mandible
    for edge in border:
        canvas += 0.09 * stroke(edge - np.array([0, 0.010]), 0.016, 0.005)
    for edge in ramus:
        canvas += 0.04 * stroke(edge, 0.010, 0.006)
    for side in (-1, 1):
        canal = np.array([(0.66, 0.5), (0.56, 0.66), (0.42, 0.75), (0.27, 0.77)]) * [side * size, 1]
        canvas -= 0.03 * stroke(canal, 0.016, 0.004)
        # Air behind the tongue lies across the rami, the hyoid bone below the angles.
        airway = np.array([(0.72, 0.1), (0.66, 0.35), (0.72, 0.6), (0.82, 0.8)]) * [side, 1]
        canvas -= even(0.03, 0.10) * stroke(airway, 0.09, 0.03)
        canvas += 0.10 * stroke(np.array([(0.7, 0.93), (0.76, 0.88), (0.86, 0.89)]) * [side, 1], 0.03, 0.008)

    # The upper jaw, hollowed by the sinuses and the nose.
    top = np.array([(0.62, 0.33), (0.55, 0.24), (0.4, 0.16), (0, 0.14)]) * [size, 1]
    maxilla = fill(np.concatenate([upper_crest, top, top[::-1] * [-1, 1]]), 0.012)
    canvas += even(0.12, 0.18) * maxilla
    mouth = np.concatenate([upper_crest, lower_crest[::-1]])
    canvas -= 0.13 * fill(mouth, 0.010) * disc((0, 0.52), (0.62, 0.3), 0.06)
    palate = 0.27 + even(-0.02, 0.02)
    arch = np.array([(step, palate + 0.04 * step**2 / 0.16) for step in np.linspace(-0.5, 0.5, 9)])
    canvas -= even(0.02, 0.10) * stroke(arch + np.array([0, 0.055]), 0.035, 0.012)
    canvas += even(0.10, 0.18) * stroke(arch, 0.014, 0.006) + 0.06 * stroke(arch * [0.95, 1] - [0, 0.035], 0.03, 0.012)
    for side in (-1, 1):
        sinus = (side * even(0.30, 0.36), even(0.13, 0.17))
        hollow, wall = disc(sinus, (0.22, 0.16), 0.03), disc(sinus, (0.235, 0.172), 0.02)
        canvas += 0.05 * (wall - hollow) - even(0.06, 0.12) * hollow
        canvas -= 0.10 * disc((side * 0.07, 0.13), (0.055, 0.12), 0.08)
        zygoma = np.array([(0.50, 0.02), (0.47, 0.12), (0.46, 0.22), (0.40, 0.27)]) * [side * size, 1]
        canvas += 0.12 * stroke(zygoma, 0.008, 0.003)
        canvas += 0.10 * stroke(np.array([(0.52, 0.2), (0.7, 0.12), (0.95, 0.09)]) * [side, 1], 0.04, 0.012)
        skull = np.clip(0.13 - y - 0.1 * (1 - np.abs(x)), 0, 1) * np.clip(side * x * 2 - 0.6, 0, 1)
        # The skull's base is a tangle of fine bright lines.
        threads = 1.5 - np.abs(_cloud(shape, (24, 40), generator)) - 0.7 * np.abs(_cloud(shape, (60, 90), generator))
        canvas += 1.8 * skull * np.clip(threads, 0.2, None)
    canvas += 0.12 * np.exp(-np.square(x / 0.012)) * (y < palate)

    # What lies off the plane in focus is smeared sideways.
    canvas += 0.035 * _cloud(shape, (30, 6), generator) * np.clip(1.1 - 2.4 * y, 0.15, 1)
    grain = 0.5 * _cloud(shape, (height // 4, width // 4), generator) + 0.5 * _cloud(
        shape, (height // 9, width // 9), generator
    )
    canvas += 0.018 * grain * np.maximum(mandible, maxilla)
    return np.asarray(canvas, np.float32)


def _cloud(shape: tuple[int, int], points: tuple[int, int], generator: np.random.Generator) -> Layer:
    """Smooth noise of deviation about 1, with so many points down and across."""
    coarse = generator.standard_normal(points, np.float32)
    return np.asarray(cv2.resize(coarse, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _smooth(points: Points) -> Points:
    """A line through the points, rounded (Chaikin 1974) twice; its ends stay."""
    for _ in range(2):
        cut = np.stack([0.75 * points[:-1] + 0.25 * points[1:], 0.25 * points[:-1] + 0.75 * points[1:]], 1)
        points = np.concatenate([points[:1], cut.reshape(-1, 2), points[-1:]])
    return points
