"""Learns to tell an upright panoramic from a turned one and from anything else, by the network's deepest features.

The rule is linear, a multinomial logistic regression on the features averaged over the picture: it costs nothing when
the model runs, and a few hundred pictures are enough for it. It learns from the training pictures, turned and cut, from
drawings, and from pictures of other things where a folder of them is given (`panoseg gather`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch

from service.dentition.fdi import FDI_NUMBERS
from service.model.prediction import VIEWS, View
from service.model.prepare import fit_to, prepare
from training.augment import augment
from training.config import Augmentation
from training.foreign import cut_out, draw_foreign, vary
from training.phantom import draw_phantom
from training.pixels import Labels, Picture
from training.restorations import remove_all

_SEED: Final = 11
_PHANTOMS: Final = 12
_PHANTOM_SEED: Final = 3_000_000
_DRAWINGS: Final = 160

_SHRINKAGE: Final = 1e-3
"""Weight of the squared weights.

With a tenth of it the rule is surer of what it has seen, and errs more often on kinds of foreign pictures that it has
not (one source after another left out).
"""


@dataclass(frozen=True, slots=True, eq=False)
class ViewRule:
    """Logits of `VIEWS` from features: `weights @ features + bias`.

    Attributes:
        weights: `(views, features)` `float32`.
        bias: `(views,)` `float32`.
    """

    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Pictures `(pictures, height, width)` and the index in `VIEWS` of what each shows."""

    pictures: npt.NDArray[np.uint8]
    views: npt.NDArray[np.int64]


def make_examples(
    pictures: Sequence[Picture], truths: Sequence[Labels], changes: Augmentation, foreign: Sequence[Picture]
) -> Examples:
    """Examples of every view.

    Upright: each picture as it is and changed as in training, some as negatives, some without a tooth, and phantoms,
    with teeth and without.
    Turned: each picture on its head, half of them as their mirror images and half changed, and one of two on a side.
    Foreign: a few teeth cut out of one picture of three, drawings, and what is given, as it is and in part. With the
    parts too, fewer foreign pictures of a source that was left out pass: 3 of 592 and not 11.

    Args:
        pictures, truths: of the training split, prepared; a truth is above 0 where there is tooth.
        foreign: prepared.
    """
    fit = fit_to(*pictures[0].shape)
    made: list[tuple[Picture, View]] = []
    for index, (pixels, truth) in enumerate(zip(pictures, truths, strict=True)):
        generator = np.random.default_rng((_SEED, index))
        # Truths are FDI numbers and not the indices of classes that mirroring and crowns go by; here only pixels count.
        changed, _ = augment(pixels, truth, False, changes, generator)
        made += [(pixels, "panoramic"), (changed, "panoramic")]
        head = changed if index % 4 < 2 else pixels
        made.append((head[::-1, ::-1] if index % 2 else head[::-1], "upside-down"))
        if index % 3 == 0:
            made.append((np.asarray(255 - pixels, np.uint8), "panoramic"))
            made.append((prepare(cut_out(pixels, generator), fit).pixels, "foreign"))
        if index % 3 == 1:
            made.append((remove_all(pixels, truth), "panoramic"))
        if index % 2:
            made.append(_on_a_side(changed if index % 3 else pixels, left=index % 4 == 1))
    for index in range(_PHANTOMS):
        seed = _PHANTOM_SEED + index
        drawn = prepare(draw_phantom(seed).pixels, fit).pixels
        toothless = prepare(draw_phantom(seed, missing=FDI_NUMBERS).pixels, fit).pixels
        made += [
            (drawn, "panoramic"),
            (toothless, "panoramic"),
            (drawn[::-1, ::-1], "upside-down"),
            _on_a_side(drawn, left=True),
            _on_a_side(drawn, left=False),
        ]
    made += [(prepare(draw_foreign(seed), fit).pixels, "foreign") for seed in range(_DRAWINGS)]
    for index, picture in enumerate(foreign):
        part = vary(picture, np.random.default_rng((_SEED, index)))
        made += [(picture, "foreign"), (prepare(part, fit).pixels, "foreign")]
    return Examples(
        np.stack([picture for picture, _ in made]), np.array([VIEWS.index(view) for _, view in made], np.int64)
    )


def learn_views(features: npt.NDArray[np.float64], views: npt.NDArray[np.int64]) -> ViewRule:
    """Fit the rule; every view counts the same, however many examples it has.

    Args:
        features: `(pictures, features)`.
        views: index in `VIEWS` of each picture; each view occurs.
    """
    mean, deviation = features.mean(axis=0), features.std(axis=0) + 1e-6
    points = torch.from_numpy((features - mean) / deviation)
    targets = torch.from_numpy(views)
    weights = torch.zeros(len(VIEWS), points.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(len(VIEWS), dtype=torch.float64, requires_grad=True)
    balance = 1 / torch.bincount(targets, minlength=len(VIEWS)).double()
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        error = torch.nn.functional.cross_entropy(points @ weights.T + bias, targets, weight=balance)
        total = error + _SHRINKAGE * (weights**2).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    scaled = weights.detach().numpy() / deviation
    return ViewRule(scaled.astype(np.float32), (bias.detach().numpy() - scaled @ mean).astype(np.float32))


def _on_a_side(pixels: Picture, *, left: bool) -> tuple[Picture, View]:
    turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE if left else cv2.ROTATE_90_CLOCKWISE)
    stretched = cv2.resize(turned, pixels.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(stretched, np.uint8), "left-side-down" if left else "right-side-down"
