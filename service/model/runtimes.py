"""Loads a model file into a runtime: ONNX Runtime, on one of its providers, or OpenVINO, by its own interface.

ONNX Runtime lists a provider as available that then fails when a session is made, and falls back without an error; so
what counts here is what the session, once made, says it holds.
"""

import ctypes
import importlib.util
import queue
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from service.errors import ModelPackageError, ProviderUnavailable
from service.model.prediction import OUTPUTS
from service.model.providers import EXECUTION_PROVIDERS, Provider

onnxruntime.disable_telemetry_events()  # on Windows; elsewhere `service.telemetry` has done it

Run = Callable[[npt.NDArray[np.uint8]], list[npt.NDArray[Any]]]
"""Prepared pictures `(batch, height, width)` `uint8` to the tensors `OUTPUTS`, each with the batch first; OpenVINO
takes one picture at a time."""

_DTYPES: Final = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
"""Of the model's tensors, by ONNX Runtime's names."""

_ASKS_THE_GPU: Final = ThreadPoolExecutor(1, "gpu")

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
        extra = "gpu" if provider in ("cuda", "tensorrt") else "cpu"
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


def in_one_thread(run: Run) -> Run:
    """The same, always in the one thread that all models on a GPU share, whoever asks.

    ONNX Runtime keeps its graphs, and what it found out about a GPU, for each thread anew: on an H200 the first run of
    a size of batch takes 1 to 2 s, and took as long once more in the next thread. And while it makes a graph, CUDA
    refuses what other threads ask of it: a model that takes over is warmed up beside the one that answers.
    """
    return lambda pixels: _ASKS_THE_GPU.submit(run, pixels).result()


def run_bound(session: onnxruntime.InferenceSession, device: Literal["cpu", "cuda"], *, graphs: bool = False) -> Run:
    """A session of ONNX Runtime, for one thread at a time, whose tensors are bound to memory of a device.

    For each size of batch it is taken once (IO binding). Nothing but the pictures goes up, nothing but the outputs
    comes down, and no request waits for memory.

    Args:
        graphs: whether the session was made to keep its work as CUDA graphs (`enable_cuda_graph`), one for each size of
            batch; without such a session it changes nothing.
    """

    @cache
    def bind(count: int) -> _BoundTensors:
        return _BoundTensors(session, device, count, graphs)

    return lambda pixels: bind(len(pixels)).run(pixels)


class _BoundTensors:
    """A session's tensors for one size of batch: in the device's memory, and in memory that it reaches."""

    def __init__(self, session: onnxruntime.InferenceSession, device: str, count: int, graphs: bool) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._options = onnxruntime.RunOptions() if graphs else None
        if self._options:
            # A graph has its tensors' shapes and addresses in it, so another size needs another.
            self._options.add_run_config_entry("gpu_graph_id", str(count))
        (pixels,) = session.get_inputs()
        self._pixels = _BoundTensor(pixels, device, count)
        self._binding.bind_ortvalue_input(pixels.name, self._pixels.value)
        self._outputs = {tensor.name: _BoundTensor(tensor, device, count) for tensor in session.get_outputs()}
        for name, output in self._outputs.items():
            self._binding.bind_ortvalue_output(name, output.value)

    def run(self, pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        self._pixels.array[:] = pixels
        self._pixels.bring()
        self._session.run_with_iobinding(self._binding, self._options)
        outputs = [self._outputs[name] for name in OUTPUTS]
        for output in outputs:
            output.fetch()
        # Copied, since it is the next pictures' memory.
        return [output.array.copy() for output in outputs]


class _BoundTensor:
    """A tensor on a device, and the same in this process's memory; on a processor, to test this on, the two are one.

    Attributes:
        value: on the device.
        array: in memory; locked there for a GPU, which then fetches and brings several times as fast.
    """

    def __init__(self, tensor: onnxruntime.NodeArg, device: str, count: int) -> None:
        shape, dtype = (count, *tensor.shape[1:]), _DTYPES[tensor.type]
        self.array: npt.NDArray[Any] = np.empty(shape, dtype)
        self.value = onnxruntime.OrtValue.ortvalue_from_numpy(self.array)
        self._cuda: ctypes.CDLL | None = None
        if device != "cpu":
            self.value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, device, 0)
            self._cuda = ctypes.CDLL("libcudart.so.13")
            start = ctypes.c_void_p(self.array.ctypes.data)
            if self._cuda.cudaHostRegister(start, ctypes.c_size_t(self.array.nbytes), 0):
                # All is as right without, and slower.
                self._forget_error()
            else:
                weakref.finalize(self.array, self._cuda.cudaHostUnregister, start).atexit = False

    def bring(self) -> None:
        """To the device, what is in memory."""
        self._copy(self.value.data_ptr(), self.array.ctypes.data, 1)
        if self._cuda:
            # From memory that is not locked, a copy may be under way still when the call returns.
            self._cuda.cudaStreamSynchronize(None)

    def fetch(self) -> None:
        """To memory, what is on the device."""
        self._copy(self.array.ctypes.data, self.value.data_ptr(), 2)

    def _copy(self, to: int, source: int, direction: int) -> None:
        if self._cuda is None:
            return
        size = ctypes.c_size_t(self.array.nbytes)
        if error := self._cuda.cudaMemcpy(ctypes.c_void_p(to), ctypes.c_void_p(source), size, direction):
            self._forget_error()
            raise RuntimeError(f"cudaMemcpy failed with error {error}.")

    def _forget_error(self) -> None:
        """Else ONNX Runtime would find it, and take it for its own."""
        if self._cuda:
            self._cuda.cudaGetLastError()


def run_with(session: onnxruntime.InferenceSession) -> Run:
    """A session of ONNX Runtime, which any number of threads may run at once."""
    return lambda pixels: session.run(list(OUTPUTS), {"pixels": pixels})


def _load_with_onnxruntime(
    path: Path, provider: Provider, threads: int, spinning: bool, options: dict[str, str] | None = None
) -> onnxruntime.InferenceSession:
    execution_provider = EXECUTION_PROVIDERS[provider]
    if provider in ("cuda", "tensorrt"):
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
