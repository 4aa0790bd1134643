"""The loss: cross-entropy and soft Dice, over the classes and over tooth against background."""

import torch
from torch import Tensor

from training.config import Loss


def segmentation_loss(logits: Tensor, classes: Tensor, weights: Loss) -> Tensor:
    """Weighted sum of cross-entropy, 1 - soft Dice of the classes present, and 1 - soft Dice of the foreground.

    Soft Dice of a class is 2 sum(p t) / (sum(p) + sum(t)) over the pixels of the whole batch (Milletari et al. 2016,
    V-Net, with plain instead of squared sums in the denominator); a class with no pixel in the batch does not count.

    Args:
        logits: `(batch, classes, height, width)`.
        classes: `(batch, height, width)`, the true class of each pixel.
    """
    # The classes last, as the network's memory has them: a quarter sooner on a processor than with the classes first.
    log_probabilities = logits.permute(0, 2, 3, 1).float().log_softmax(dim=-1)
    truth = classes.long()
    true_log = log_probabilities.gather(-1, truth.unsqueeze(-1)).squeeze(-1)
    loss = weights.cross_entropy * -true_log.mean()
    if not (weights.dice or weights.foreground_dice):
        return loss
    probabilities = log_probabilities.exp()
    predicted = probabilities.sum(dim=(0, 1, 2))
    pixels = _sum_by_class(torch.ones_like(true_log), truth, logits.shape[1])
    if weights.dice:
        both = _sum_by_class(true_log.exp(), truth, logits.shape[1])
        dice = 2 * both / (predicted + pixels).clamp(min=1e-6)
        present = (pixels > 0).to(dice.dtype)
        present[0] = 0
        # Without a question that a GPU would have to be waited for.
        loss = loss + weights.dice * (present * (1 - dice)).sum() / present.sum().clamp(min=1)
    if weights.foreground_dice:
        foreground = 1 - probabilities[..., 0]
        both_foreground = (foreground * (truth > 0)).sum()
        total = foreground.sum() + pixels[1:].sum()
        loss = loss + weights.foreground_dice * (1 - 2 * both_foreground / total.clamp(min=1e-6))
    return loss


def _sum_by_class(values: Tensor, truth: Tensor, count: int) -> Tensor:
    """`(count,)`; row by row first, since the many pixels of the background would wait for each other on a GPU."""
    rows = truth.flatten(end_dim=-2)
    sums = values.new_zeros(len(rows), count).scatter_add(1, rows, values.flatten(end_dim=-2))
    return sums.sum(dim=0)
