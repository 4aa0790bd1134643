"""What the model makes of a prepared picture: read as it is, and where that makes no sense, turned or inverted."""

from dataclasses import dataclass, replace

from service.model.engine import Engine
from service.model.interpret import find_teeth
from service.model.package import Thresholds
from service.model.prediction import Prediction, View
from service.model.prepare import ModelInput
from service.model.turn import TURNED, turn_back, turn_upright
from service.plausibility import Plausibility, measure_plausibility, tooth_contrast
from service.segmentation import Labels
from service.ticket import Ticket


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A prepared picture and what the model makes of it.

    Attributes:
        labels: in pixels of the model's input, as the picture lies.
        plausibility: of the upright picture, where this one had to be turned to be read.
        thresholds: the model's own, by which all this is judged.
        inverted: whether its grey values had to be inverted to be read.
        turned: how the picture lies, where it had to be turned to be read.
    """

    model_input: ModelInput
    prediction: Prediction
    labels: Labels
    plausibility: Plausibility
    thresholds: Thresholds
    inverted: bool
    turned: View | None = None

    @property
    def makes_sense(self) -> bool:
        """Whether it is plausible and its teeth are brighter than what surrounds them, as on a radiograph."""
        return self.plausibility.holds(self.thresholds) and self._has_bright_teeth

    @property
    def is_panoramic(self) -> bool:
        """Whether it is one of a panoramic, where it was the best that could be had."""
        if self.plausibility.holds(self.thresholds):
            return True
        return self.plausibility.shows_dentition(self.thresholds) and self._has_bright_teeth

    @property
    def _has_bright_teeth(self) -> bool:
        return tooth_contrast(self.labels, self.model_input.pixels) > 0


def read(engine: Engine, thresholds: Thresholds, model_input: ModelInput, ticket: Ticket) -> Reading:
    """Have the model read a picture; where that makes no sense upright, else as a negative, else as a turned negative.

    Raises:
        TimedOut, Abandoned, NotReady: as `Engine.predict`.
    """

    def read_once(model_input: ModelInput, *, inverted: bool = False) -> Reading:
        prediction = engine.predict(model_input.pixels, ticket)
        with ticket.clock.stage("interpret"):
            labels = find_teeth(prediction, thresholds)
            plausibility = measure_plausibility(labels, prediction)
            return Reading(model_input, prediction, labels, plausibility, thresholds, inverted)

    def read_upright(reading: Reading) -> Reading | None:
        """A picture that looks like a turned panoramic, read upright; None where that makes no sense either."""
        view = reading.prediction.likely_view
        if view not in TURNED:
            return None
        upright = read_once(turn_upright(reading.model_input, view))
        if not upright.makes_sense:
            return None
        labels, prediction = turn_back(upright.labels, upright.prediction, view)
        return replace(reading, prediction=prediction, labels=labels, plausibility=upright.plausibility, turned=view)

    as_sent = read_once(model_input)
    if as_sent.makes_sense:
        return as_sent
    if turned := read_upright(as_sent):
        return turned
    negative = read_once(replace(model_input, pixels=255 - model_input.pixels), inverted=True)
    if negative.makes_sense:
        return negative
    return read_upright(negative) or as_sent
