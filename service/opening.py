"""Opens a package's model on what is to run it: what is asked for, else a GPU that works, else what is soonest here."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from service.errors import SetupError
from service.model.check import check_known_answer
from service.model.package import ModelPackage
from service.model.providers import EXECUTION_PROVIDERS, Provider
from service.model.runtimes import has_gpu, is_installed
from service.model.session import Session, open_lanes, open_session
from service.settings import Settings
from service.tuning import ChosenWay, choose_way

PAUSE_S: Final = 0.02
"""Threads of a session spin for a while after their work, and are not to take time from the next that is timed."""

_TRIALS: Final = 3
"""How often each way to run the model is timed."""


@dataclass(frozen=True, slots=True, eq=False)
class OpenModel:
    """A model that has given its known answer, and how it is run.

    Attributes:
        session: what runs it.
        alongside: the same for several pictures at once; None where it cannot, or has one thread.
        threads: how many the processor's arithmetic uses.
        spinning: whether they wait for their next piece of work awake; OpenVINO's are its own matter.
        reason: where provider and threads come from, in a few words.
        warnings: what an administrator should know: a GPU, OpenVINO or a tuning that is there and not used.
    """

    session: Session
    alongside: Session | None
    threads: int
    spinning: bool
    reason: str
    warnings: tuple[str, ...]


def open_model(package: ModelPackage, settings: Settings) -> OpenModel:
    """Load a package's model and let it give its known answer, each way that it is to be run.

    Raises:
        ProviderUnavailable: what is asked for is not installed, or it is and cannot run the model here.
        ModelPackageError: the package has no file for the provider, or the file cannot be loaded or gives another
            answer.
        SetupError: more threads are set than there are cores.
    """
    way = choose_way(package, settings)
    passed_over: list[str] = []
    measured: str | None = None
    if settings.provider != "auto":
        session = _load(package, settings.provider, way)
    elif gpu := _load_gpu(package, way, passed_over):
        session = gpu
    elif way.provider:
        session = _load(package, way.provider, way)
    else:
        session, measured = _load_fastest(package, way, passed_over)
    alongside: Session | None = None
    if session.on_processor and way.threads > 1:
        alongside = open_lanes(package, session, way.threads)
        check_known_answer(package, alongside)
    return OpenModel(
        session,
        alongside,
        way.threads,
        way.spinning,
        reason="; ".join(filter(None, (way.reason, measured))),
        warnings=tuple(filter(None, (" ".join(passed_over), way.warning))),
    )


def offers_openvino(package: ModelPackage) -> bool:
    """Whether OpenVINO is installed and the package has a file for it; whether it works shows once that is loaded."""
    return is_installed("openvino") and package.file_for(EXECUTION_PROVIDERS["openvino"]) is not None


def _load(package: ModelPackage, provider: Provider, way: ChosenWay) -> Session:
    session = open_session(package, provider, way.threads, way.spinning)
    check_known_answer(package, session)
    return session


def _load_if_it_works(
    package: ModelPackage, provider: Provider, way: ChosenWay, what_is_there: str, passed_over: list[str]
) -> Session | None:
    """A session, or None and one more sentence on what is passed over."""
    try:
        return _load(package, provider, way)
    except SetupError as error:
        passed_over.append(f"{what_is_there} and is not used: {error}")
        return None


def _load_gpu(package: ModelPackage, way: ChosenWay, passed_over: list[str]) -> Session | None:
    """A session on a GPU; None, where there is one with a sentence on it, where none works."""
    if is_installed("cuda"):
        what_is_there = "A GPU is there" if has_gpu() else "CUDA is installed"
        return _load_if_it_works(package, "cuda", way, what_is_there, passed_over)
    if has_gpu():
        passed_over.append(
            "A GPU is there and is not used: this is ONNX Runtime for processors; install panoseg[gpu] instead."
        )
    return None


def _load_fastest(package: ModelPackage, way: ChosenWay, passed_over: list[str]) -> tuple[Session, str | None]:
    """The session on the processor that reads a picture soonest, and the times of all where there are several.

    They take turns, so that a machine that slows down slows all.
    """
    sessions = [_load(package, "cpu", way)]
    if offers_openvino(package):
        openvino = _load_if_it_works(package, "openvino", way, "OpenVINO is there", passed_over)
        sessions += [openvino] if openvino else []
    if len(sessions) == 1:
        return sessions[0], None
    picture = np.zeros((1, package.manifest.input.height, package.manifest.input.width), np.uint8)
    times_ms: list[list[float]] = [[] for _ in sessions]
    for _ in range(_TRIALS):
        for session, taken_ms in zip(sessions, times_ms, strict=True):
            time.sleep(PAUSE_S)
            begin = time.perf_counter()
            session.run(picture)
            taken_ms.append(1000 * (time.perf_counter() - begin))
    # The least, since whatever else the machine does only adds to it.
    least_ms = [min(taken_ms) for taken_ms in times_ms]
    figures = (f"{each.execution_provider} {time_ms:.0f} ms" for each, time_ms in zip(sessions, least_ms, strict=True))
    return sessions[least_ms.index(min(least_ms))], f"soonest when loaded: {', '.join(figures)}"
