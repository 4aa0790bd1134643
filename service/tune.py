"""`panoseg tune`: which way of running the model answers soonest on this machine, measured and written down.

What counts is a whole request, since threads that spin for the model's next layer take time from what encodes its
answer. The ways take turns, so that a machine that slows down slows all of them.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Final

import cv2

from service.errors import SetupError
from service.machine import usable_cores
from service.model.package import ModelPackage
from service.opening import PAUSE_S, offers_openvino
from service.segmenter import Segmenter, Wanted
from service.settings import Settings
from service.ticket import Ticket
from service.tuning import Ground, Measured, Tuning, Way

_SIZE: Final = (2943, 1435)
"""Width and height of the picture that is measured with: a panoramic as it leaves the machine."""

_CLEARLY: Final = 0.97
"""A way has to take less than this share of the simplest one's time to be preferred to it."""


def tune(package: ModelPackage, settings: Settings, rounds: int, tell: Callable[[str], None]) -> Tuning:
    """Measure every way that is possible here.

    Args:
        rounds: how many requests each way answers.
        tell: takes a line for each way: that it cannot be gone here and why, or what was measured.

    Raises:
        SetupError: the simplest way, which the others are held against, cannot be gone here.
    """
    upload = _picture(package)
    with ExitStack() as stack:
        segmenters: dict[Way, Segmenter] = {}
        for way in ways(package):
            try:
                segmenters[way] = Segmenter(package, settings.model_copy(update=way.model_dump()))
            except SetupError as error:
                if not segmenters:
                    raise
                # The service passes over it too.
                tell(f"{describe(way)}: not here. {error}")
                continue
            stack.callback(segmenters[way].close)
        times: dict[Way, list[float]] = {way: [] for way in segmenters}
        for number in range(rounds + 1):
            for way, segmenter in segmenters.items():
                time.sleep(PAUSE_S)
                elapsed_ms = _time_ms(segmenter, upload)
                if number:  # the first is for warming up
                    times[way].append(elapsed_ms)
    measured = tuple(Measured(way=way, median_ms=round(statistics.median(each), 2)) for way, each in times.items())
    for each in measured:
        tell(f"{describe(each.way)}: {each.median_ms:.1f} ms")
    return Tuning(
        date=datetime.now(UTC).date().isoformat(),
        ground=Ground.here(package),
        best=choose(measured),
        measured=measured,
    )


def ways(package: ModelPackage) -> Iterator[Way]:
    """Every way that the installed runtimes can go here with a package's files, the simplest first."""
    cores = usable_cores()
    powers = (2**power for power in range(cores.bit_length()))
    # No more than four: each way holds a model in memory while it is measured.
    counts = sorted({cores, *powers}, reverse=True)[:4]
    for count in counts:
        for spinning in (False, True) if count > 1 else (False,):
            yield Way(provider="cpu", threads=count, spinning=spinning)
    if offers_openvino(package):
        for count in counts:
            yield Way(provider="openvino", threads=count, spinning=False)


def choose(measured: tuple[Measured, ...]) -> Way:
    """The way of the least median; the first, where none is clearly better."""
    best = min(measured, key=lambda each: each.median_ms)
    return best.way if best.median_ms < _CLEARLY * measured[0].median_ms else measured[0].way


def describe(way: Way) -> str:
    """A way in a few words; how OpenVINO's threads wait is its own matter."""
    waiting = f", {'spinning' if way.spinning else 'waiting asleep'}" if way.provider == "cpu" else ""
    return f"{way.provider}, {way.threads} thread{'s' if way.threads > 1 else ''}{waiting}"


def _picture(package: ModelPackage) -> bytes:
    """The known-answer picture at full size, as a PNG file."""
    known = cv2.imread(str(package.folder / package.manifest.known_answer.picture), cv2.IMREAD_GRAYSCALE)
    if known is None:
        raise SetupError(f"{package.folder} lacks its known-answer picture.")
    return cv2.imencode(".png", cv2.resize(known, _SIZE, interpolation=cv2.INTER_CUBIC))[1].tobytes()


def _time_ms(segmenter: Segmenter, upload: bytes) -> float:
    begin = time.perf_counter()
    segmenter.segment(upload, Wanted("binary", "jpeg"), Ticket(60.0))
    return 1000 * (time.perf_counter() - begin)
