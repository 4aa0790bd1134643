"""What a run's folder holds, and the network of its best checkpoint."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final

import torch

from service.errors import SetupError
from service.model.package import MANIFEST
from training.config import Config, Network, load_config
from training.network import ToothNetwork

LAST: Final = "last.ckpt"
BEST: Final = "best.ckpt"
CONFIG: Final = "config.yaml"


class CheckpointError(SetupError):
    """A run without a checkpoint, or with one of another network."""


def is_package(folder: Path) -> bool:
    """Whether a folder is a model package and not a run."""
    return (folder / MANIFEST).exists()


def find_checkpoint(run: Path) -> Path:
    """A run's best checkpoint, or its last one where none was validated.

    Raises:
        CheckpointError: the run has neither.
    """
    checkpoint = next((path for path in (run / BEST, run / LAST) if path.exists()), None)
    if checkpoint is None:
        raise CheckpointError(f"{run} holds neither {BEST} nor {LAST}; train first.")
    return checkpoint


def load_network(run: Path, config: Config) -> ToothNetwork:
    """The network of a run, by the checkpoint that `find_checkpoint` chooses; ready for inference.

    Args:
        run: the folder `runs/<name>` that training filled.
        config: describes the network.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged, or of another network than the configuration's.
    """
    checkpoint = find_checkpoint(run)
    # The weights are the moving average's where the run keeps one.
    weights = read_checkpoint(checkpoint)["state_dict"]
    network = ToothNetwork(config.network)
    try:
        network.load_state_dict({key.removeprefix("network."): value for key, value in weights.items()})
    except RuntimeError as error:
        theirs = load_config(run / CONFIG).network if (run / CONFIG).exists() else None
        told = f"the run: {describe_network(theirs)}; " if theirs not in (None, config.network) else ""
        raise CheckpointError(
            f"{checkpoint} is not of the network that the configuration {config.name} describes ({told}the "
            f"configuration: {describe_network(config.network)})."
        ) from error
    return network.eval()


def describe_network(network: Network) -> str:
    """A network in a few words, for a message."""
    return f"{network.encoder}, decoder {', '.join(map(str, network.decoder_channels))}, {network.classes} classes"


def epochs_done(run: Path) -> int | None:
    """Epochs that a run has behind it, by its last checkpoint; None where that one does not say.

    Raises:
        CheckpointError: the run has no last checkpoint, or it is damaged.
    """
    epoch = _read_last(run).get("epoch")
    return None if epoch is None else int(epoch) + 1


def is_finished(run: Path, config: Config) -> bool:
    """Whether a run has come to its end, be it its last epoch or early stopping.

    Raises:
        CheckpointError: the run has no last checkpoint, or it is damaged.
    """
    last = _read_last(run)
    stopped = any(state.get("stopped_epoch", 0) > 0 for state in last.get("callbacks", {}).values())
    return stopped or last.get("epoch", -1) + 1 >= config.epochs


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What Lightning wrote; it holds more than tensors, so it is to be the project's own work.

    Raises:
        CheckpointError: it is damaged.
    """
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:
        raise CheckpointError(
            f"{path} is damaged; put a whole copy in its place, or remove it to begin the run anew."
        ) from error
    return content


def _read_last(run: Path) -> dict[str, Any]:
    if not (run / LAST).exists():
        raise CheckpointError(f"{run} holds no {LAST}; train first.")
    return read_checkpoint(run / LAST)
