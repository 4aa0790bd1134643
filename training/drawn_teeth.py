"""The teeth of a drawn radiograph: their shapes in millimetres, and what X-rays leave of them.

Lengths and widths are those of S. J. Nelson, Wheeler's Dental Anatomy, Physiology and Occlusion (table of measurements
of the teeth); where the arches lie on the picture, and how teeth lean, follows published panoramic radiographs.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from training.pixels import Labels, Layer, Points


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Mean measures of one kind of tooth, in millimetres.

    Attributes:
        crown, root: lengths along the axis.
        width, neck: mesiodistal, at the widest place and where enamel ends.
        depth: from cheek to tongue, the way that rays take through it.
        cusps: how many stand in a row, seen from the cheek; 0 for a cutting edge.
        roots: side by side, seen from the cheek.
        lean: degrees by which the root's tip lies behind its neck, away from the midline.
    """

    crown: float
    root: float
    width: float
    neck: float
    depth: float
    cusps: int
    roots: int
    lean: float


UPPER = (
    Anatomy(10.5, 13.0, 8.5, 7.0, 7.0, 0, 1, 2),
    Anatomy(9.0, 13.0, 6.5, 5.0, 6.0, 0, 1, 4),
    Anatomy(10.0, 17.0, 7.5, 5.5, 8.0, 1, 1, 1),
    Anatomy(8.5, 14.0, 7.0, 5.0, 9.0, 1, 1, -1),
    Anatomy(8.5, 14.0, 7.0, 5.0, 9.0, 1, 1, -4),
    Anatomy(7.5, 12.5, 10.0, 7.9, 11.0, 2, 3, -3),
    Anatomy(7.0, 11.5, 9.0, 7.6, 11.0, 2, 3, -14),
    Anatomy(6.5, 11.0, 8.5, 6.5, 10.0, 2, 3, -20),
)
"""From the midline outwards, tooth 1 to 8 of an upper quadrant."""

LOWER = (
    Anatomy(9.0, 12.5, 5.0, 3.5, 6.0, 0, 1, 2),
    Anatomy(9.5, 14.0, 5.5, 4.0, 6.5, 0, 1, 3),
    Anatomy(11.0, 16.0, 7.0, 5.5, 7.5, 1, 1, 5),
    Anatomy(8.5, 14.0, 7.0, 5.0, 7.5, 1, 1, 9),
    Anatomy(8.0, 14.5, 7.0, 5.0, 8.0, 1, 1, 15),
    Anatomy(7.5, 14.0, 11.0, 9.2, 10.5, 3, 2, 22),
    Anatomy(7.0, 13.0, 10.5, 9.0, 10.0, 2, 2, 28),
    Anatomy(7.0, 11.0, 10.0, 8.5, 9.5, 2, 2, 32),
)
"""The same for a lower quadrant."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """One tooth at its place.

    Attributes:
        fdi: FDI number.
        anatomy: its own measures, in millimetres.
        neck: `(x, y)` of the middle of its neck, in pixels of the canvas.
        across, along: pixels of the canvas to a millimetre across the tooth and towards the root's tip.
    """

    fdi: int
    anatomy: Anatomy
    neck: Points
    across: Points
    along: Points

    def to_canvas(self, points: Points) -> Points:
        """Millimetres, away from the midline and towards the root's tip, to `(x, y)` pixels of the canvas."""
        placed: Points = self.neck + points[..., :1] * self.across + points[..., 1:] * self.along
        return placed


def draw_tooth(canvas: Layer, labels: Labels, tooth: Placed, generator: np.random.Generator) -> None:
    """Add a tooth to what X-rays are weakened by, and its FDI number to the label map.

    Args:
        canvas: `(height, width)` `float32`, changed; where two teeth overlap, both weaken.
        labels: `(height, width)` `uint8`, changed; where two teeth overlap, the later one stands.
        tooth: what to draw, wholly inside the canvas or cut off at its edge.
        generator: of fillings and of small differences.
    """
    anatomy = tooth.anatomy
    crown, roots, canals = _outlines(anatomy, generator)
    corner, shape = _surroundings(canvas, np.concatenate([tooth.to_canvas(part) for part in (crown, *roots)]))
    if min(shape) <= 0:
        return

    def fill(*outlines: Points) -> Layer:
        mask = np.zeros(shape, np.uint8)
        for outline in outlines:
            # One call each: together, overlapping outlines would cancel out.
            cv2.fillPoly(mask, [np.rint((tooth.to_canvas(outline) - corner) * 16).astype(np.int32)], 255, shift=4)
        return mask.astype(np.float32) / np.float32(255)

    millimetre = float(np.linalg.norm(tooth.along))
    soft_crown = blur(fill(crown), 0.7 * millimetre)
    soft = blur(fill(crown, *roots), 0.25 * millimetre)
    inside = soft > 0.5
    depth = np.asarray(cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5), np.float32) / millimetre
    # A round body is thin at its edge: the way through it grows with the root of the depth.
    body = np.sqrt(np.clip(depth / (0.4 * anatomy.neck), 0, 1))
    # Enamel is seen edge on along the crown's outline, so it is brightest there.
    enamel = 0.25 + 0.75 * np.exp(-np.square((depth - 0.7) / 0.9))
    weight = soft * (0.08 + 0.16 * body) + soft * soft_crown * (0.06 + 0.30 * enamel)
    weight *= 0.5 + 0.055 * anatomy.depth
    weight -= 0.10 * blur(fill(*canals), 0.32 * millimetre) * soft
    for outline, more in _repairs(anatomy, crown, canals, generator):
        weight += more * blur(fill(outline), 0.12 * millimetre) * soft
    rim = blur(np.asarray(cv2.dilate(inside.astype(np.uint8), np.ones((5, 5), np.uint8)), np.float32), 0.8) - soft
    weight -= 0.05 * np.clip(rim, 0, 1) * (1 - blur(fill(crown), 0.8 * millimetre))
    x, y = corner
    window = np.s_[y : y + shape[0], x : x + shape[1]]
    canvas[window] += weight.astype(np.float32)
    labels[window][inside] = tooth.fdi


def _surroundings(canvas: Layer, points: Points) -> tuple[npt.NDArray[np.int64], tuple[int, int]]:
    """Corner `(x, y)` and shape of the part of the canvas around some points, with room for their blur."""
    limits = np.array(canvas.shape[::-1])
    corner = np.clip(np.floor(points.min(axis=0)).astype(np.int64) - 8, 0, limits)
    end = np.clip(np.ceil(points.max(axis=0)).astype(np.int64) + 9, 0, limits)
    width, height = (end - corner).tolist()
    return corner, (height, width)


def _outlines(anatomy: Anatomy, generator: np.random.Generator) -> tuple[Points, list[Points], list[Points]]:
    """Crown, roots and pulp of a tooth, each a ring of points in millimetres around the middle of its neck."""
    half, neck = anatomy.width / 2, anatomy.neck / 2
    rise = np.linspace(0, 1, 12)
    side = np.interp(rise, [0, 0.35, 0.7, 0.9, 1], [neck, 0.6 * half + 0.4 * neck, half, 0.96 * half, 0.82 * half])
    across = np.linspace(-1, 1, 25)[1:-1]
    if anatomy.cusps == 0:
        edge = 1 - 0.04 * np.abs(across) ** 3
    elif anatomy.cusps == 1:
        edge = 1.04 - 0.17 * np.abs(across) ** 1.3
    else:
        edge = 0.93 + 0.08 * np.abs(np.sin(np.pi * anatomy.cusps * (across + 1) / 2))
    sides = np.minimum(rise, 0.88) * anatomy.crown
    crown = np.concatenate(
        [
            np.stack([-side, -sides], 1),
            np.stack([0.84 * half * across, -edge * anatomy.crown], 1),
            np.stack([side, -sides], 1)[::-1],
            # Enamel reaches a little further down in the middle of the cheek's side.
            [[0.5 * neck, 0.5], [-0.5 * neck, 0.5]],
        ]
    )
    bend = generator.normal(0, 0.6)
    canals = [_chamber(-0.55 * anatomy.crown, 0.10 * neck, 0.12 * anatomy.root, 0.30 * neck)]
    if anatomy.roots == 1:
        roots = [_root(0.0, bend, neck, anatomy.root)]
        middles = [(0.0, bend, anatomy.root)]
    else:
        spread = 0.5 * neck
        apart = generator.uniform(0.1, 0.35) * neck
        middles = [(-spread, -apart, 0.96 * anatomy.root), (spread, apart, anatomy.root)]
        roots = [_root(middle, shift + bend, 0.5 * neck, length) for middle, shift, length in middles]
        trunk = 0.3 * anatomy.root
        roots.append(np.array([[-neck, -0.2], [neck, -0.2], [0.97 * neck, trunk], [-0.97 * neck, trunk]]))
        if anatomy.roots == 3:
            roots.append(_root(0.0, bend, 0.5 * neck, 1.04 * anatomy.root))
        canals[0] = _chamber(-0.4 * anatomy.crown, 0.42 * neck, 0.15 * anatomy.root, 0.36 * neck)
        middles = [(middle, shift + bend, length) for middle, shift, length in middles]
    canals += [
        _root(middle, shift, 0.13 * neck if anatomy.roots == 1 else 0.09 * neck, 0.93 * length)
        for middle, shift, length in middles
    ]
    return crown, roots, canals


def _repairs(
    anatomy: Anatomy, crown: Points, canals: list[Points], generator: np.random.Generator
) -> list[tuple[Points, float]]:
    """What dentists have put in: a ring of points, and how much each weakens; a crown, a root filling, a filling."""
    drawn = generator.random(3)
    repairs = [(crown, 0.45)] if drawn[0] < 0.03 else []
    if drawn[1] < 0.03:
        # The chamber stays dark under what closes it.
        repairs += [(canal, 0.4) for canal in canals[1:]]
    # Amalgam lies where food is chewed; what fills front teeth is hardly seen.
    if drawn[2] < (0.25 if anatomy.roots > 1 else 0.10 if anatomy.cusps else 0.0):
        angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        size = generator.uniform(0.75, 1.2, 14)[:, None] * [
            generator.uniform(0.2, 0.38) * anatomy.width,
            0.2 * anatomy.crown,
        ]
        middle = np.array([generator.uniform(-0.15, 0.15) * anatomy.width, -0.8 * anatomy.crown])
        repairs.append((middle + size * np.stack([np.cos(angles), np.sin(angles)], 1), generator.uniform(0.3, 0.6)))
    return repairs


def _root(middle: float, shift: float, half: float, length: float) -> Points:
    """A root that narrows to a round tip, `shift` to the side of where it began."""
    along = np.linspace(0, 1, 16)
    centre = middle + shift * along**2
    width = half * (1 - along**6) ** 0.5 * (1 - 0.5 * along)
    right, left = (np.stack([centre + sign * width, along * length], 1) for sign in (1, -1))
    return np.concatenate([[[middle + half, -0.3]], right, left[::-1], [[middle - half, -0.3]]])


def _chamber(top: float, top_half: float, floor: float, floor_half: float) -> Points:
    """The hollow of a crown, between two heights with a half width at either."""
    return np.array([[-top_half, top], [top_half, top], [floor_half, floor], [-floor_half, floor]])


def blur(picture: Layer, sigma: float) -> Layer:
    """A Gaussian blur of at least 0.3 pixels.

    Args:
        picture: `(height, width)` `float32`.
        sigma: in pixels.
    """
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.3)), np.float32)
