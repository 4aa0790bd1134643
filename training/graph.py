"""The network as the service runs it: with what follows it, and what its features tell of the picture as a whole."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from service.errors import SetupError
from service.model.prediction import EVIDENCE_CELL, EVIDENCE_STEPS, OUTPUTS
from training.network import ToothNetwork, scale_pixels
from training.view import ViewRule

OPSET: Final = 20
"""Of ONNX's operators; ONNX Runtime knows it from 1.17 on, TensorRT from 10."""

_BATCH: Final = 8

_LARGEST_EXPONENT: Final = 80.0
"""Where exp is still a finite float32."""


class ExportError(SetupError):
    """A trained network that must not become a model package."""


@dataclass(frozen=True, slots=True, eq=False)
class Familiarity:
    """Where the training pictures lie in the space of the network's features.

    Attributes:
        mean: `(features,)` `float32`.
        precision: `(features, features)` `float32`, the inverse of the shrunk covariance.
        scale: median of the training pictures' Mahalanobis distances.
    """

    mean: npt.NDArray[np.float32]
    precision: npt.NDArray[np.float32]
    scale: float


class ServiceGraph(nn.Module):
    """`pixels` `(batch, height, width)` `uint8` to the six outputs that `service.model.session` reads.

    Args:
        network: trained, with 33 classes; made ready for inference here.
        familiarity: constants of `distance`.
        view: constants of `view`.
    """

    def __init__(self, network: ToothNetwork, familiarity: Familiarity, view: ViewRule) -> None:
        super().__init__()
        self.unet = network.unet
        self.eval()
        self.register_buffer("mean", torch.from_numpy(familiarity.mean))
        self.register_buffer("precision", torch.from_numpy(familiarity.precision))
        self.scale = familiarity.scale
        self.register_buffer("view_weights", torch.from_numpy(view.weights))
        self.register_buffer("view_bias", torch.from_numpy(view.bias))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The outputs of prepared pictures, in the order of `OUTPUTS`."""
        maps = self.unet.encoder(scale_pixels(pixels))
        logits = self.unet.segmentation_head(self.unet.decoder(maps))
        # Classes last: ONNX Runtime reduces over neighbours in memory in half the time, and its int8 kernels end so.
        scores = logits.permute(0, 2, 3, 1)
        background, teeth = scores[..., 0], scores[..., 1:]
        best, tooth = teeth.max(dim=-1)
        # Softmax of only what is asked for: everything relative to the best tooth.
        others = (teeth - best.unsqueeze(-1)).exp().sum(dim=-1)
        whole = others + (background - best).clamp(max=_LARGEST_EXPONENT).exp()
        features = average(maps[-1])
        away = features - self.mean
        squared = ((away @ self.precision) * away).sum(dim=1)
        return (
            (tooth + 1).to(torch.uint8),
            (255 * others / whole).round().to(torch.uint8),
            (255 / whole).round().to(torch.uint8),
            squared.clamp(min=0).sqrt() / self.scale,
            (features @ self.view_weights.T + self.view_bias).softmax(dim=1),
            weigh_cells(logits[:, 1:]),
        )


def weigh_cells(teeth: Tensor) -> Tensor:
    """Logits of the teeth `(batch, 32, height, width)` as `Prediction.evidence`, `(batch, rows, columns, 32)`."""
    cells = nn.functional.avg_pool2d(teeth, EVIDENCE_CELL).permute(0, 2, 3, 1)
    return (cells.log_softmax(dim=-1) * -EVIDENCE_STEPS).round().clamp(max=255).to(torch.uint8)


def average(features: Tensor) -> Tensor:
    """Feature maps `(batch, features, height, width)` averaged over the picture."""
    return features.mean(dim=(2, 3))


def measure_features(network: ToothNetwork, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The network's deepest features of pictures, `(pictures, features)`.

    Args:
        pictures: `(pictures, height, width)`, prepared as the service prepares them.
    """
    network.eval()
    with torch.inference_mode():
        features = [
            average(network.unet.encoder(scale_pixels(batch))[-1]) for batch in torch.from_numpy(pictures).split(_BATCH)
        ]
    return torch.cat(features).double().numpy()


def learn_familiarity(points: npt.NDArray[np.float64]) -> Familiarity:
    """Where pictures lie in the space of the network's deepest features.

    There are fewer pictures than features, so the covariance is shrunk towards a multiple of the identity, by the share
    that Ledoit and Wolf (2004, A well-conditioned estimator for large-dimensional covariance matrices) derive.

    Args:
        points: `(pictures, features)`, at least 2.
    """
    mean = points.mean(axis=0)
    precision = np.linalg.inv(shrink_covariance(points - mean))
    distances = np.sqrt(((points - mean) @ precision * (points - mean)).sum(axis=1))
    return Familiarity(mean.astype(np.float32), precision.astype(np.float32), float(np.median(distances)))


def shrink_covariance(centred: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The covariance of points `(points, features)` whose mean is 0, shrunk as Ledoit and Wolf (2004, section 3) do."""
    count, features = centred.shape
    covariance = centred.T @ centred / count
    spread = np.trace(covariance) / features
    target = spread * np.eye(features)
    apart = ((covariance - target) ** 2).sum() / features
    # Mean of |x x' - S|^2 over the points: |x|^4 summed, less |S|^2.
    noise = ((centred**2).sum(axis=1) ** 2).mean() - (covariance**2).sum()
    share = min(1.0, noise / features / count / apart) if apart > 0 else 1.0
    # Features that never differ leave nothing to invert.
    return (1 - share) * covariance + share * target + 1e-6 * max(spread, 1e-6) * np.eye(features)


def write_onnx(graph: ServiceGraph, height: int, width: int, path: Path) -> None:
    """Write the graph as one ONNX file with any number of pictures a batch."""
    example = torch.zeros(2, height, width, dtype=torch.uint8)
    torch.onnx.export(
        graph,
        (example,),
        path,
        input_names=["pixels"],
        output_names=list(OUTPUTS),
        opset_version=OPSET,
        dynamo=True,
        dynamic_shapes={"pixels": {0: torch.export.Dim("batch", min=1)}},
        external_data=False,
        verbose=False,
    )
