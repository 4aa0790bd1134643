"""The way from a radiograph's bytes to its answer, stage by stage; every door calls this and nothing else."""

from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np

from service.errors import NotAPanoramic
from service.findings import Plausibility, judge, measure_plausibility, tooth_contrast
from service.model.check import check_known_answer
from service.model.engine import Engine, Ticket
from service.model.interpret import Labels, confidences, find_teeth, outline_teeth, to_radiograph
from service.model.package import ModelPackage
from service.model.prepare import ModelInput, prepare
from service.model.session import Prediction, open_session
from service.radiograph import Radiograph, decode
from service.render.draw import MaskKind, draw_mask, draw_overlay
from service.render.encode import encode_jpeg, encode_png
from service.segmentation import Segmentation
from service.settings import Settings
from service.tuning import choose_runtime

OverlayFormat = Literal["jpeg", "png"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an answer is to hold besides the teeth.

    Attributes:
        mask: which mask to encode as PNG, if any.
        overlay: which format to encode the overlay in, if any.
        opacity: of the overlay's colours, 0..1.
        strict: whether a picture that is no panoramic is refused.
    """

    mask: MaskKind | None = None
    overlay: OverlayFormat | None = None
    opacity: float = 0.4
    strict: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What was found in one radiograph, and the pictures that were wanted.

    Attributes:
        mask: bytes of a PNG file. overlay: bytes of a JPEG or PNG file.
    """

    radiograph: Radiograph
    segmentation: Segmentation
    mask: bytes | None
    overlay: bytes | None


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """A prepared picture and what the model makes of it; `turned` tells how it had to be turned to be read."""

    model_input: ModelInput
    prediction: Prediction
    labels: Labels
    plausibility: Plausibility
    turned: str | None


class Segmenter:
    """Segments radiographs with one loaded model; any number of threads may call it at once.

    Raises:
        SetupError: the provider cannot run here, or the model does not give its known answer.
    """

    def __init__(self, package: ModelPackage, settings: Settings) -> None:
        self.package = package
        self._settings = settings
        self._manifest = package.manifest
        self._fit = package.manifest.input.fit()
        self.runtime = choose_runtime(package, settings)
        runtime = self.runtime
        session = open_session(package, settings.provider, runtime.threads, runtime.spinning, runtime.provider)
        check_known_answer(package, session)
        self.engine = Engine(session, settings.max_requests)

    @property
    def warnings(self) -> list[str]:
        """What an administrator should know: a GPU, or a tuning, that is there and not used."""
        return [warning for warning in (self.engine.session.warning, self.runtime.warning) if warning]

    def segment(self, upload: bytes, wanted: Wanted, ticket: Ticket) -> Answer:
        """Find the teeth in a radiograph's file.

        Raises:
            RequestError: the bytes are no radiograph that can be read, or the deadline passed.
            Abandoned: the caller has gone.
        """
        clock = ticket.clock
        with clock.stage("decode"):
            radiograph = decode(upload, self._settings.limits)
        ticket.check()
        with clock.stage("prepare"):
            model_input = prepare(radiograph.pixels, self._fit)
        reading = self._read(model_input, ticket)
        with clock.stage("interpret"):
            segmentation = self._interpret(radiograph, reading)
        if wanted.strict:
            _refuse_what_is_no_panoramic(segmentation)
        ticket.check()
        with clock.stage("render"):
            mask = draw_mask(segmentation, wanted.mask) if wanted.mask else None
            overlay = draw_overlay(radiograph.pixels, segmentation, wanted.opacity) if wanted.overlay else None
        with clock.stage("encode"):
            return Answer(
                radiograph,
                segmentation,
                None if mask is None else encode_png(mask),
                None if overlay is None else encode_png(overlay) if wanted.overlay == "png" else encode_jpeg(overlay),
            )

    def close(self) -> None:
        """Finish what is under way and let the model go."""
        self.engine.close()

    def _read(self, model_input: ModelInput, ticket: Ticket) -> _Reading:
        """What the model makes of a picture; one that makes no sense is read again as a negative, and turned."""
        first = self._read_once(model_input, ticket)
        if self._is_bright_on_dark(first):
            return first
        negative = ModelInput(255 - model_input.pixels, model_input.content, model_input.grey_range)
        inverted = self._read_once(negative, ticket, "inverted")
        if self._is_bright_on_dark(inverted):
            return inverted
        if self._holds(first):
            return first
        for turn in (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180):
            turned = cv2.resize(cv2.rotate(model_input.pixels, turn), model_input.pixels.shape[::-1])
            upright = ModelInput(np.asarray(turned, np.uint8), model_input.content, model_input.grey_range)
            if self._holds(self._read_once(upright, ticket)):
                return replace(first, turned="sideways")
        return first

    def _read_once(self, model_input: ModelInput, ticket: Ticket, turned: str | None = None) -> _Reading:
        prediction = self.engine.predict(model_input.pixels, ticket)
        with ticket.clock.stage("interpret"):
            labels = find_teeth(prediction, self._manifest.classes, self._manifest.thresholds)
            return _Reading(model_input, prediction, labels, measure_plausibility(labels, prediction), turned)

    def _holds(self, reading: _Reading) -> bool:
        return reading.plausibility.holds(self._manifest.thresholds)

    def _is_bright_on_dark(self, reading: _Reading) -> bool:
        """Whether a reading is plausible and its teeth are brighter than what surrounds them, as on a radiograph."""
        return self._holds(reading) and tooth_contrast(reading.labels, reading.model_input.pixels) > 0

    def _interpret(self, radiograph: Radiograph, reading: _Reading) -> Segmentation:
        thresholds = self._manifest.thresholds
        height, width = radiograph.pixels.shape
        labels = to_radiograph(reading.labels, reading.prediction, reading.model_input, height, width, thresholds)
        sure = confidences(reading.labels, reading.prediction)
        return Segmentation(
            labels,
            outline_teeth(labels, reading.labels, reading.model_input, sure),
            judge(radiograph, reading.model_input, reading.plausibility, reading.turned, thresholds),
        )


def _refuse_what_is_no_panoramic(segmentation: Segmentation) -> None:
    for finding in segmentation.findings:
        if finding.code == "not-a-panoramic":
            raise NotAPanoramic(finding.message)
