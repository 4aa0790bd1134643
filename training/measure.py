"""Measures the float network of a run, picture by picture; what was measured is kept in the run's folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.progress import track

from service.dentition.fdi import CLASSES
from service.model.interpret import find_teeth
from service.model.package import file_sha256
from service.model.prediction import VIEWS, Prediction
from training.checkpoint import CONFIG, LAST, epochs_done, find_checkpoint, load_network
from training.config import Config, load_config
from training.data import Sample, load_split
from training.data.loader import prepare_sample
from training.data.numbering import number_teeth
from training.data.samples import TOOTH, lacks_numbers
from training.evaluate import PictureScore
from training.graph import Familiarity, ServiceGraph
from training.intervals import Figures
from training.metrics import ToothAgreement, dice, iou, match_teeth, pixel_accuracy
from training.network import ToothNetwork
from training.pixels import Labels
from training.thresholds import choose_thresholds
from training.view import ViewRule

Split = Literal["val", "test"]

COMPARED_MEASURES: Final = ("dice", "iou", "pixel_accuracy", "tooth_dice", "tooth_f1")
"""By pixel as means over pictures, by tooth over all teeth."""


class PictureFigures(BaseModel):
    """How well a network read one picture, in pixels of its input; `teeth` is None where there are no numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dice: float
    iou: float
    pixel_accuracy: float
    teeth: ToothAgreement | None


class RunFigures(BaseModel):
    """What was measured of a run.

    Attributes:
        checkpoint_sha256, split: what was measured, and on what.
        height, width: of the network's input, in pixels.
        epochs: that the run has behind it; None where its checkpoint does not say.
        pictures_seen: training pictures that it was shown in them, each time counted.
        pictures: in the order of the split.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    checkpoint_sha256: str
    split: Split
    height: int
    width: int
    epochs: int | None
    pictures_seen: int | None
    pictures: tuple[PictureFigures, ...]


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run's folder with its configuration and figures."""

    folder: Path
    config: Config
    figures: RunFigures


def measure_run(folder: Path, split: Split, *, again: bool = False) -> MeasuredRun:
    """The figures of a run's best checkpoint, read as `panoseg export` would have the service read it.

    They are measured at the size of the run's last phase, with the thresholds that fit the validation pictures, and
    kept as `figures-<split>.json` in its folder, where they are found again as long as the checkpoint is the same.

    Args:
        folder: `runs/<name>`.
        again: measure anew, as is right once the rules of reading or the data have changed.

    Raises:
        ConfigError, CheckpointError, DataError: something of the run cannot be used.
    """
    config = load_config(folder / CONFIG)
    network = load_network(folder, config)
    sha256 = file_sha256(find_checkpoint(folder))
    epochs = epochs_done(folder) if (folder / LAST).exists() else None
    kept = folder / f"figures-{split}.json"
    if not again and (found := _read_kept(kept)) and (found.checkpoint_sha256, found.epochs) == (sha256, epochs):
        return MeasuredRun(folder, config, found)
    size = config.phases[-1]
    figures = RunFigures(
        checkpoint_sha256=sha256,
        split=split,
        height=size.height,
        width=size.width,
        epochs=epochs,
        pictures_seen=None if epochs is None else _count_seen(config, epochs),
        pictures=_measure_pictures(network, config, split, f"measuring {folder.name}"),
    )
    kept.write_text(figures.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return MeasuredRun(folder, config, figures)


def stack_figures(runs: Sequence[Sequence[PictureFigures | PictureScore]], measure: str) -> Figures | None:
    """One of `COMPARED_MEASURES`, of several runs on the same pictures; None where no numbered teeth can be judged."""
    if not measure.startswith("tooth_"):
        values = np.array([[getattr(picture, measure) for picture in pictures] for pictures in runs], np.float64)
        return Figures(values, np.ones_like(values))
    teeth = [[picture.teeth for picture in pictures] for pictures in runs]
    if any(tooth is None for row in teeth for tooth in row):
        return None
    both = [[_part_and_whole(tooth, measure) for tooth in row if tooth is not None] for row in teeth]
    parts, wholes = np.moveaxis(np.array(both, np.float64), -1, 0)
    return Figures(parts, wholes)


def service_graph(network: ToothNetwork, device: torch.device) -> ServiceGraph:
    """The network with what the service runs behind it, on a device; its `distance` means nothing."""
    features = network.unet.encoder.out_channels[-1]
    nowhere = Familiarity(np.zeros(features, np.float32), np.eye(features, dtype=np.float32), 1.0)
    no_view = ViewRule(np.zeros((len(VIEWS), features), np.float32), np.zeros(len(VIEWS), np.float32))
    return ServiceGraph(network, nowhere, no_view).to(device)


def choose_device() -> torch.device:
    """Where networks are measured: the GPU that training would take, or the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


load_split_once = cache(load_split)
"""For splits that several runs share."""


def _measure_pictures(network: ToothNetwork, config: Config, split: Split, title: str) -> tuple[PictureFigures, ...]:
    classes = config.network.classes
    graph = service_graph(network, choose_device())
    samples = load_split_once(config.data, split)
    predictions, truths = _read_pictures(graph, config, samples, title)
    if classes > 2:
        chosen_by = predictions, truths
        if split != "val":
            # Chosen by the very pictures that are measured, they would make the figures too good.
            validation = load_split_once(config.data, "val")
            chosen_by = _read_pictures(graph, config, validation, f"{title}: validation pictures")
        thresholds = choose_thresholds(*chosen_by)
        found = [find_teeth(prediction, thresholds) for prediction in predictions]
    else:
        found = [np.where(prediction.foreground >= 128, np.uint8(TOOTH), 0) for prediction in predictions]
    return tuple(
        PictureFigures(
            name=sample.name,
            dice=dice(labels > 0, truth > 0),
            iou=iou(labels > 0, truth > 0),
            pixel_accuracy=pixel_accuracy(labels > 0, truth > 0),
            teeth=match_teeth(labels, truth) if classes > 2 and not lacks_numbers(sample.labels) else None,
        )
        for sample, labels, truth in zip(samples, found, truths, strict=True)
    )


def _read_pictures(
    graph: ServiceGraph, config: Config, samples: Sequence[Sample], title: str
) -> tuple[list[Prediction], list[Labels]]:
    """What a graph says of some pictures, and their truth as labels, both at the size of the run's last phase."""
    size, classes = config.phases[-1], config.network.classes
    labels = np.array(CLASSES if classes > 2 else (0, TOOTH), np.uint8)
    prepared = [prepare_sample(one, size.height, size.width, classes) for one in number_teeth(samples, config)]
    return [_predict(graph, pixels) for pixels, _ in track(prepared, title)], [labels[truth] for _, truth in prepared]


def _predict(graph: ServiceGraph, pixels: npt.NDArray[np.uint8]) -> Prediction:
    """What a graph of `service_graph` says of one prepared picture; of its distance and view it knows nothing."""
    with torch.inference_mode():
        outputs = graph(torch.from_numpy(pixels).unsqueeze(0).to(graph.mean.device))
    tooth, foreground, confidence, _, view, evidence = (output[0].cpu().numpy() for output in outputs)
    return Prediction(tooth, foreground, confidence, distance=1.0, view=tuple(view.tolist()), evidence=evidence)


def _part_and_whole(teeth: ToothAgreement, measure: str) -> tuple[float, float]:
    if measure == "tooth_dice":
        return sum(teeth.dice), len(teeth.dice)
    return 2 * teeth.teeth.right, teeth.teeth.predicted + teeth.teeth.true


def _count_seen(config: Config, epochs: int) -> int:
    """Training pictures shown in the first epochs; a last batch that is not full is left away, as the loader does."""
    shown = sum(config.repeat.get(sample.category, 1) for sample in load_split_once(config.data, "train"))
    batches = [config.phase(epoch).batch for epoch in range(epochs)]
    return sum(shown // batch * batch or shown for batch in batches)


def _read_kept(path: Path) -> RunFigures | None:
    try:
        return RunFigures.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValidationError):
        return None
