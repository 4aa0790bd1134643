"""How the processor's arithmetic is done: as set, else as `panoseg tune` found best here, else by default."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import onnxruntime
from pydantic import BaseModel, ConfigDict, ValidationError

from service.errors import SetupError
from service.machine import affine_cores, processor_name, usable_cores
from service.model.package import ModelPackage
from service.model.providers import ProcessorProvider
from service.model.runtimes import is_installed
from service.settings import Settings


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Ground(_Part):
    """What a tuning was measured on, and is good for."""

    processor: str
    cores: int
    onnxruntime: str
    openvino: str
    model: str

    @classmethod
    def here(cls, package: ModelPackage) -> "Ground":
        """This machine with a model package."""
        manifest = package.manifest
        model = f"{manifest.name}/{manifest.version} {' '.join(file.sha256[:12] for file in manifest.files)}"
        return cls(
            processor=processor_name(),
            cores=usable_cores(),
            onnxruntime=onnxruntime.__version__,
            openvino=version("openvino") if is_installed("openvino") else "not installed",
            model=model,
        )


class Way(_Part):
    """One way to run the model on the processor."""

    provider: ProcessorProvider
    threads: int
    spinning: bool


class Measured(_Part):
    """What a way costs: the median time of a whole request, in milliseconds."""

    way: Way
    median_ms: float


class Tuning(_Part):
    """What `panoseg tune` wrote."""

    date: str
    ground: Ground
    best: Way
    measured: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class ChosenWay:
    """How the model is to be run on the processor.

    Attributes:
        provider: what takes the place of a GPU that is not there; None for what is soonest when loaded.
        reason: where this comes from, for the log.
        warning: a sentence for the administrator where a tuning could not be used.
    """

    provider: ProcessorProvider | None
    threads: int
    spinning: bool
    reason: str
    warning: str | None = None


def choose_way(package: ModelPackage, settings: Settings) -> ChosenWay:
    """What is set wins, each for itself; then the tuning, where it is for this machine, runtime and model.

    Raises:
        SetupError: more threads are set than there are cores.
    """
    if settings.threads and settings.threads > affine_cores():
        raise SetupError(
            f"threads is set to {settings.threads}, and this process may be put on {affine_cores()} cores; "
            "more threads than cores only hinder each other. Set no more, or leave it out."
        )
    tuning, warning = _read_tuning(settings.tuning, package)
    best = tuning.best if tuning and settings.provider in ("auto", tuning.best.provider) else None
    threads = settings.threads or (best.threads if best else usable_cores())
    spinning = settings.spinning if settings.spinning is not None else best.spinning if best else True
    is_set = [name for name in ("threads", "spinning") if getattr(settings, name) is not None]
    reasons = [f"{' and '.join(is_set)} as set"] if is_set else []
    if len(is_set) < 2:
        reasons.append(f"tuned on {tuning.date}" if tuning and best else "default")
    return ChosenWay(best.provider if best else None, threads, spinning, ", else ".join(reasons), warning)


def _read_tuning(path: Path, package: ModelPackage) -> tuple[Tuning | None, str | None]:
    """The tuning of a file where there is one that is for this machine and package; else why it is not."""
    try:
        tuning = Tuning.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None, None
    except (OSError, ValidationError):
        return None, f"{path} is no tuning that can be read and is not used; run `panoseg tune` again."
    here = Ground.here(package)
    differs = [name for name in Ground.model_fields if getattr(here, name) != getattr(tuning.ground, name)]
    if differs:
        return None, f"{path} is for another {', '.join(differs)} and is not used; run `panoseg tune` again."
    return tuning, None
