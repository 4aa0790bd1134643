"""Chooses a package's thresholds from what its model says of the validation pictures."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from service.model.interpret import find_teeth
from service.model.package import Thresholds
from service.model.prediction import Prediction
from service.plausibility import measure_clearance, measure_plausibility
from training.data.samples import DataError
from training.metrics import ToothAgreement, dice, match_teeth
from training.pixels import Labels

UNCERTAIN: Final = 0.9
"""Confidence below which a tooth is uncertain: of ten such teeth more than one would be wrong."""

_FOREGROUNDS: Final = (0.4, 0.45, 0.5, 0.55, 0.6)
_SHARES_OF_THE_SMALLEST_TOOTH: Final = (0.0, 0.125, 0.25)

_SHARES_OF_THE_TYPICAL_TOOTH: Final = (0.0, 0.15, 0.25, 0.35)

_MARGIN: Final = 0.75
"""By how much a picture may be stranger, or its numbers more doubtful, than the worst validation picture.

A few dozen pictures of the training pictures' own machine cannot show where those of other machines lie; what lies
between is left to the view, which tells more surely. Jaws without teeth lie furthest out: with their teeth painted
over, those of `panoramic-fullsize` reach one and a half times the distance of the strangest validation picture.
"""

_CLEAREST: Final = 0.02
"""A tooth nearer to the side than this share of the width or height may be cut off.

The model seldom calls the last few pixels tooth where a tooth is cut: most such teeth end within 0.012 of the side. The
outermost tooth of the 300 training pictures is 0.041 from it.
"""


def choose_thresholds(predictions: Sequence[Prediction], truths: Sequence[Labels]) -> Thresholds:
    """Thresholds that fit the validation pictures best, with a margin where they part panoramics from anything else.

    * `foreground`: of 0.4 to 0.6 the one with the highest mean Dice.
    * `min_tooth_area`: of 0, an eighth and a quarter of the smallest true tooth the one with the highest F1 of
      teeth, the smallest of those that tie.
    * `min_share_of_typical_area`: of 0 to 0.35 the one with the highest F1 of teeth, the smallest of those that tie.
    * `max_distance`, `min_certainty`: distance and doubt of the worst picture, and three quarters more.
    * `min_panoramic`: half of what the least likely picture has, and no more than a half.
    * `min_clearance`: half of what the outermost true tooth has, and no more than 0.02.

    The others are no matter of the model: they say when people should look.

    Args:
        predictions: what the file that ships says of each picture.
        truths: FDI numbers in pixels of the model's input.

    Raises:
        DataError: no picture shows a tooth.
    """
    if not any(truth.any() for truth in truths):
        raise DataError(
            "The validation pictures show no tooth at the size of the model's input, and thresholds are chosen by "
            "teeth; add pictures with teeth to val."
        )
    thresholds = Thresholds(
        foreground=0.5,
        min_tooth_area=0,
        min_share_of_typical_area=0.0,
        uncertain=UNCERTAIN,
        low_contrast=0.15,
        few_teeth=10,
        min_clearance=0.0,
        min_panoramic=0.0,
        min_certainty=0.0,
        max_distance=1e9,
        max_colourfulness=0.1,
    )
    thresholds = max(
        (thresholds.model_copy(update={"foreground": foreground}) for foreground in _FOREGROUNDS),
        key=lambda candidate: mean_dice(predictions, truths, candidate),
    )
    areas = np.concatenate([np.bincount(truth.ravel(), minlength=49)[1:] for truth in truths])
    smallest = int(areas[areas > 0].min())
    candidates: tuple[tuple[str, Sequence[float]], ...] = (
        ("min_share_of_typical_area", _SHARES_OF_THE_TYPICAL_TOOTH),
        ("min_tooth_area", [int(share * smallest) for share in _SHARES_OF_THE_SMALLEST_TOOTH]),
    )
    for name, values in candidates:
        thresholds = max(
            (thresholds.model_copy(update={name: value}) for value in values),
            key=lambda candidate: agree_by_tooth(predictions, truths, candidate).teeth.f1,
        )
    readings = [measure_plausibility(find_teeth(prediction, thresholds), prediction) for prediction in predictions]
    # Of a jaw with few teeth the certainty is not asked for either.
    of_many = [reading.certainty for reading in readings if reading.teeth >= thresholds.few_teeth]
    return thresholds.model_copy(
        update={
            "max_distance": round((1 + _MARGIN) * max(reading.distance for reading in readings), 3),
            "min_panoramic": round(0.5 * min(reading.panoramic for reading in readings), 3),
            "min_clearance": round(min(_CLEAREST, 0.5 * min(measure_clearance(truth) for truth in truths)), 4),
            "min_certainty": max(0.0, round(1 - (1 + _MARGIN) * (1 - min(of_many, default=0.0)), 3)),
        }
    )


def mean_dice(predictions: Sequence[Prediction], truths: Sequence[Labels], thresholds: Thresholds) -> float:
    """Mean over the pictures of the Dice coefficient of tooth against background, in pixels of the model's input."""
    return float(
        np.mean(
            [
                dice(find_teeth(prediction, thresholds) > 0, truth > 0)
                for prediction, truth in zip(predictions, truths, strict=True)
            ]
        )
    )


def agree_by_tooth(
    predictions: Sequence[Prediction], truths: Sequence[Labels], thresholds: Thresholds
) -> ToothAgreement:
    """Agreement tooth by tooth, added up over the pictures, in pixels of the model's input."""
    return sum(
        (
            match_teeth(find_teeth(prediction, thresholds), truth)
            for prediction, truth in zip(predictions, truths, strict=True)
        ),
        ToothAgreement(),
    )
