"""One way to run the network on a GPU, in sizes of batch; `benchmarks.gpu` starts this once for each way."""

import argparse
import ctypes
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from benchmarks.measure import summary
from service.memory import keep_freed_memory
from service.model.binding import run_bound
from service.model.package import ModelPackage, choose_package
from service.model.prediction import OUTPUTS
from service.model.providers import EXECUTION_PROVIDERS
from service.model.runtimes import run_with

BATCHES: Final = (1, 16, 64, 8, 4, 32, 2)
"""In the order of measuring: what there is no time for is missed least."""

_LEAST_RUNS: Final = 20
_LONGEST_S: Final = 2.0
"""Of one size of batch, after which fewer runs will do."""

SAID: Final = 1500
"""Characters of an error that are kept, its last."""

_NHWC: Final = {"prefer_nhwc": "1"}
_GRAPHS: Final = {"enable_cuda_graph": "1"}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run the network.

    Attributes:
        precision: which of the package's files runs.
        options: of ONNX Runtime's provider for CUDA.
        batches: that it is measured with.
    """

    precision: str = "fp16"
    options: dict[str, str] = field(default_factory=dict)
    batches: tuple[int, ...] = BATCHES

    @property
    def graphs(self) -> bool:
        """Whether the session keeps its work as CUDA graphs."""
        return "enable_cuda_graph" in self.options


WAYS: Final = {
    "float16, NHWC and CUDA graphs": Way(options=_NHWC | _GRAPHS),
    "float16": Way(),
    "float16, NHWC": Way(options=_NHWC),
    "float16, CUDA graphs": Way(options=_GRAPHS),
    "int8": Way("int8", batches=(1, 16)),
}


def main() -> None:
    """Measure one way: print a line of JSON for the session and one for each size of batch."""
    chosen = _parse()
    end = time.perf_counter() + chosen.seconds
    keep_freed_memory()  # as the service does
    way, package = WAYS[chosen.way], choose_package(chosen.models, None)
    begin = time.perf_counter()
    session = _open(package, way, chosen.provider)
    opened = {"session_s": round(time.perf_counter() - begin, 2), "cudnn": _cudnn_version()}
    _tell(opened | {"nodes_on_processor": _on_processor(session)} if chosen.provider == "cuda" else opened)
    run = run_bound(session, chosen.provider, graphs=way.graphs)  # type: ignore[arg-type]
    picture, reference = _known_picture(package), np.load(chosen.reference)
    threshold = 255 * package.manifest.thresholds.foreground
    for count in (1, 2) if chosen.quick else way.batches:
        if time.perf_counter() > end:
            _tell({"batch": count, "left_out": "no time was left"})
            continue
        try:
            figures = _time_batch(run, session, count, picture.shape, quick=chosen.quick)
            pictures = np.concatenate([_noise(count - 1, picture.shape), picture[np.newaxis]])
            foreground = run(pictures)[OUTPUTS.index("foreground")][-1]
            figures |= _compare(foreground, reference, threshold)
        except Exception as error:  # whatever it is, another size may do
            figures = {"error": f"{type(error).__name__}: {error}"[-SAID:]}
        _tell({"batch": count} | figures)


def _parse() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--way", choices=WAYS, required=True)
    arguments.add_argument("--models", type=Path, required=True, help="as `panoseg derive` made it")
    arguments.add_argument("--reference", type=Path, required=True, help="what `foreground_on_processor` gave, as .npy")
    arguments.add_argument("--provider", choices=("cuda", "cpu"), default="cuda")
    arguments.add_argument("--seconds", type=float, default=60.0, help="after which no other size of batch is begun")
    arguments.add_argument("--quick", action="store_true", help="few runs, to see that it runs; figures mean little")
    return arguments.parse_args()


def foreground_on_processor(package: ModelPackage) -> npt.NDArray[np.uint8]:
    """What the int8 file says on the processor of the package's known picture, `(height, width)`, for `--reference`."""
    session = _open(package, Way("int8"), "cpu")
    foreground: npt.NDArray[np.uint8] = run_with(session)(_known_picture(package)[np.newaxis])[1][0]
    return foreground


class _Timed(onnxruntime.InferenceSession):
    """A session that keeps the milliseconds of its latest run, which ends when the device is done."""

    taken_ms = 0.0

    def run_with_iobinding(
        self, iobinding: onnxruntime.IOBinding, run_options: onnxruntime.RunOptions | None = None
    ) -> None:
        """ONNX Runtime's own."""
        begin = time.perf_counter()
        super().run_with_iobinding(iobinding, run_options)
        self.taken_ms = 1000 * (time.perf_counter() - begin)


def _open(package: ModelPackage, way: Way, provider: str) -> _Timed:
    file = next(file for file in package.manifest.files if file.precision == way.precision)
    settings = onnxruntime.SessionOptions()
    options: dict[str, str] = {}
    if provider == "cuda":
        onnxruntime.preload_dlls()
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        options = way.options
    # Without the fallback, an error is told and does not become a session on the processor.
    session = _Timed(
        package.folder / file.path, settings, [(EXECUTION_PROVIDERS[provider], options)], enable_fallback=0
    )
    if session.get_providers()[0] != EXECUTION_PROVIDERS[provider]:
        raise RuntimeError(f"the session holds {session.get_providers()}")
    return session


def _time_batch(
    run: Callable[[npt.NDArray[np.uint8]], object], timed: _Timed, count: int, size: tuple[int, ...], *, quick: bool
) -> dict[str, Any]:
    """One size of batch, with copies to the device and back and without; other pictures each time."""
    seconds, least = (0.0, 3) if quick else (0.4, _LEAST_RUNS)
    pictures = _noise(count + 7, size)
    begin = time.perf_counter()
    run(pictures[:count])
    first_s = time.perf_counter() - begin
    for _ in range(1 if quick else 4):
        run(pictures[:count])
    whole: list[float] = []
    device: list[float] = []
    since = time.perf_counter()
    while (passed := time.perf_counter() - since) < seconds or len(whole) < (least if passed < _LONGEST_S else 3):
        first = len(whole) % 8
        begin = time.perf_counter()
        run(pictures[first : first + count])
        whole.append(1000 * (time.perf_counter() - begin))
        device.append(timed.taken_ms)
    figures = {"first_run_s": round(first_s, 2), "run": summary(whole), "without_copies": summary(device)}
    return figures | {"pictures_per_second": round(1000 * count / figures["run"]["p50_ms"], 1)}


def _compare(
    foreground: npt.NDArray[np.uint8], reference: npt.NDArray[np.uint8], threshold: float
) -> dict[str, float | int]:
    """Beside the int8 file on the processor: pixels on the same side of the threshold, and the largest difference."""
    agree = (foreground >= threshold) == (reference >= threshold)
    difference = np.abs(foreground.astype(int) - reference)
    return {
        "pixels_that_agree": round(float(agree.mean()), 6),
        "largest_difference_of_foreground_of_255": int(difference.max()),
    }


def _known_picture(package: ModelPackage) -> npt.NDArray[np.uint8]:
    picture = cv2.imread(str(package.folder / package.manifest.known_answer.picture), cv2.IMREAD_GRAYSCALE)
    return np.asarray(picture, np.uint8)


def _noise(count: int, size: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, *size), np.uint8)


def _cudnn_version() -> int | None:
    try:
        return int(ctypes.CDLL("libcudnn.so.9").cudnnGetVersion())
    except (OSError, AttributeError):
        return None


def _on_processor(session: onnxruntime.InferenceSession) -> list[str] | str:
    """Operators that the runtime left to the processor; CUDA graphs can do with none but shapes."""
    try:
        parts = session.get_provider_graph_assignment_info()
        return sorted(node.op_type for part in parts if "CPU" in part.ep_name for node in part.get_nodes())
    except Exception as error:  # new in ONNX Runtime, and no figure depends on it
        return f"unknown: {error}"


def _tell(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
