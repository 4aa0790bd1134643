"""A drawn panoramic radiograph with its truth, from a seed alone: no patient's data, no download.

    python -m training.phantom --seed 7 --out phantom.png --truth labels.png

It is there to try the service, to test, and to train where there are no radiographs; what a model is worth is told by
radiographs alone.
"""

import argparse
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from service.dentition.fdi import FDI_NUMBERS
from training.drawn_bones import draw_bones
from training.drawn_teeth import LOWER, UPPER, Anatomy, Placed, draw_tooth
from training.pixels import Labels, Layer, Picture, Points

if TYPE_CHECKING:
    from training.data.samples import Sample

_HEIGHT, _WIDTH = 720, 1440
"""The canvas that everything is drawn on, in pixels; other sizes are resized from it."""

_MILLIMETRE = 0.0050 * _WIDTH
"""Pixels of the canvas to a millimetre of a front tooth's width."""


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A drawn radiograph.

    Attributes:
        pixels: `(height, width)` `uint8`, bright where the patient is dense.
        labels: `(height, width)` `uint8`; a pixel's FDI number, 0 where there is no tooth.
    """

    pixels: Picture
    labels: Labels


def draw_phantom(
    seed: int,
    height: int = _HEIGHT,
    width: int = _WIDTH,
    missing: Collection[int] | None = None,
    also: Callable[[Layer, dict[int, Placed]], None] | None = None,
) -> Phantom:
    """Draw a radiograph; the same arguments give the same picture.

    Args:
        seed: of everything that differs from patient to patient; not negative.
        height: of the picture, in pixels.
        width: of the picture, in pixels; a panoramic is about twice as wide as high.
        missing: FDI numbers of the teeth to leave out; None leaves it to the seed.
        also: adds to what weakens the rays, in pixels of the canvas, what is no tooth of the 32, given where every
            tooth has its place; the labels know nothing of it.

    Raises:
        ValueError: `missing` holds what is no FDI number, or `seed` is negative.
    """
    if missing is not None and not set(missing) <= set(FDI_NUMBERS):
        raise ValueError("missing holds a number that is not the FDI number of a permanent tooth")
    generator = np.random.default_rng(seed)
    lost = _lose_teeth(generator)
    absent = lost if missing is None else set(missing)
    places = _place_teeth(generator)
    upper_crest, lower_crest = (_crest(places, absent, upper) for upper in (True, False))
    canvas = draw_bones((_HEIGHT, _WIDTH), upper_crest, lower_crest, generator)
    labels = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    # A stream of its own for each tooth, so that leaving one out changes no other.
    streams = generator.spawn(len(FDI_NUMBERS))
    for fdi, stream in zip(FDI_NUMBERS, streams, strict=True):
        if fdi not in absent:
            draw_tooth(canvas, labels, places[fdi], stream)
    if also is not None:
        also(canvas, places)
    return Phantom(_expose(canvas, height, width, generator), _resize_labels(labels, height, width))


def draw_samples(count: int, seed: int) -> tuple["Sample", ...]:
    """Draw `count` radiographs for training, those of the seeds from `seed` on, each as the bytes of a PNG as well."""
    # Here alone, so that a phantom can be drawn where only the service is installed.
    from training.data.samples import Sample

    samples = []
    for one in range(seed, seed + count):
        phantom = draw_phantom(one)
        data = cv2.imencode(".png", phantom.pixels)[1].tobytes()
        samples.append(Sample(f"phantom-{one}.png", data, phantom.pixels, phantom.labels))
    return tuple(samples)


def _lose_teeth(generator: np.random.Generator) -> set[int]:
    """Which teeth a patient lacks: wisdom teeth often, first molars now and then, front teeth hardly ever."""
    chances = generator.random(len(FDI_NUMBERS))
    shares = (0.005, 0.01, 0.005, 0.03, 0.03, 0.08, 0.05, 0.4)
    return {fdi for fdi, chance in zip(FDI_NUMBERS, chances, strict=True) if chance < shares[fdi % 10 - 1]}


def _place_teeth(generator: np.random.Generator) -> dict[int, Placed]:
    """Every tooth's place, whether or not it will be drawn."""
    even = generator.uniform
    size, middle = even(0.95, 1.05), even(-0.012, 0.012) * _WIDTH + _WIDTH / 2
    bite, gap, curve = even(0.55, 0.59) * _HEIGHT, even(0.008, 0.028) * _HEIGHT, even(0.3, 0.62)
    tilt = np.deg2rad(even(-2, 2))
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    pivot = np.array([middle, bite])
    places = {}
    for quadrant in (1, 2, 3, 4):
        upper, side = quadrant <= 2, 1 if quadrant in (2, 3) else -1
        out = 0.0
        for position, mean in enumerate(UPPER if upper else LOWER):
            fdi = 10 * quadrant + position + 1
            own = _vary(mean, generator)
            # Molars are shown wider than front teeth, and lower front teeth, which lean forward, shorter.
            wide = size * _MILLIMETRE * (1.0 + 0.045 * max(0, position - 3) + (0 if upper else 0.03))
            tall = size * _MILLIMETRE * (0.96 if upper else 0.82 + 0.035 * min(position, 5))
            out += own.width * wide / 2
            smile = curve * (out / _WIDTH) ** 2 * _WIDTH
            lean = np.deg2rad(own.lean + generator.normal(0, 2.5 if position < 7 else 9))
            down = -1 if upper else 1
            outwards, tipwards = np.array([side, 0.0]), np.array([0.0, down])
            along = np.cos(lean) * tipwards + np.sin(lean) * outwards
            across = np.cos(lean) * outwards - np.sin(lean) * tipwards
            late = abs(generator.normal(0, 1.5)) * tall * (position == 7)
            tip = np.array(
                [middle + side * out, bite - smile + down * (gap / 2 + abs(generator.normal(0, 0.4)) * tall + late)]
            )
            # A crown stands over its place in the row with its middle, not with its tip.
            neck = tip + 0.5 * own.crown * tall * (tipwards + along)
            neck[1] = tip[1] + own.crown * tall * down * np.cos(lean)
            out += own.width * wide / 2
            place = pivot + turn @ (neck - pivot)
            # Rays pass the premolars aslant, so that neighbours overlap.
            overlap = (1.0, 1.0, 1.06, 1.12, 1.12, 1.05, 1.05, 1.0)[position]
            places[fdi] = Placed(fdi, own, place, turn @ across * wide * overlap, turn @ along * tall)
    return places


def _vary(mean: Anatomy, generator: np.random.Generator) -> Anatomy:
    """A patient's own tooth; measures differ by some percent."""
    wide, high, root = 1 + generator.normal(0, 0.04, 3)
    return replace(mean, crown=mean.crown * high, root=mean.root * root, width=mean.width * wide, neck=mean.neck * wide)


def _crest(places: dict[int, Placed], absent: set[int], upper: bool) -> Points:
    """The bone's edge between the teeth, in the places of `draw_bones`; bone without a tooth shrinks."""
    right, left = (10, 20) if upper else (40, 30)
    points = []
    for fdi in [right + n for n in range(8, 0, -1)] + [left + n for n in range(1, 9)]:
        # Behind the last tooth the bone goes on to the ramus.
        if fdi % 10 == 8 and fdi in absent:
            continue
        half, depth = places[fdi].anatomy.width / 2, 4.0 if fdi in absent else 1.2
        edges = places[fdi].to_canvas(np.array([[-half, depth], [half, depth]]))
        points.append(edges if fdi // 10 * 10 == left else edges[::-1])
    crest: Points = (np.concatenate(points) - [_WIDTH / 2, 0]) / [_WIDTH / 2, _HEIGHT]
    return crest


def _expose(canvas: Layer, height: int, width: int, generator: np.random.Generator) -> Picture:
    """The picture that a machine makes of what weakens its rays: unsharp, grainy, with its own brightness."""
    even = generator.uniform
    blurred = cv2.GaussianBlur(canvas, (0, 0), even(0.9, 1.5))
    interpolation = cv2.INTER_AREA if width < _WIDTH else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(blurred, (width, height), interpolation=interpolation), np.float32)
    # Film saturates towards white.
    grey = 1 - np.exp(-even(1.3, 1.7) * np.clip(resized, 0, None))
    grey = np.clip((grey - even(0.03, 0.10)) * even(1.1, 1.4), 0, 1) ** even(0.85, 1.2)
    shade = 1 + even(-0.08, 0.08) * np.linspace(-1, 1, width)
    grain = cv2.GaussianBlur(generator.standard_normal((height, width), np.float32), (0, 0), 0.7)
    exposed = grey * shade + even(0.008, 0.02) * grain
    return np.asarray(np.clip(np.rint(exposed * 255), 0, 255), np.uint8)


def _resize_labels(labels: Labels, height: int, width: int) -> Labels:
    """The label map at the picture's size, each tooth its largest piece; what a neighbour cut off belongs to none."""
    resized = np.asarray(cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    for fdi in np.unique(resized[resized > 0]):
        tooth = (resized == fdi).view(np.uint8)
        left, top, wide, high = cv2.boundingRect(tooth)
        box = np.s_[top : top + high, left : left + wide]
        _, pieces, stats, _ = cv2.connectedComponentsWithStats(tooth[box], connectivity=4)
        largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
        resized[box][(tooth[box] > 0) & (pieces != largest)] = 0
    return resized


def main() -> None:
    """Write a phantom, and its truth where asked for."""
    parser = argparse.ArgumentParser(prog="python -m training.phantom", description="Draw a panoramic radiograph.")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True, help="the picture, a PNG")
    parser.add_argument("--truth", type=Path, help="the label map, a PNG: a pixel's value is its tooth's FDI number")
    arguments = parser.parse_args()
    phantom = draw_phantom(arguments.seed)
    for path, picture in ((arguments.out, phantom.pixels), (arguments.truth, phantom.labels)):
        if path is not None:
            path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


if __name__ == "__main__":
    main()
