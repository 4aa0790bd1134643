"""Draws what is on panoramic radiographs and has no class: teeth beyond the 32, deciduous teeth, implants.

Drawn to show what a model does with them (`docs/limits.md`), not to train on.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from training.drawn_teeth import Anatomy, Placed, draw_tooth
from training.phantom import Phantom, draw_phantom
from training.pixels import Layer

_CONE: Final = Anatomy(crown=7.0, root=9.0, width=5.0, neck=3.6, depth=5.0, cusps=1, roots=1, lean=0)
"""A mesiodens: a small cone between the upper front teeth."""

_MILK_MOLAR: Final = Anatomy(crown=5.0, root=8.5, width=8.7, neck=7.2, depth=8.0, cusps=2, roots=2, lean=0)
"""A second deciduous molar: its crown is low and wide, its roots are short and stand apart."""

_METAL: Final = 1.6
"""By how much titanium weakens beside about 0.4 of a tooth's root."""

_PLAIN: Final = 1
"""A seed that gives these teeth no fillings."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that has no class.

    Attributes:
        name: of its picture.
        missing: FDI numbers of the teeth that are left out for it.
        draw: adds it to what weakens the rays, given where the patient's teeth stand.
    """

    name: str
    missing: Collection[int]
    draw: Callable[[Layer, dict[int, Placed]], None]


def draw_oddity(oddity: Oddity, seed: int) -> Phantom:
    """A drawn radiograph with it; the labels hold the permanent teeth alone."""
    return draw_phantom(seed, missing=oddity.missing, also=oddity.draw)


def _draw_beyond_32(canvas: Layer, places: dict[int, Placed]) -> None:
    """A mesiodens between the front teeth's roots, and a fourth molar behind each upper wisdom tooth."""
    between = (places[11].neck + places[21].neck) / 2 + 8 * places[11].along
    _draw(canvas, Placed(11, _CONE, between, 0.9 * places[11].across, places[11].along))
    for third, second in ((18, 17), (28, 27)):
        step = places[third].neck - places[second].neck
        _draw(canvas, replace(places[third], neck=places[third].neck + 0.9 * step + 2 * places[third].along))


def _draw_milk_molars(canvas: Layer, places: dict[int, Placed]) -> None:
    """A deciduous molar in the place of each second premolar, which has no germ."""
    for fdi in (15, 25, 35, 45):
        _draw(canvas, replace(places[fdi], anatomy=_MILK_MOLAR))


def _draw_implants(canvas: Layer, places: dict[int, Placed]) -> None:
    """A screw with a crown in the place of each lower first molar, and one without in that of an upper premolar."""
    for fdi in (36, 46, 15):
        place = places[fdi]
        along = np.linspace(0, 1, 60)
        half = 2.1 * (1 - 0.25 * along) * (1 - 0.12 * (0.5 + 0.5 * np.sin(2 * np.pi * 9 * along)))
        right, left = (np.stack([side * half, 0.5 + 11 * along], axis=1) for side in (1, -1))
        _weaken(canvas, place.to_canvas(np.concatenate([right, left[::-1]])))
        if fdi != 15:
            wide, tall = place.anatomy.width / 2, place.anatomy.crown
            crown = [
                [-1.8, 0.6],
                [-wide, -0.4 * tall],
                [-0.85 * wide, -tall],
                [0.85 * wide, -tall],
                [wide, -0.4 * tall],
            ]
            _weaken(canvas, place.to_canvas(np.array([*crown, [1.8, 0.6]])))


def _draw(canvas: Layer, tooth: Placed) -> None:
    draw_tooth(canvas, np.zeros(canvas.shape, np.uint8), tooth, np.random.default_rng(_PLAIN))


def _weaken(canvas: Layer, outline: npt.NDArray[np.float64]) -> None:
    cover = np.zeros(canvas.shape, np.uint8)
    cv2.fillPoly(cover, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    canvas += cover.astype(np.float32) * np.float32(_METAL / 255)


ODDITIES: Final = (
    Oddity("beyond-32", (), _draw_beyond_32),
    Oddity("deciduous", (15, 25, 35, 45, 18, 28, 38, 48), _draw_milk_molars),
    Oddity("implants", (36, 46, 15), _draw_implants),
)
"""Those that `docs/limits.md` shows."""
