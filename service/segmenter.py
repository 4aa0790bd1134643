"""The way from a radiograph's bytes to its answer, stage by stage; every door but `/v2`'s bare graph calls this."""

from dataclasses import dataclass

import cv2
import numpy as np

from service.errors import NotAPanoramic
from service.findings import judge
from service.latency import Clock
from service.memory import keep_freed_memory
from service.model.engine import Engine
from service.model.interpret import mean_probabilities
from service.model.outline import locate, outline_teeth, to_radiograph
from service.model.package import ModelPackage
from service.model.prepare import prepare
from service.opening import open_model
from service.parallel import beside
from service.radiograph import Radiograph, decode
from service.reading import Reading, read
from service.render.draw import MaskKind, draw_mask, draw_overlay
from service.render.encode import OverlayFormat, encode_overlay, encode_png
from service.segmentation import Segmentation
from service.settings import Settings
from service.ticket import Ticket


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


class Segmenter:
    """Segments radiographs with one loaded model; any number of threads may call it at once.

    Attributes:
        package: whose model it is.
        model: what runs, on what, and why.
        engine: has the model read what is prepared; a request takes its place there.

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
        self._known_picture = (package.folder / package.manifest.known_answer.picture).read_bytes()
        self.model = open_model(package, settings)
        self.engine = Engine(self.model.session, self.model.alongside, settings.max_requests)

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
            model_input = prepare(radiograph.pixels, self._manifest.input)
        reading = read(self.engine, self._manifest.thresholds, model_input, ticket)
        with clock.stage("interpret"):
            segmentation = self._interpret(radiograph, reading)
        if wanted.strict:
            _refuse_what_is_no_panoramic(segmentation)
        ticket.check()
        return Answer(radiograph, segmentation, *_draw(radiograph, segmentation, wanted, clock))

    def keep_warm(self) -> None:
        """Go the whole way with the picture whose answer is known, so that caches hold what the next radiograph needs.

        Raises:
            RequestError: there was too much else to do, or the model has been let go.
        """
        self.segment(self._known_picture, Wanted("binary", "jpeg"), Ticket(self._settings.timeout_s))

    def close(self) -> None:
        """Finish what is under way and let the model go."""
        self.engine.close()

    def _interpret(self, radiograph: Radiograph, reading: Reading) -> Segmentation:
        boxes = locate(reading.labels)
        height, width = radiograph.pixels.shape
        labels = to_radiograph(
            reading.labels, boxes, reading.prediction, reading.model_input, height, width, reading.thresholds
        )
        confidences, limit = self._confidences(reading), reading.thresholds.uncertain
        teeth = outline_teeth(labels, boxes, reading.model_input, confidences, limit)
        return Segmentation(labels, teeth, judge(radiograph, reading))

    def _confidences(self, reading: Reading) -> dict[int, float]:
        """For each FDI number that was found, the probability that the tooth is right."""
        raw = mean_probabilities(reading.labels, reading.prediction)
        calibrated = self._manifest.calibration.probabilities(np.array(list(raw.values()), np.float64))
        return dict(zip(raw, calibrated.tolist(), strict=True))


def _refuse_what_is_no_panoramic(segmentation: Segmentation) -> None:
    for finding in segmentation.findings:
        if finding.code == "not-a-panoramic":
            raise NotAPanoramic(finding.message)


def _draw(
    radiograph: Radiograph, segmentation: Segmentation, wanted: Wanted, clock: Clock
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
