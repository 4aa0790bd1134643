"""What a training step, a validation and the optimiser are."""

import math

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau
from torchmetrics.classification import BinaryF1Score, MulticlassStatScores

from service.errors import SetupError
from training.config import Config, OneCycle
from training.data.loader import Batch
from training.loss import segmentation_loss
from training.network import ToothNetwork


class DivergedError(SetupError):
    """A run whose loss is no number any more, so that nothing more can be learnt."""


def one_cycle_steps(steps: int) -> int:
    """The steps that a one-cycle schedule is laid over: at least two, since PyTorch divides by them less one."""
    return max(steps, 2)


class ToothTask(lightning.LightningModule):
    """Learns the class of every pixel.

    Args:
        config: the run.
        steps: optimiser steps of the whole run, which a one-cycle schedule is laid over.
    """

    def __init__(self, config: Config, steps: int) -> None:
        super().__init__()
        self.network = ToothNetwork(config.network)
        self._config = config
        self._steps = steps
        # Dice is F1 of the pixels.
        self._foreground = BinaryF1Score(validate_args=False)
        self._by_class = MulticlassStatScores(config.network.classes, average=None, validate_args=False)
        self.train()

    def train(self, mode: bool = True) -> "ToothTask":
        super().train(mode)
        if self._config.frozen_statistics:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    @property
    def in_last_phase(self) -> bool:
        """Whether the epoch under way has the input size that is exported."""
        return self._config.phase(self.current_epoch) is self._config.phases[-1]

    def training_step(self, batch: Batch, index: int) -> Tensor:
        pixels, classes = batch
        loss = segmentation_loss(self.network(pixels), classes, self._config.loss)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(pixels))
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        pixels, classes = batch
        logits = self.network(pixels)
        loss = segmentation_loss(logits, classes, self._config.loss)
        predicted, truth = logits.argmax(dim=1), classes.long()
        self._by_class.update(predicted, truth)
        self._foreground.update(predicted > 0, truth > 0)
        self.log("val_loss", loss, prog_bar=True, batch_size=len(pixels))

    def on_validation_epoch_start(self) -> None:
        self._by_class.reset()
        self._foreground.reset()

    def on_validation_epoch_end(self) -> None:
        right, false, _, missed, truth = self._by_class.compute()[1:].T
        dice = 2 * right / (2 * right + false + missed).clamp(min=1)
        self.log("val_dice", self._foreground.compute(), prog_bar=True)
        self.log("val_class_dice", dice[truth > 0].mean(), prog_bar=True)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Lightning refuses to clip for a fused optimiser, which float16's scaled gradients would need; there are none.
        if (most := self._config.optimiser.gradient_clip) is not None:
            nn.utils.clip_grad_norm_(self.parameters(), most)

    def on_train_epoch_end(self) -> None:
        # Here, since the last checkpoint is written next.
        if not self.trainer.callback_metrics["train_loss"].isfinite():
            raise DivergedError(
                f"The loss is no number since epoch {self.current_epoch}; lower optimiser.learning_rate or set "
                "precision: fp32."
            )
        # Lightning would let it follow only after the checkpoint is written, and a resumed run would miss an epoch.
        schedule = self.lr_schedulers()
        if isinstance(schedule, ReduceLROnPlateau):
            if self._config.begins_phase(self.current_epoch):
                # Losses of another input size do not compare.
                schedule.best, schedule.num_bad_epochs = math.inf, 0
            schedule.step(self.trainer.callback_metrics["val_loss"].item())

    def lr_scheduler_step(self, scheduler: LRScheduler, metric: Tensor | None) -> None:
        if not isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        how = self._config.optimiser
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[how.name]
        # Fused it takes a quarter of the time, on a processor too.
        optimiser = kind(self.parameters(), lr=how.learning_rate, weight_decay=how.weight_decay, fused=True)
        schedule = self._config.scheduler
        if isinstance(schedule, OneCycle):
            steps = one_cycle_steps(self._steps)
            warm_up = max(schedule.warm_up, 1.5 / steps)
            one_cycle = OneCycleLR(optimiser, how.learning_rate, steps, pct_start=warm_up)
            return {"optimizer": optimiser, "lr_scheduler": {"scheduler": one_cycle, "interval": "step"}}
        plateau = ReduceLROnPlateau(optimiser, factor=schedule.factor, patience=schedule.patience)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"}}
