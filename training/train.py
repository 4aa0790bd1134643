"""Runs a training configuration, from its start or from where it was stopped."""

import csv
import io
import logging
import warnings
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
import yaml
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from rich.console import Console
from torch.optim.swa_utils import get_ema_multi_avg_fn

from service.errors import SetupError
from service.machine import usable_cores
from service.model.package import MANIFEST
from training.begin import begin_network
from training.checkpoint import CONFIG, LAST, CheckpointError, is_finished, is_package, read_checkpoint
from training.compare import find_changes
from training.config import Config, ConfigError, load_config
from training.data import Splits, load_splits
from training.data.leaks import refuse_leaks
from training.data.loader import ToothData
from training.data.numbering import number_teeth
from training.data.splits import has_test, refuse_unfit
from training.task import ToothTask, one_cycle_steps


class StoppedError(SetupError):
    """A run that was told to stop; its last checkpoint is whole."""


def train(
    config_path: Path, runs: Path, *, resume: bool, begin_with: Path | None = None, allow_leaks: bool = False
) -> Path:
    """Train; the run's folder `runs/<name>` gets the configuration, `log/*.csv`, `last.ckpt` and `best.ckpt`.

    `last.ckpt` is written after every epoch and holds all that is needed to go on: network, its moving average,
    optimiser, scheduler, epoch. Random numbers need no saving: order and augmentation draw from (seed, epoch, picture).

    Args:
        resume: go on from `last.ckpt`; where there is none yet, start. A run that has ended stays as it is.
        begin_with: a package or a run to begin with, in place of the one that the configuration names; a run that goes
            on keeps the one that it was begun with.
        allow_leaks: begin even where a picture or a patient is in two splits; the run's configuration tells of it.

    Returns:
        The run's folder.

    Raises:
        ConfigError: the run's folder is there already and `resume` is not asked for, or holds another configuration;
            the configuration is of a mean of weights, or would keep the statistics of random weights; the run was begun
            with another number of training pictures.
        CheckpointError: there is no package or run to begin with, or no weights of this network in it; a checkpoint
            cannot be written, and the one before is whole.
        ModelPackageError: the package to begin with is damaged.
        DataError: the data are broken, or splits share a picture or a patient.
        StoppedError: by Ctrl-C or SIGTERM.
        DivergedError: the loss is no number any more.
    """
    written = config = load_config(config_path)
    if config.mean_share is not None:
        raise ConfigError(
            f"{config_path} is of a mean of weights (mean_share: {config.mean_share:g}), which panoseg average makes "
            "and which is not trained; leave mean_share out, or begin with the mean by --from."
        )
    folder = runs / config.name
    last = folder / LAST
    if folder.exists() and not resume:
        raise ConfigError(f"{folder} is there already; add --resume to go on with it, or remove it.")
    begun = load_config(folder / CONFIG) if (folder / CONFIG).exists() else None
    config = _with_what_was_asked(config, begun, begin_with, allow_leaks)
    if begun is not None and (changes := find_changes(_resolve(config), _resolve(begun), leaving_out=("allow_leaks",))):
        raise ConfigError(
            f"{folder} was begun with another configuration ({'; '.join(changes)}); give {config_path} another name."
        )
    # Lightning would give a run that stopped early one more epoch each time.
    if last.exists() and is_finished(folder, config):
        return folder
    if not last.exists():
        _refuse_nothing_to_begin_with(config)
    lightning.seed_everything(config.seed, verbose=False)
    # On a GPU the processor has nothing to do but to change pictures, and one core of it would be far behind.
    on_gpu = torch.cuda.is_available()
    data = ToothData(_load_data(config), config, usable_cores() if on_gpu else 0)
    task = _make_task(config, data)
    if config.begin_with is not None and not last.exists():
        task.network.load_state_dict(begin_network(config).state_dict())
    folder.mkdir(parents=True, exist_ok=True)
    if begun is None or begun.allow_leaks != config.allow_leaks:
        # As it was written, with its comments, unless the command line says otherwise.
        text = config_path.read_text(encoding="utf-8") if config == written else config.to_yaml()
        (folder / CONFIG).write_text(text, encoding="utf-8")
    logger = CSVLogger(folder, name="", version="log")
    if last.exists():
        _take_up(folder, logger, read_checkpoint(last), data.steps())
    _quieten_lightning(config)
    precision = choose_precision(config)
    trainer = lightning.Trainer(
        max_epochs=config.epochs,
        accelerator="auto",
        devices=1,
        precision=precision,
        reload_dataloaders_every_n_epochs=1,
        check_val_every_n_epoch=config.validate_every_epochs,
        num_sanity_val_steps=0,
        benchmark=on_gpu,
        logger=logger,
        plugins=[_WholeCheckpoints()],
        log_every_n_steps=1,
        callbacks=_callbacks(config, folder),
        enable_model_summary=False,
    )
    message = f"{folder}: {config.epochs} epochs on {trainer.strategy.root_device}, precision {precision}, "
    message += f"going on from {LAST}" if last.exists() else f"from {config.begin_with or 'random weights'}"
    Console(stderr=True).print(message, highlight=False)
    _fit(trainer, task, data, last)
    return folder


def _with_what_was_asked(config: Config, begun: Config | None, begin_with: Path | None, allow_leaks: bool) -> Config:
    """A configuration with what the command line says, now or when the run was begun."""
    begin_with = begin_with or (begun and begun.begin_with)
    if begin_with is not None:
        frozen = config.frozen_statistics or is_package(begin_with)
        config = config.model_copy(update={"begin_with": begin_with, "frozen_statistics": frozen})
    if allow_leaks or (begun is not None and begun.allow_leaks):
        config = config.model_copy(update={"allow_leaks": True})
    return config


def _refuse_nothing_to_begin_with(config: Config) -> None:
    if config.begin_with is None:
        if config.frozen_statistics:
            raise ConfigError(
                f"The configuration {config.name} keeps the statistics of batches as they are (frozen_statistics: "
                "true), and random weights have none that fit them; name a package or a run to begin with, by --from "
                "or begin_with, or leave frozen_statistics out."
            )
    elif not config.begin_with.exists():
        raise CheckpointError(
            f"There is no package and no run {config.begin_with} to begin with; name one that is there, or train it "
            "first."
        )
    elif versions := [path.parent for path in config.begin_with.glob(f"*/{MANIFEST}")]:
        raise CheckpointError(
            f"{config.begin_with} holds packages and is none; name a version: {', '.join(map(str, sorted(versions)))}."
        )


def _make_task(config: Config, data: ToothData) -> ToothTask:
    try:
        return ToothTask(config, data.steps())
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{config.name}: no such network can be made: {error.args[0]}") from error


def _fit(trainer: lightning.Trainer, task: ToothTask, data: ToothData, last: Path) -> None:
    try:
        trainer.fit(task, data, ckpt_path=last if last.exists() else None, weights_only=False)
    except SystemExit as stopped:  # Lightning's way to end for Ctrl-C and SIGTERM, for the latter with success
        raise StoppedError(
            f"{last.parent} was stopped before its end; `panoseg train` with --resume goes on."
        ) from stopped


def _quieten_lightning(config: Config) -> None:
    """Keep what it says about itself, and about what is meant here, from who waits for a run."""
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
    # Said where a run's folder was moved or copied: of the best one it is not so, and the last one is written anew.
    warnings.filterwarnings("ignore", "The dirpath has changed")
    warnings.filterwarnings("ignore", ".*LeafSpec.* is deprecated")
    if config.frozen_statistics:
        warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")


def _load_data(config: Config) -> Splits:
    """The pictures to learn from and to choose by, once those to report on have been held against them."""
    # Phantoms are drawn from seeds of their own in each split.
    checked = not config.allow_leaks and config.data.kind != "phantom"
    names = ("train", "val", "test") if checked and has_test(config.data) else ("train", "val")
    splits = load_splits(config.data, names=names)
    refuse_unfit(splits, config)
    if checked:
        refuse_leaks(splits)
    return Splits(train=number_teeth(splits.train, config), val=number_teeth(splits.val, config), test=())


def train_or_go_on(config: Config, runs: Path) -> Path:
    """Train a configuration that no file holds yet, or go on where it was stopped; its file becomes `<name>.yaml`.

    Returns:
        The folder of a run that has ended, now or before.

    Raises:
        ConfigError, CheckpointError, DataError: as `train`.
    """
    runs.mkdir(parents=True, exist_ok=True)
    path = runs / f"{config.name}.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
    return train(path, runs, resume=True)


def _resolve(config: Config) -> Config:
    """The same with the weights to begin with named in one way, be it from this folder or from the root."""
    return config.model_copy(update={"begin_with": config.begin_with and config.begin_with.resolve()})


def choose_precision(config: Config) -> Literal["bf16-mixed", "32-true"]:
    """The arithmetic of a run: bf16 where asked for, or where `auto` finds hardware that multiplies it natively.

    On a processor that has to emulate it bf16 is slower than fp32; with AVX-512 BF16 it was 2.2 to 3 times as fast.
    """
    if config.precision != "auto":
        return "bf16-mixed" if config.precision == "bf16" else "32-true"
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported()
    return "bf16-mixed" if native else "32-true"


def _take_up(folder: Path, logger: CSVLogger, left: dict[str, Any], steps: int) -> None:
    """Go on with the log of a checkpoint; refused where its cycle was laid over other steps than there are now."""
    for schedule in left["lr_schedulers"]:
        if (begun_with := schedule.get("total_steps")) not in (None, one_cycle_steps(steps)):
            raise ConfigError(
                f"{folder} was begun with more or fewer training pictures: {begun_with} steps in all, and now {steps}; "
                "put back those that it was begun with, or give the configuration another name."
            )
    _keep_log(logger, left["global_step"])


def _keep_log(logger: CSVLogger, steps: int) -> None:
    """Have the logger begin with the rows of the steps that a checkpoint holds; by itself it begins anew."""
    log = Path(logger.log_dir) / "metrics.csv"
    rows = list(csv.DictReader(log.read_text(encoding="utf-8").splitlines())) if log.exists() else []
    with warnings.catch_warnings(action="ignore"):  # that the old log will be deleted
        logger.experiment.metrics.extend(
            # A row that was cut off while it was written lacks its last columns.
            row
            for row in rows
            if None not in row.values() and int(row["step"]) < steps
        )
    logger.save()


class _WholeCheckpoints(TorchCheckpointIO):
    """Puts a checkpoint in the place of the one before once it is whole.

    Lightning writes to the folder of temporary files, and moves from there: to another disk that is a copy, which a
    full disk or a kill leaves cut off where the one before was.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:  # noqa: ANN401 - as Lightning has it
        """Lightning's own hook."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        unfinished = Path(path).with_suffix(".unfinished")
        try:
            unfinished.write_bytes(content.getbuffer())
            unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise CheckpointError(
                f"{path} cannot be written: {error.strerror}; once it can, `panoseg train` with --resume goes on from "
                "the epoch before."
            ) from error


class _BestOfLastPhase(ModelCheckpoint):
    """Keeps the best epoch at the size that is exported; losses of other sizes do not compare.

    It must be made with `save_on_train_epoch_end=False`: Lightning would else save by the hook that is not asked here.
    """

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's own hook."""
        assert isinstance(pl_module, ToothTask)
        # The first epoch is the best one so far, and would be saved without a loss that is a number.
        if pl_module.in_last_phase and trainer.callback_metrics["val_loss"].isfinite():
            super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning's own hook; by itself it forgets the best loss of a run whose folder was moved or copied."""
        super().load_state_dict({**state_dict, "dirpath": self.dirpath})


class _StopInLastPhase(EarlyStopping):
    """Counts validations of the last phase alone; the run comes to the size that is exported in any case."""

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's own hook."""
        assert isinstance(pl_module, ToothTask)
        if pl_module.in_last_phase:
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lightning's own hook."""
        assert isinstance(pl_module, ToothTask)
        if pl_module.in_last_phase:
            super().on_train_epoch_end(trainer, pl_module)


def moving_average(decay: float) -> WeightAveraging:
    """Keeps the moving average of the weights, of all tensors at once: a tenth of the time of one by one."""
    return WeightAveraging(multi_avg_fn=get_ema_multi_avg_fn(decay))


def _callbacks(config: Config, folder: Path) -> list[Callback]:
    callbacks: list[Callback] = [
        RichProgressBar(),
        LearningRateMonitor("epoch"),
        # Before the last one, which is to know the best score so far.
        _BestOfLastPhase(
            folder,
            "best",
            save_top_k=1,
            monitor="val_loss",
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        ),
        ModelCheckpoint(
            folder,
            "last",
            save_top_k=1,
            monitor=None,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        ),
    ]
    if config.average_decay is not None:
        callbacks.insert(0, moving_average(config.average_decay))
    if config.early_stopping is not None:
        callbacks.append(_StopInLastPhase("val_loss", patience=config.early_stopping))
    return callbacks
