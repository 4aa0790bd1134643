"""The shipped network alone, run in a loop: what no server can be faster than.

    python -m benchmarks.bare onnxruntime|openvino MODEL THREADS

Reads a number from each line of its input and runs the network that often; answers with the milliseconds of each run,
as JSON. It needs nothing but NumPy and the runtime, whose options are its defaults, made for one picture at a time.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt


class Bare:
    """The loop in a process of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, times: int) -> list[float]:
        """Milliseconds of each run."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(times, file=self._process.stdin, flush=True)
        times_ms: list[float] = json.loads(self._process.stdout.readline())
        return times_ms


@contextmanager
def bare(runtime: str, model: Path, threads: int) -> Iterator[Bare]:
    """Start the loop."""
    command = [sys.executable, "-m", "benchmarks.bare", runtime, str(model), str(threads)]
    pipe = subprocess.PIPE
    folder = Path(__file__).resolve().parent.parent
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=folder) as process:
        yield Bare(process)
        process.stdin and process.stdin.close()


def main() -> None:
    """Serve the loop until the input ends."""
    runtime, model, threads = sys.argv[1:]
    run = {"onnxruntime": _onnxruntime, "openvino": _openvino}[runtime](model, int(threads))
    for line in sys.stdin:
        times_ms = []
        for _ in range(int(line)):
            begin = time.perf_counter()
            run()
            times_ms.append(1000 * (time.perf_counter() - begin))
        print(json.dumps(times_ms), flush=True)


def _onnxruntime(model: str, threads: int) -> Callable[[], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
    (pixels_input,) = session.get_inputs()
    pixels = _picture(pixels_input.shape[1:])
    return lambda: session.run(None, {pixels_input.name: pixels})


def _openvino(model: str, threads: int) -> Callable[[], object]:
    import openvino

    core = openvino.Core()
    network = core.read_model(model)
    pixels = _picture([side.get_length() for side in list(network.input(0).partial_shape)[1:]])
    network.reshape(list(pixels.shape))
    compiled = core.compile_model(network, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads})
    request = compiled.create_infer_request()
    return lambda: request.infer([pixels])


def _picture(sides: list[int]) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (1, *sides), np.uint8)


if __name__ == "__main__":
    main()
