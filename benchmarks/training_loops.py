"""The training loops that `benchmarks.training_speed` times: a plain one, it with tricks, and `panoseg train`."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import lightning
import numpy as np
import segmentation_models_pytorch as smp
import torch
from lightning.pytorch.callbacks import Callback
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from training.config import Augmentation, Config
from training.data import Sample, Splits
from training.data.loader import ToothData
from training.data.samples import read_radiograph, to_classes
from training.loss import segmentation_loss
from training.network import DEVIATION, MEAN
from training.task import ToothTask
from training.train import choose_precision, moving_average

WARM_UP: Final = 2


@dataclass(frozen=True, slots=True)
class Setting:
    """How a loop differs from the plain one.

    Attributes:
        cached: pictures are decoded and resized once and kept as bytes; scaled in the network's first step.
        grey: one channel instead of three.
        channels_last: memory layout of network and pictures.
        our_loss: this project's loss instead of the libraries'.
        precision: of the network's arithmetic.
        panoseg: the loop is `panoseg train`'s own; everything above is as that one has it.
        as_configured: and does what the configuration asks for beyond: changed pictures, clipped gradients, averaged
            weights.
    """

    cached: bool = False
    grey: bool = False
    channels_last: bool = False
    our_loss: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    panoseg: bool = False
    as_configured: bool = False


def measure(setting: Setting, config: Config, folder: Path, steps: int) -> float:
    """Pictures a second of a loop, by the median of its steps; the first ones are not counted.

    Args:
        setting: which loop.
        config: the run; its last phase says input size and batch.
        folder: holds `NNNN.jpg` and, with FDI numbers as grey values, `NNNN.png`.
        steps: that are timed.
    """
    if setting.panoseg:
        times = _time_panoseg(setting, config, folder, steps)
    else:
        times = _time_loop(setting, config, folder, steps)
    return config.phases[-1].batch / statistics.median(times[WARM_UP:])


class _Pictures(Dataset[tuple[Tensor, Tensor]]):
    """JPEGs and masks as a plain loop reads them; with `cached`, once only and as bytes."""

    def __init__(self, setting: Setting, config: Config, folder: Path) -> None:
        self._paths = sorted(folder.glob("*.jpg"))
        self._setting, self._classes = setting, config.network.classes
        self._size = config.phases[-1].width, config.phases[-1].height
        self._kept = [self._read(path) for path in self._paths] if setting.cached else None

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if self._kept is not None:
            return self._kept[index]
        pixels, classes = self._read(self._paths[index])
        return pixels.float() / 255.0, classes.long()

    def _read(self, path: Path) -> tuple[Tensor, Tensor]:
        with Image.open(path) as picture, Image.open(path.with_suffix(".png")) as mask:
            grey = picture.convert("L" if self._setting.grey else "RGB").resize(self._size, Image.Resampling.BILINEAR)
            labels = mask.resize(self._size, Image.Resampling.NEAREST)
        pixels = torch.from_numpy(np.array(grey))
        pixels = pixels.unsqueeze(0) if self._setting.grey else pixels.permute(2, 0, 1).contiguous()
        return pixels, torch.from_numpy(to_classes(np.array(labels), self._classes))


def _time_loop(setting: Setting, config: Config, folder: Path, steps: int) -> list[float]:
    torch.manual_seed(0)
    pictures = _Pictures(setting, config, folder)
    loader = DataLoader(pictures, config.phases[-1].batch, shuffle=True, drop_last=True)
    network: nn.Module = smp.Unet(
        config.network.encoder,
        encoder_weights=None,
        encoder_depth=len(config.network.decoder_channels),
        decoder_channels=config.network.decoder_channels,
        in_channels=1 if setting.grey else 3,
        classes=config.network.classes,
    )
    layout = torch.channels_last if setting.channels_last else torch.contiguous_format
    network = network.to(memory_format=layout).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    dice = smp.losses.DiceLoss("multiclass")
    times: list[float] = []
    while len(times) < WARM_UP + steps:
        begin = time.perf_counter()
        for pixels, classes in loader:
            grey = ((pixels.float() / 255.0 - MEAN) / DEVIATION) if setting.cached else pixels
            optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=setting.precision == "bf16"):
                logits = network(grey.contiguous(memory_format=layout))
            if setting.our_loss:
                loss = segmentation_loss(logits, classes, config.loss)
            else:
                truth = classes.long()
                loss = nn.functional.cross_entropy(logits, truth) + dice(logits, truth)
            loss.backward()
            optimiser.step()
            times.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            if len(times) == WARM_UP + steps:
                break
    return times


def _time_panoseg(setting: Setting, config: Config, folder: Path, steps: int) -> list[float]:
    """The parts that `panoseg train` is put together from, without validation, log and checkpoints."""
    if not setting.as_configured:
        optimiser = config.optimiser.model_copy(update={"gradient_clip": None})
        changes = {"augmentation": Augmentation(), "optimiser": optimiser, "average_decay": None}
        config = config.model_copy(update=changes)
    samples = tuple(_read_sample(path) for path in sorted(folder.glob("*.jpg")))
    timer = _Timer()
    callbacks: list[Callback] = [timer]
    if config.average_decay is not None:
        callbacks.insert(0, moving_average(config.average_decay))
    with tempfile.TemporaryDirectory() as scratch:
        trainer = lightning.Trainer(
            max_steps=WARM_UP + steps,
            accelerator="cpu",
            precision=choose_precision(config),
            reload_dataloaders_every_n_epochs=1,
            limit_val_batches=0,
            logger=False,
            callbacks=callbacks,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            default_root_dir=scratch,
        )
        data = ToothData(Splits(samples, samples[:1], ()), config)
        trainer.fit(ToothTask(config, WARM_UP + steps + 1), data)
    return timer.times


def _read_sample(path: Path) -> Sample:
    data, radiograph = read_radiograph(path)
    labels = np.array(Image.open(path.with_suffix(".png")))
    return Sample(path.name, data, radiograph.pixels, labels)


class _Timer(Callback):
    """Times from the end of one step to the end of the next, so that reading the next pictures counts."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._begin = 0.0

    def on_train_epoch_start(self, *_: object) -> None:
        """Lightning's own hook."""
        self._begin = time.perf_counter()

    def on_train_batch_end(self, *_: object) -> None:
        """Lightning's own hook."""
        now = time.perf_counter()
        self.times.append(now - self._begin)
        self._begin = now
