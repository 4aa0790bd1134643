"""Chooses what runs the model: what was asked for, or, left to itself, a GPU that works, else what is soonest here."""

import time
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from service.errors import SetupError
from service.model.check import check_known_answer
from service.model.package import ModelPackage
from service.model.runtimes import PROVIDERS, Choice, OnProcessor, has_gpu, is_installed
from service.model.session import Session, open_session

ProviderChoice = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]

PAUSE_S: Final = 0.02
"""Threads of a session spin for a while after their work, and are not to take time from the next that is timed."""

_TRIALS: Final = 3
"""How often each way to run the model is timed."""


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """What runs the model; it has given its known answer.

    Attributes:
        reason: why this one and not another that could, where that was measured.
        warning: a sentence for the administrator where something that is there had to be passed over.
    """

    session: Session
    reason: str | None = None
    warning: str | None = None


def choose_session(
    package: ModelPackage, choice: ProviderChoice, threads: int, spinning: bool, preferred: OnProcessor | None = None
) -> Chosen:
    """Load a package's model and let it give its known answer.

    Args:
        choice: what to insist on; `auto` takes a GPU that works, else the processor.
        threads, spinning: as `open_session`.
        preferred: what `auto` takes where no GPU works; None for what reads a picture soonest of what is installed.

    Raises:
        ProviderUnavailable: the provider is not installed, or it is and cannot run the model here.
        ModelPackageError: the package has no file for the provider, or the file cannot be loaded or gives another
            answer.
    """

    def opened(choice: Choice) -> Session:
        session = open_session(package, choice, threads, spinning)
        check_known_answer(package, session)
        return session

    if choice != "auto":
        return Chosen(opened(choice))
    warning = None
    if is_installed("cuda"):
        try:
            return Chosen(opened("cuda"))
        except SetupError as error:
            warning = f"{'A GPU is there' if has_gpu() else 'CUDA is installed'} and is not used: {error}"
    elif has_gpu():
        warning = "A GPU is there and is not used: this is ONNX Runtime for processors; install panoseg[gpu] instead."
    if preferred:
        return Chosen(opened(preferred), warning=warning)
    sessions = [opened("cpu")]
    if is_installed("openvino") and package.file_for(PROVIDERS["openvino"]):
        try:
            sessions.append(opened("openvino"))
        except SetupError as error:
            warning = " ".join(filter(None, (warning, f"OpenVINO is there and is not used: {error}")))
    return replace(_soonest(package, sessions), warning=warning)


def _soonest(package: ModelPackage, sessions: list[Session]) -> Chosen:
    """The session that reads a picture soonest; they take turns, so that a machine that slows down slows all."""
    if len(sessions) == 1:
        return Chosen(sessions[0])
    picture = np.zeros((1, package.manifest.input.height, package.manifest.input.width), np.uint8)
    times: list[list[float]] = [[] for _ in sessions]
    for _ in range(_TRIALS):
        for session, taken in zip(sessions, times, strict=True):
            time.sleep(PAUSE_S)
            begin = time.perf_counter()
            session.run(picture)
            taken.append(1000 * (time.perf_counter() - begin))
    # The least, since whatever else the machine does only adds to it.
    least = [min(taken) for taken in times]
    told = (f"{session.provider} {each:.0f} ms" for session, each in zip(sessions, least, strict=True))
    return Chosen(sessions[least.index(min(least))], f"soonest when loaded: {', '.join(told)}")
