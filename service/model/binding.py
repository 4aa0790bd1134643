"""How ONNX Runtime's sessions run on a GPU: tensors bound to its memory, and asked by one thread alone."""

import ctypes
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime

from service.model.prediction import OUTPUTS, Run

_DTYPES: Final = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
"""Of the model's tensors, by ONNX Runtime's names."""

_ASKS_THE_GPU: Final = ThreadPoolExecutor(1, "gpu")


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
