"""The way from a radiograph's bytes to its answer, stage by stage; every door calls this and nothing else."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from service.errors import NotAPanoramic
from service.findings import Plausibility, judge, likely_view, measure_plausibility, tooth_contrast
from service.latency import Clock
from service.memory import keep_freed_memory
from service.model.check import check_known_answer
from service.model.choose import choose_session
from service.model.engine import Engine, Ticket
from service.model.interpret import find_teeth, mean_probabilities
from service.model.outline import locate, outline_teeth, to_radiograph
from service.model.package import ModelPackage
from service.model.prediction import Prediction, View
from service.model.prepare import ModelInput, prepare
from service.model.session import open_lanes
from service.model.turn import TURNED, turn_back, turn_upright
from service.parallel import beside
from service.radiograph import Radiograph, decode
from service.render.draw import MaskKind, draw_mask, draw_overlay
from service.render.encode import OverlayFormat, encode_overlay, encode_png
from service.segmentation import Labels, Segmentation
from service.settings import Settings
from service.tuning import choose_way


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
    """A prepared picture and what the model makes of it.

    Attributes:
        turned: how the picture lies, where it had to be turned to be read.
        inverted: whether its grey values had to be inverted to be read.
    """

    model_input: ModelInput
    prediction: Prediction
    labels: Labels
    plausibility: Plausibility
    inverted: bool
    turned: View | None = None


class Segmenter:
    """Segments radiographs with one loaded model; any number of threads may call it at once.

    Raises:
        SetupError: the provider cannot run here, or the model does not give its known answer.
    """

    def __init__(self, package: ModelPackage, settings: Settings) -> None:
        keep_freed_memory()
        # OpenCV's own threads win a request nothing that counts, and cost it five milliseconds of processor time.
        cv2.setNumThreads(1)
        self.package = package
        self._settings = settings
        self._manifest = package.manifest
        self._fit = package.manifest.input
        self.way = choose_way(package, settings)
        self._chosen = choose_session(
            package, settings.provider, self.way.threads, self.way.spinning, self.way.provider
        )
        session, alongside = self._chosen.session, None
        if session.on_processor and self.way.threads > 1:
            alongside = open_lanes(package, session, self.way.threads)
            check_known_answer(package, alongside)
        self.engine = Engine(session, alongside, settings.max_requests)

    @property
    def why(self) -> str:
        """Where provider and threads come from, in a few words."""
        return "; ".join(filter(None, (self.way.reason, self._chosen.reason)))

    @property
    def warnings(self) -> list[str]:
        """What an administrator should know: a GPU, OpenVINO or a tuning that is there and not used."""
        return [warning for warning in (self._chosen.warning, self.way.warning) if warning]

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
        return Answer(radiograph, segmentation, *self._draw(radiograph, segmentation, wanted, clock))

    def close(self) -> None:
        """Finish what is under way and let the model go."""
        self.engine.close()

    def _read(self, model_input: ModelInput, ticket: Ticket) -> _Reading:
        """What the model makes of a picture; one that makes no sense is read again, turned upright or inverted."""
        first = self._read_once(model_input, ticket)
        if self._is_bright_on_dark(first):
            return first
        if turned := self._read_turned(first, ticket):
            return turned
        negative = replace(model_input, pixels=255 - model_input.pixels)
        inverted = self._read_once(negative, ticket, inverted=True)
        if self._is_bright_on_dark(inverted):
            return inverted
        return self._read_turned(inverted, ticket) or first

    def _read_turned(self, reading: _Reading, ticket: Ticket) -> _Reading | None:
        """A picture that looks like a turned panoramic, read upright; None where that makes no sense either."""
        view = likely_view(reading.prediction)
        if view not in TURNED:
            return None
        upright = self._read_once(turn_upright(reading.model_input, view), ticket)
        if not self._is_bright_on_dark(upright):
            return None
        labels, prediction = turn_back(upright.labels, upright.prediction, view)
        return replace(reading, prediction=prediction, labels=labels, plausibility=upright.plausibility, turned=view)

    def _read_once(self, model_input: ModelInput, ticket: Ticket, *, inverted: bool = False) -> _Reading:
        prediction = self.engine.predict(model_input.pixels, ticket)
        with ticket.clock.stage("interpret"):
            labels = find_teeth(prediction, self._manifest.classes, self._manifest.thresholds)
            return _Reading(model_input, prediction, labels, measure_plausibility(labels, prediction), inverted)

    def _is_bright_on_dark(self, reading: _Reading) -> bool:
        """Whether a reading is plausible and its teeth are brighter than what surrounds them, as on a radiograph."""
        return reading.plausibility.holds(self._manifest.thresholds) and _has_bright_teeth(reading)

    def _is_panoramic(self, reading: _Reading) -> bool:
        """Whether the reading that was chosen in the end is one of a panoramic."""
        plausibility, thresholds = reading.plausibility, self._manifest.thresholds
        if plausibility.holds(thresholds):
            return True
        return plausibility.shows_dentition(thresholds) and _has_bright_teeth(reading)

    def _draw(
        self, radiograph: Radiograph, segmentation: Segmentation, wanted: Wanted, clock: Clock
    ) -> tuple[bytes | None, bytes | None]:
        """The files of mask and overlay, where they are wanted."""
        mask_kind, overlay_format = wanted.mask, wanted.overlay
        if not mask_kind and not overlay_format:
            return None, None
        with clock.stage("render"):
            mask = beside(lambda: encode_png(draw_mask(segmentation, mask_kind))) if mask_kind else None
            overlay = draw_overlay(radiograph.pixels, segmentation, wanted.opacity) if overlay_format else None
        with clock.stage("encode"):
            overlay_file = encode_overlay(overlay, overlay_format) if overlay and overlay_format else None
            return mask() if mask else None, overlay_file

    def _interpret(self, radiograph: Radiograph, reading: _Reading) -> Segmentation:
        thresholds = self._manifest.thresholds
        height, width = radiograph.pixels.shape
        places = locate(reading.labels)
        labels = to_radiograph(
            reading.labels, places, reading.prediction, reading.model_input, height, width, thresholds
        )
        sure = self._confidences(reading)
        return Segmentation(
            labels,
            outline_teeth(labels, places, reading.model_input, sure),
            judge(
                radiograph,
                reading.model_input,
                reading.plausibility,
                self._is_panoramic(reading),
                reading.turned,
                reading.inverted,
                thresholds,
            ),
        )

    def _confidences(self, reading: _Reading) -> dict[int, float]:
        """For each FDI number that was found, the probability that the tooth is right."""
        raw = mean_probabilities(reading.labels, reading.prediction, self._manifest.classes)
        told = self._manifest.calibration.probabilities(np.array(list(raw.values()), np.float64))
        return dict(zip(raw, told.tolist(), strict=True))


def _has_bright_teeth(reading: _Reading) -> bool:
    return tooth_contrast(reading.labels, reading.model_input.pixels) > 0


def _refuse_what_is_no_panoramic(segmentation: Segmentation) -> None:
    for finding in segmentation.findings:
        if finding.code == "not-a-panoramic":
            raise NotAPanoramic(finding.message)
