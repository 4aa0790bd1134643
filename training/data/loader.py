"""Feeds the network: pictures prepared once as the service prepares them, then changed anew each epoch."""

from collections.abc import Sequence

import lightning
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from service.model.prepare import Fit, prepare
from training.augment import augment
from training.config import Config
from training.data.samples import Sample, to_classes
from training.data.splits import Splits

Batch = tuple[Tensor, Tensor]
"""Pictures `(batch, height, width)` `uint8` and the true class of each pixel, the same shape, `uint8`."""


class PreparedPictures(Dataset[tuple[Tensor, Tensor]]):
    """Prepared pictures of one size in memory (256 KiB each with the truth at 256 x 512), changed as configured.

    Every change is drawn from (seed, epoch, picture), so that an epoch can be had again: a run that was killed and
    resumed sees what it would have seen.
    """

    def __init__(self, samples: Sequence[Sample], height: int, width: int, config: Config, epoch: int | None) -> None:
        self._pictures = [prepare_sample(sample, height, width, config.network.classes) for sample in samples]
        self._config = config
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._pictures)

    def at_epoch(self, epoch: int) -> None:
        """Draw the changes of this epoch from now on."""
        self._epoch = epoch

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pixels, classes = self._pictures[index]
        if self._epoch is not None:
            generator = np.random.default_rng((self._config.seed, self._epoch, index))
            numbered = self._config.network.classes > 2
            pixels, classes = augment(pixels, classes, numbered, self._config.augmentation, generator)
        return torch.from_numpy(pixels), torch.from_numpy(classes)


def prepare_sample(
    sample: Sample, height: int, width: int, classes: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A picture and its truth as the network sees them: both `(height, width)` `uint8`, the truth as classes."""
    model_input = prepare(sample.pixels, Fit(height, width))
    box = model_input.content
    cut = to_classes(sample.labels, classes)[box.y : box.y + box.height, box.x : box.x + box.width]
    # The pixel of the truth under the centre of each pixel of the input.
    rows = ((np.arange(height) + 0.5) * box.height / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * box.width / width).astype(np.intp)
    return model_input.pixels, np.ascontiguousarray(cut[rows][:, columns])


class ToothData(lightning.LightningDataModule):
    """The loaders of each epoch's phase."""

    def __init__(self, splits: Splits, config: Config) -> None:
        super().__init__()
        self._samples = {
            "train": [sample for sample in splits.train for _ in range(config.repeat.get(sample.category, 1))],
            "val": list(splits.val),
        }
        self._config = config
        self._prepared: dict[tuple[str, int, int], PreparedPictures] = {}

    def train_dataloader(self) -> DataLoader[Batch]:
        """The training pictures at the size of the epoch's phase, in an order drawn from (seed, epoch)."""
        assert self.trainer is not None
        epoch = self.trainer.current_epoch
        phase = self._config.phase(epoch)
        pictures = self._pictures("train", phase.height, phase.width)
        pictures.at_epoch(epoch)
        # Drawn here once: Lightning iterates once more in a run that goes on than in one that begins.
        drawing = torch.Generator().manual_seed(self._config.seed * 100_003 + epoch)
        order = torch.randperm(len(pictures), generator=drawing).tolist()
        return DataLoader(
            pictures,
            phase.batch,
            sampler=order,
            # A last batch of one or two pictures would upset the batch statistics.
            drop_last=len(pictures) >= phase.batch,
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation pictures, unchanged, at the same size."""
        assert self.trainer is not None
        phase = self._config.phase(self.trainer.current_epoch)
        return DataLoader(self._pictures("val", phase.height, phase.width), phase.batch)

    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        pictures = len(self._samples["train"])
        return sum(phase.epochs * max(1, pictures // phase.batch) for phase in self._config.phases)

    def _pictures(self, split: str, height: int, width: int) -> PreparedPictures:
        key = (split, height, width)
        if key not in self._prepared:
            epoch = 0 if split == "train" else None
            self._prepared[key] = PreparedPictures(self._samples[split], height, width, self._config, epoch)
        return self._prepared[key]
