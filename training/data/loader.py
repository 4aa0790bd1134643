"""Feeds the network: pictures prepared once as the service prepares them, then changed anew each epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import lightning
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from service.model.prepare import fit_to, prepare
from training.augment import augment
from training.config import Config, Phase
from training.data.samples import Sample, to_classes
from training.data.splits import Splits

Batch = tuple[Tensor, Tensor]
"""Pictures `(batch, height, width)` `uint8` and the true class of each pixel, the same shape, `uint8`."""


class PreparedPictures(Dataset[tuple[Tensor, Tensor]]):
    """Prepared pictures of one size in memory (256 KiB each with the truth at 256 x 512).

    Where they are changed, they are counted through all epochs: number `epoch * len(pictures) + picture`. Every change
    is drawn from (seed, epoch, picture), so that an epoch can be had again: a run that was killed and resumed sees what
    it would have seen.
    """

    def __init__(self, samples: Sequence[Sample], height: int, width: int, config: Config, *, changed: bool) -> None:
        # One that is shown several times is there once.
        distinct = {id(sample): sample for sample in samples}
        prepared = {
            key: prepare_sample(sample, height, width, config.network.classes) for key, sample in distinct.items()
        }
        self._pictures = [prepared[id(sample)] for sample in samples]
        self._config = config
        self._changed = changed

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        epoch, index = divmod(number, len(self))
        pixels, classes = self._pictures[index]
        if self._changed:
            generator = np.random.default_rng((self._config.seed, epoch, index))
            numbered = self._config.network.classes > 2
            pixels, classes = augment(pixels, classes, numbered, self._config.augmentation, generator)
        return torch.from_numpy(pixels), torch.from_numpy(classes)


class _DrawnOrder(Sampler[int]):
    """An epoch's pictures in an order drawn from (seed, epoch)."""

    def __init__(self, pictures: int, seed: int) -> None:
        self._pictures = pictures
        self._seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return self._pictures

    def __iter__(self) -> Iterator[int]:
        drawing = torch.Generator().manual_seed(self._seed * 100_003 + self.epoch)
        order = torch.randperm(self._pictures, generator=drawing).tolist()
        return (self.epoch * self._pictures + index for index in order)


class _TrainLoader(DataLoader[Batch]):
    """Lightning begins an epoch twice; here the second time gets what the first began, not an epoch drawn anew."""

    _begun: tuple[int, Any] | None = None

    def __iter__(self) -> Any:  # noqa: ANN401 - what PyTorch gives has no public name
        epoch = self.sampler.epoch
        if self._begun is None or self._begun[0] != epoch or self._begun[1]._num_yielded:
            self._begun = epoch, super().__iter__()
        return self._begun[1]


def prepare_sample(
    sample: Sample, height: int, width: int, classes: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A picture and its truth as the network sees them: both `(height, width)` `uint8`, the truth as classes."""
    model_input = prepare(sample.pixels, fit_to(height, width))
    box = model_input.content
    cut = to_classes(sample.labels, classes)[box.index]
    # The pixel of the truth under the centre of each pixel of the input.
    rows = ((np.arange(height) + 0.5) * box.height / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * box.width / width).astype(np.intp)
    return model_input.pixels, np.ascontiguousarray(cut[rows][:, columns])


class ToothData(lightning.LightningDataModule):
    """The loaders of each epoch's phase.

    Args:
        workers: processes that change the training pictures; 0 has the training process do it, as it must where the
            network's arithmetic needs the processor.
    """

    def __init__(self, splits: Splits, config: Config, workers: int = 0) -> None:
        super().__init__()
        self._samples = {
            "train": [sample for sample in splits.train for _ in range(config.repeat.get(sample.category, 1))],
            "val": list(splits.val),
        }
        self._config = config
        self._workers = workers
        self._train: tuple[Phase, _DrawnOrder, DataLoader[Batch]] | None = None
        self._val: tuple[Phase, DataLoader[Batch]] | None = None

    def train_dataloader(self) -> DataLoader[Batch]:
        """The training pictures at the size of the epoch's phase, in an order drawn from (seed, epoch)."""
        phase = self._phase()
        if self._train is None or self._train[0] is not phase:
            pictures = PreparedPictures(self._samples["train"], phase.height, phase.width, self._config, changed=True)
            order = _DrawnOrder(len(pictures), self._config.seed)
            loader = _TrainLoader(
                pictures,
                phase.batch,
                sampler=order,
                # A last batch of one or two pictures would upset the batch statistics.
                drop_last=len(pictures) >= phase.batch,
                num_workers=self._workers,
                persistent_workers=self._workers > 0,
                pin_memory=self._workers > 0,
                worker_init_fn=_keep_to_one_core,
            )
            self._train = phase, order, loader
        _, order, loader = self._train
        assert self.trainer is not None
        order.epoch = self.trainer.current_epoch
        return loader

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation pictures, unchanged, at the same size."""
        phase = self._phase()
        if self._val is None or self._val[0] is not phase:
            pictures = PreparedPictures(self._samples["val"], phase.height, phase.width, self._config, changed=False)
            self._val = phase, DataLoader(pictures, phase.batch)
        return self._val[1]

    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        pictures = len(self._samples["train"])
        return sum(phase.epochs * max(1, pictures // phase.batch) for phase in self._config.phases)

    def _phase(self) -> Phase:
        assert self.trainer is not None
        return self._config.phase(self.trainer.current_epoch)


def _keep_to_one_core(worker: int) -> None:
    # OpenCV's threads do not outlive the fork, and would be waited for.
    cv2.setNumThreads(0)
