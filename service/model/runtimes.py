"""Loads a model file into a runtime: ONNX Runtime, on one of its providers, or OpenVINO, by its own interface.

ONNX Runtime lists a provider as available that then fails when a session is made, and falls back without an error; so
what counts here is what the session, once made, says it holds.
"""

import ctypes
import importlib.util
import queue
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from service.errors import ModelPackageError, ProviderUnavailable
from service.model.binding import in_one_thread, run_bound
from service.model.prediction import OUTPUTS, Run
from service.model.providers import EXECUTION_PROVIDERS, Provider, runs_on_processor

onnxruntime.disable_telemetry_events()  # on Windows; elsewhere `service.telemetry` has done it

_NHWC: Final = {"prefer_nhwc": "1"}
_GRAPHS: Final = {"enable_cuda_graph": "1"}

_LIBRARIES: Final[dict[str, tuple[str, ...]]] = {
    "cuda": (
        "libcuda.so.1",
        "libcudart.so.13",
        "libcublas.so.13",
        "libcublasLt.so.13",
        "libcurand.so.10",
        "libcudnn.so.9",
    ),
    "tensorrt": ("libcuda.so.1", "libnvinfer.so.10", "libnvonnxparser.so.10"),
}
"""What a provider loads, to tell an administrator which of it is missing (onnxruntime-gpu 1.27 and later: CUDA 13)."""


def is_installed(provider: Provider) -> bool:
    """Whether a provider's software is installed; whether it works shows only once a model is loaded."""
    if provider == "openvino":
        return importlib.util.find_spec("openvino") is not None
    return EXECUTION_PROVIDERS[provider] in onnxruntime.get_available_providers()


def load(path: Path, provider: Provider, threads: int, spinning: bool, lanes: int) -> Run:
    """Load a model file.

    Args:
        threads: how many the processor's arithmetic uses, of all lanes together.
        spinning: whether ONNX Runtime's threads wait for their next piece of work awake, which is sooner and takes the
            time from others; OpenVINO's are its own matter.
        lanes: how many callers are to run it at once, each with its share of the threads.

    Raises:
        ProviderUnavailable: what was asked for is not installed, or it is and cannot run here.
        ModelPackageError: the file cannot be loaded.
    """
    if not is_installed(provider):
        extra = "cpu" if runs_on_processor(provider) else "gpu"
        raise ProviderUnavailable(f"{EXECUTION_PROVIDERS[provider]} is not installed; install panoseg[{extra}].")
    if provider == "openvino":
        return _load_with_openvino(path, threads, lanes)
    if provider == "cpu":
        return run_with(_load_with_onnxruntime(path, provider, threads // lanes, spinning))
    if provider == "tensorrt":
        return in_one_thread(run_bound(_load_with_onnxruntime(path, provider, threads, spinning), "cuda"))
    try:
        session, graphs = _load_with_onnxruntime(path, provider, threads, spinning, _NHWC | _GRAPHS), True
    except ProviderUnavailable:
        # The provider makes no graph of a model with work for the processor in it, such as one in eight bits.
        session, graphs = _load_with_onnxruntime(path, provider, threads, spinning, _NHWC), False
    return in_one_thread(run_bound(session, "cuda", graphs=graphs))


def run_with(session: onnxruntime.InferenceSession) -> Run:
    """A session of ONNX Runtime, which any number of threads may run at once."""
    return lambda pixels: session.run(list(OUTPUTS), {"pixels": pixels})


def _load_with_onnxruntime(
    path: Path, provider: Provider, threads: int, spinning: bool, options: dict[str, str] | None = None
) -> onnxruntime.InferenceSession:
    execution_provider = EXECUTION_PROVIDERS[provider]
    if not runs_on_processor(provider):
        onnxruntime.preload_dlls()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", str(int(spinning)))
    # Above warnings: a provider's refusal is told by the error that this module raises.
    settings.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, settings, [(execution_provider, options or {})])
    except Exception as error:
        if provider == "cpu":
            raise ModelPackageError(f"{path} cannot be loaded: {error}") from error
        raise ProviderUnavailable(_why_not(provider, f"ONNX Runtime says: {error}")) from error
    if session.get_providers()[0] != execution_provider:
        raise ProviderUnavailable(_why_not(provider, "the session does not hold it"))
    return session


def _load_with_openvino(path: Path, threads: int, lanes: int) -> Run:
    try:
        import openvino
    except ImportError as error:
        raise ProviderUnavailable(f"OpenVINO cannot run here: {error}") from error

    core = openvino.Core()
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": lanes,
        # A model is loaded twice, for one picture at a time and for several: both would be put on the same cores.
        "ENABLE_CPU_PINNING": False,
        # What is not in eight bits would be rounded to bfloat16 where the processor has it, for no gain in time.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    try:
        model = core.read_model(path)
        _, *size = model.input("pixels").partial_shape
        # Of one picture, which is what a processor gets at a time: a shape that is known is sooner read.
        model.reshape({"pixels": [1, *(side.get_length() for side in size)]})
        compiled = core.compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise ModelPackageError(f"{path} cannot be loaded by OpenVINO: {error}") from error
    free: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(lanes):
        free.put(compiled.create_infer_request())

    def run(picture: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        request = free.get()
        try:
            request.infer({"pixels": picture}, share_inputs=True)
            # Copied, since the request's own memory is the next picture's.
            return [request.get_tensor(name).data.copy() for name in OUTPUTS]
        finally:
            free.put(request)

    return run


def _why_not(provider: Provider, reason: str) -> str:
    missing = [library for library in _LIBRARIES.get(provider, ()) if not _loads(library)]
    if missing:
        reason = f"{', '.join(missing)} is missing (see docker/README.md for what it needs)."
    return f"{EXECUTION_PROVIDERS[provider]} cannot run here: {reason}"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_gpu() -> bool:
    """Whether a CUDA GPU is there; NVIDIA's driver makes these device files."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or Path("/dev/dxg").exists()
