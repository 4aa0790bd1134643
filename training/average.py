"""The mean of a run's weights and of those that it began with.

A run for other pictures than before reads the former ones worse. Between its weights and those that it began with lie
networks that keep most of what was learnt last and lose less of what was known (Wortsman et al. 2022, Robust
fine-tuning of zero-shot models, arXiv:2109.01903).
"""

from pathlib import Path

import torch

from training.begin import begin_network
from training.checkpoint import BEST, CONFIG, CheckpointError, load_network
from training.config import ConfigError, load_config


def average(run: Path, share: float, out: Path) -> Path:
    """Write the mean as a run of its own, which can be measured and exported as any other.

    Its configuration is the run's, with the share as `mean_share`, by which `panoseg compare` tells the two apart.

    Args:
        run: a run whose configuration tells what it began with (`begin_with`).
        share: of the run's own weights in the mean, 0..1.
        out: the new run's folder.

    Raises:
        ConfigError: the run began with random weights, or did not keep its statistics frozen.
        CheckpointError: there is such a folder already, or weights are missing or of another network.
    """
    config = load_config(run / CONFIG)
    if config.begin_with is None or not config.frozen_statistics:
        raise ConfigError(
            f"{run} began with random weights, or changed the statistics of batches, of which a mean fits no weights; "
            "train it with --from and frozen_statistics: true."
        )
    if out.exists():
        raise CheckpointError(f"{out} is there already, and nothing is written over; name another folder.")
    before, after = begin_network(config).state_dict(), load_network(run, config).state_dict()
    mean = {
        f"network.{name}": torch.lerp(before[name], value, share) if value.is_floating_point() else value
        for name, value in after.items()
    }
    out.mkdir(parents=True)
    # Of a mean's mean too, what the run that was trained has in it.
    whole = share if config.mean_share is None else share * config.mean_share
    (out / CONFIG).write_text(config.model_copy(update={"mean_share": whole}).to_yaml(), encoding="utf-8")
    torch.save({"state_dict": mean}, out / BEST)
    return out
