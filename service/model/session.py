"""What runs the model: an ONNX Runtime session on the provider that was asked for, and on no other.

ONNX Runtime lists a provider as available that then fails when a session is made, and falls back without an error; so
what counts here is what the session, once made, says it holds.
"""

import ctypes
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from service.errors import ModelPackageError, ProviderUnavailable
from service.model.package import ModelFile, ModelPackage

ProviderChoice = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]

_PROVIDERS: Final[dict[str, str]] = {
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


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the model says of one picture; maps are `(height, width)` of the model's input, `uint8`.

    Attributes:
        tooth: for each pixel the most probable tooth, as the index of its class (never 0).
        foreground: probability that the pixel is tooth, times 255.
        confidence: probability of the class `tooth`, times 255.
        distance: how far the network's features lie from those of the training pictures; about 1 for those.
        view: probability of each of `VIEWS`.
    """

    tooth: npt.NDArray[np.uint8]
    foreground: npt.NDArray[np.uint8]
    confidence: npt.NDArray[np.uint8]
    distance: float
    view: tuple[float, ...]


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
        outputs = self._runtime.run(["tooth", "foreground", "confidence", "distance", "view"], {"pixels": pixels})
        return [
            Prediction(tooth, foreground, confidence, float(distance), tuple(view.tolist()))
            for tooth, foreground, confidence, distance, view in zip(*outputs, strict=True)
        ]


def open_session(package: ModelPackage, choice: ProviderChoice, threads: int | None = None) -> Session:
    """Load a package's model on the provider that is asked for; `auto` takes a GPU that works, else the processor.

    Args:
        threads: how many the processor's arithmetic uses; None takes what this process may use.

    Raises:
        ProviderUnavailable: the provider is not part of the installed ONNX Runtime, or it is and cannot run here.
        ModelPackageError: the package has no file for the provider, or the file cannot be loaded.
    """
    if choice != "auto":
        return _open(package, choice, threads, None)
    warning = None
    available = onnxruntime.get_available_providers()
    if _PROVIDERS["cuda"] in available:
        try:
            return _open(package, "cuda", threads, None)
        except ProviderUnavailable as error:
            if _has_gpu():
                warning = f"A GPU is there and is not used: {error}"
    elif _has_gpu():
        warning = "A GPU is there and is not used: this is ONNX Runtime for processors; install panoseg[gpu] instead."
    fallback = "openvino" if _PROVIDERS["openvino"] in available else "cpu"
    return _open(package, fallback, threads, warning)


def usable_cores() -> int:
    """Processor cores that this process may use: its affinity, cut to a container's quota; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, int(_container_quota())))


def _container_quota() -> float:
    """Cores' worth of time that the control group allows (version 2, then 1); no end of them where it sets no limit."""
    groups = Path("/sys/fs/cgroup")
    try:
        quota, period = (groups / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((groups / "cpu" / f"cpu.cfs_{word}_us").read_text() for word in ("quota", "period"))
        except OSError:
            return sys.maxsize
    return sys.maxsize if quota.strip() in ("max", "-1") else int(quota) / int(period)


def _open(package: ModelPackage, choice: str, threads: int | None, warning: str | None) -> Session:
    provider = _PROVIDERS[choice]
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


def _has_gpu() -> bool:
    """Whether a CUDA GPU is there; NVIDIA's driver makes these device files."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
