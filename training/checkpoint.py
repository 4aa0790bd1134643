"""What a run's folder holds, and the network of its best checkpoint."""

from pathlib import Path
from typing import Any, Final

import torch

from service.errors import SetupError
from training.config import Config
from training.network import ToothNetwork

LAST: Final = "last.ckpt"
BEST: Final = "best.ckpt"
CONFIG: Final = "config.yaml"


class CheckpointError(SetupError):
    """A run without a checkpoint, or with one of another network."""


def load_network(run: Path, config: Config) -> ToothNetwork:
    """The network of a run's best checkpoint, or of its last one where none was validated; ready for inference.

    Args:
        run: the folder `runs/<name>` that training filled.
        config: describes the network.

    Raises:
        CheckpointError: there is no checkpoint, or it is of another network than the configuration's.
    """
    checkpoint = next((path for path in (run / BEST, run / LAST) if path.exists()), None)
    if checkpoint is None:
        raise CheckpointError(f"{run} holds neither {BEST} nor {LAST}; train first.")
    # Lightning's checkpoints hold more than tensors; this one is the project's own work. The weights are the moving
    # average's where the run keeps one.
    weights = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)["state_dict"]
    network = ToothNetwork(config.network)
    try:
        network.load_state_dict({key.removeprefix("network."): value for key, value in weights.items()})
    except RuntimeError as error:
        raise CheckpointError(
            f"{checkpoint} is not of the network that the configuration {config.name} describes."
        ) from error
    return network.eval()


def epochs_done(run: Path) -> int | None:
    """Epochs that a run has behind it, by its last checkpoint; None where that one does not say.

    Raises:
        CheckpointError: the run has no last checkpoint.
    """
    epoch = _read_last(run).get("epoch")
    return None if epoch is None else int(epoch) + 1


def is_finished(run: Path, config: Config) -> bool:
    """Whether a run has come to its end, be it its last epoch or early stopping.

    Raises:
        CheckpointError: the run has no last checkpoint.
    """
    last = _read_last(run)
    stopped = any(state.get("stopped_epoch", 0) > 0 for state in last.get("callbacks", {}).values())
    return stopped or last.get("epoch", -1) + 1 >= config.epochs


def _read_last(run: Path) -> dict[str, Any]:
    if not (run / LAST).exists():
        raise CheckpointError(f"{run} holds no {LAST}; train first.")
    content: dict[str, Any] = torch.load(run / LAST, map_location="cpu", weights_only=False, mmap=True)
    return content
