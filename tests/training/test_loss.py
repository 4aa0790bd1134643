"""The loss, on cases small enough to work by hand."""

import math

import pytest
import torch

from training.config import Loss
from training.loss import segmentation_loss

ALL = Loss(cross_entropy=1, dice=1, foreground_dice=1)


def of_probabilities(*pixels):
    """Logits of one row of pixels whose class probabilities are given."""
    return torch.tensor(pixels).log().T[None, :, None, :]


def test_logits_that_are_sure_and_right_cost_nearly_nothing():
    truth = torch.randint(0, 33, (2, 16, 16), generator=torch.Generator().manual_seed(1))
    logits = 30.0 * torch.nn.functional.one_hot(truth, 33).permute(0, 3, 1, 2)
    assert segmentation_loss(logits, truth.byte(), ALL).item() == pytest.approx(0, abs=1e-4)


def test_each_term_is_as_worked_by_hand():
    # Truth: background, class 1, class 2.
    logits = of_probabilities([0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.1, 0.4, 0.5])
    truth = torch.tensor([[[0, 1, 2]]], dtype=torch.uint8)
    cross_entropy = -(math.log(0.8) + math.log(0.6) + math.log(0.5)) / 3
    # Class 1: both 0.6, predicted 0.1 + 0.6 + 0.4, true 1. Class 2: both 0.5, predicted 0.1 + 0.1 + 0.5, true 1.
    dice = 1 - (2 * 0.6 / 2.1 + 2 * 0.5 / 1.7) / 2
    # Foreground: both 0.7 + 0.9, predicted 0.2 + 0.7 + 0.9, true 2.
    foreground = 1 - 2 * 1.6 / 3.8
    for weights, expected in (
        (Loss(cross_entropy=1, dice=0), cross_entropy),
        (Loss(cross_entropy=0, dice=1), dice),
        (Loss(cross_entropy=0, dice=0, foreground_dice=1), foreground),
        (Loss(cross_entropy=2, dice=3, foreground_dice=0.5), 2 * cross_entropy + 3 * dice + 0.5 * foreground),
    ):
        assert segmentation_loss(logits, truth, weights).item() == pytest.approx(expected, rel=1e-5)


def test_a_class_that_no_picture_of_the_batch_has_does_not_count():
    # Class 2 is predicted in part and true nowhere.
    logits = of_probabilities([0.5, 0.25, 0.25], [0.25, 0.5, 0.25])
    truth = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    loss = segmentation_loss(logits, truth, Loss(cross_entropy=0, dice=1))
    assert loss.item() == pytest.approx(1 - 2 * 0.5 / 1.75, rel=1e-5)


def test_a_batch_without_a_tooth_has_a_finite_loss_and_gradient():
    logits = torch.zeros(1, 33, 4, 4, requires_grad=True)
    loss = segmentation_loss(logits, torch.zeros(1, 4, 4, dtype=torch.uint8), ALL)
    loss.backward()
    assert math.isfinite(loss.item())
    assert bool(logits.grad.isfinite().all())
