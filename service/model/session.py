"""What runs the model: an ONNX Runtime session on the provider that was asked for, and on no other.

ONNX Runtime lists a provider as available that then fails when a session is made, and falls back without an error; so
what counts here is what the session, once made, says it holds.
"""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from service.errors import ModelPackageError, ProviderUnavailable
from service.machine import usable_cores
from service.model.package import ModelFile, ModelPackage

ProviderChoice = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]

PROVIDERS: Final[dict[str, str]] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}

_LIBRARIES: Final[dict[str, tuple[str, ...]]] = {
    "cuda": (
        "libcuda.so.1",
        "libcudart.so.13",
        "libcublas.so.13",
        "libcublasLt.so.13",
        "libcufft.so.12",
        "libcudnn.so.9",
    ),
    "tensorrt": ("libcuda.so.1", "libnvinfer.so.10", "libnvonnxparser.so.10"),
}
"""What a provider loads, to tell an administrator which of it is missing (onnxruntime-gpu 1.27 and later: CUDA 13)."""

View = Literal["panoramic", "upside-down", "left-side-down", "right-side-down", "foreign"]

VIEWS: Final[tuple[View, ...]] = ("panoramic", "upside-down", "left-side-down", "right-side-down", "foreign")
"""What a picture can show, in the order of the graph's output `view`: a panoramic, one that lies on its head or on the
left or right side of the picture as it should be, or something else."""

_EXTRAS: Final[dict[str, str]] = {"cuda": "gpu", "tensorrt": "gpu", "openvino": "openvino", "cpu": "cpu"}


EVIDENCE_CELL: Final = 4
EVIDENCE_STEPS: Final = 42
"""Bytes end at six natural logarithms: the network is too sure of itself where it errs to be heard beyond."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the model says of one picture; maps are `(height, width)` of the model's input, `uint8`.

    Attributes:
        tooth: for each pixel the most probable tooth, as the index of its class (never 0).
        foreground: probability that the pixel is tooth, times 255.
        confidence: probability of the class `tooth`, times 255.
        distance: how far the network's features lie from those of the training pictures; about 1 for those.
        view: probability of each of `VIEWS`.
        evidence: `(rows, columns, 32)`, for each cell of `EVIDENCE_CELL` pixels a side how little it looks like each
            tooth: minus the natural logarithm of the tooth's probability among the teeth, times `EVIDENCE_STEPS`.
    """

    tooth: npt.NDArray[np.uint8]
    foreground: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    distance: float
    view: tuple[float, ...]
    evidence: npt.NDArray[np.uint8]


class Session:
    """A loaded model on one provider; used by one thread at a time.

    Attributes:
        provider: ONNX Runtime's name of the provider that holds the model.
        file: which of the package's files runs.
        warning: a sentence for the administrator where `auto` had to pass over a GPU that is there.
    """

    def __init__(self, runtime: onnxruntime.InferenceSession, file: ModelFile, warning: str | None) -> None:
        self._runtime = runtime
        self.provider: str = runtime.get_providers()[0]
        self.file = file
        self.warning = warning

    def run(self, pixels: npt.NDArray[np.uint8]) -> list[Prediction]:
        """Predict for prepared pictures, `(batch, height, width)` `uint8`."""
        names = ["tooth", "foreground", "confidence", "distance", "view", "evidence"]
        outputs = self._runtime.run(names, {"pixels": pixels})
        return [
            Prediction(tooth, foreground, confidence, float(distance), tuple(view.tolist()), evidence)
            for tooth, foreground, confidence, distance, view, evidence in zip(*outputs, strict=True)
        ]


def open_session(
    package: ModelPackage,
    choice: ProviderChoice,
    threads: int | None = None,
    spinning: bool = True,
    preferred: Literal["cpu", "openvino"] | None = None,
) -> Session:
    """Load a package's model on the provider that is asked for; `auto` takes a GPU that works, else the processor.

    Args:
        threads: how many the processor's arithmetic uses; None takes what this process may use.
        spinning: whether they wait for their next piece of work awake, which is sooner and takes the time from others.
        preferred: what `auto` takes where no GPU works; None for OpenVINO where installed, else ONNX Runtime's own.

    Raises:
        ProviderUnavailable: the provider is not part of the installed ONNX Runtime, or it is and cannot run here.
        ModelPackageError: the package has no file for the provider, or the file cannot be loaded.
    """
    if choice != "auto":
        return _open(package, choice, threads, spinning, None)
    warning = None
    available = onnxruntime.get_available_providers()
    if PROVIDERS["cuda"] in available:
        try:
            return _open(package, "cuda", threads, spinning, None)
        except ProviderUnavailable as error:
            if has_gpu():
                warning = f"A GPU is there and is not used: {error}"
    elif has_gpu():
        warning = "A GPU is there and is not used: this is ONNX Runtime for processors; install panoseg[gpu] instead."
    fallback = preferred or ("openvino" if PROVIDERS["openvino"] in available else "cpu")
    return _open(package, fallback, threads, spinning, warning)


def _open(package: ModelPackage, choice: str, threads: int | None, spinning: bool, warning: str | None) -> Session:
    provider = PROVIDERS[choice]
    if provider not in onnxruntime.get_available_providers():
        raise ProviderUnavailable(
            f"The installed ONNX Runtime has no {provider}; install panoseg[{_EXTRAS[choice]}], alone of the three."
        )
    file = package.file_for(provider)
    if file is None:
        raise ModelPackageError(f"{package.folder} has no file for {provider}.")
    if choice in ("cuda", "tensorrt"):
        onnxruntime.preload_dlls()
    count = threads or usable_cores()
    # OpenVINO has threads of its own, and would otherwise take every core of the machine.
    provider_options = {"device_type": "CPU", "num_of_threads": str(count)} if choice == "openvino" else {}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = count
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    # Above warnings: a provider's refusal is told by the error that this module raises.
    options.log_severity_level = 4
    try:
        runtime = onnxruntime.InferenceSession(package.folder / file.path, options, [(provider, provider_options)])
    except Exception as error:
        if choice == "cpu":
            raise ModelPackageError(f"{package.folder / file.path} cannot be loaded: {error}") from error
        raise ProviderUnavailable(_why_not(choice, provider)) from error
    if runtime.get_providers()[0] != provider:
        raise ProviderUnavailable(_why_not(choice, provider))
    return Session(runtime, file, warning)


def _why_not(choice: str, provider: str) -> str:
    missing = [library for library in _LIBRARIES.get(choice, ()) if not _loads(library)]
    if missing:
        return f"{provider} cannot run here: {', '.join(missing)} is missing (see docker/README.md for what it needs)."
    return f"{provider} was asked for, and its session does not hold it; the driver may be too old for it."


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_gpu() -> bool:
    """Whether a CUDA GPU is there; NVIDIA's driver makes these device files."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
