"""What can run the model: by the short names that people set, and by those of manifests and answers."""

from typing import Final, Literal, get_args

Provider = Literal["cpu", "cuda", "tensorrt", "openvino"]

ProcessorProvider = Literal["cpu", "openvino"]
"""Those with which the processor does the arithmetic."""

EXECUTION_PROVIDERS: Final[dict[Provider, str]] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINO",
}
"""What manifests and answers call each: by ONNX Runtime's own names, and OpenVINO."""


def runs_on_processor(provider: Provider) -> bool:
    """Whether the processor does the arithmetic, not a GPU."""
    return provider in get_args(ProcessorProvider)
