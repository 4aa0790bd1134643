"""Metrics: small cases worked by hand, and agreement with another implementation."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_accuracy, binary_f1_score, binary_jaccard_index

from service.dentition.fdi import FDI_NUMBERS
from training.metrics import Counts, ToothAgreement, dice, iou, match_missing, match_teeth, pixel_accuracy, right_teeth

NOTHING = [[0, 0], [0, 0]]
LEFT = [[1, 0], [1, 0]]
TOP = [[1, 1], [0, 0]]
CORNER = [[1, 0], [0, 0]]
ALL = [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("predicted", "truth", "expected_dice", "expected_iou", "expected_accuracy"),
    [
        (NOTHING, NOTHING, 1, 1, 1),
        (LEFT, LEFT, 1, 1, 1),
        (NOTHING, ALL, 0, 0, 0),
        (ALL, NOTHING, 0, 0, 0),
        (LEFT, TOP, 2 * 1 / 4, 1 / 3, 2 / 4),
        (CORNER, LEFT, 2 * 1 / 3, 1 / 2, 3 / 4),
        (LEFT, ALL, 2 * 2 / 6, 2 / 4, 2 / 4),
    ],
)
def test_masks_agree_as_worked_by_hand(predicted, truth, expected_dice, expected_iou, expected_accuracy):
    masks = np.array(predicted, bool), np.array(truth, bool)
    assert dice(*masks) == pytest.approx(expected_dice)
    assert iou(*masks) == pytest.approx(expected_iou)
    assert pixel_accuracy(*masks) == pytest.approx(expected_accuracy)


@pytest.mark.parametrize("metric", [dice, iou, pixel_accuracy])
def test_masks_of_different_shapes_are_refused(metric):
    with pytest.raises(ValueError, match="does not fit"):
        metric(np.zeros((2, 3), bool), np.zeros((3, 2), bool))


@pytest.mark.parametrize("metric", [dice, iou, pixel_accuracy])
def test_a_label_map_is_not_taken_for_a_mask(metric):
    with pytest.raises(ValueError, match="boolean"):
        metric(np.full((2, 2), 11, np.uint8), np.zeros((2, 2), bool))


def test_pixels_beyond_the_range_of_a_byte_are_counted():
    assert dice(np.ones((300, 300), bool), np.ones((300, 300), bool)) == 1.0


pairs_of_masks = arrays.array_shapes(min_dims=2, max_dims=2, max_side=8).flatmap(
    lambda shape: st.tuples(arrays.arrays(bool, shape), arrays.arrays(bool, shape))
)


@given(pairs_of_masks)
def test_masks_agree_as_torchmetrics_has_it(masks):
    predicted, truth = masks
    as_tensors = torch.from_numpy(predicted).int(), torch.from_numpy(truth).int()
    assert pixel_accuracy(*masks) == pytest.approx(binary_accuracy(*as_tensors).item(), abs=1e-6)
    if predicted.any() or truth.any():  # torchmetrics gives 0 for two empty masks
        assert dice(*masks) == pytest.approx(binary_f1_score(*as_tensors).item(), abs=1e-6)
        assert iou(*masks) == pytest.approx(binary_jaccard_index(*as_tensors).item(), abs=1e-6)


def labels(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.uint8)


@pytest.mark.parametrize(
    ("predicted", "truth", "teeth", "each"),
    [
        pytest.param(labels([0, 0]), labels([0, 0]), Counts(0, 0, 0), (), id="no teeth at all"),
        pytest.param(labels([11, 0]), labels([0, 0]), Counts(0, 1, 0), (), id="a tooth where there is none"),
        pytest.param(labels([0, 0]), labels([11, 0]), Counts(0, 0, 1), (0.0,), id="a missed tooth"),
        pytest.param(labels([12, 0]), labels([11, 0]), Counts(0, 1, 1), (0.0,), id="the neighbour's number"),
        pytest.param(labels([11, 0, 0]), labels([11, 11, 0]), Counts(1, 1, 1), (2 / 3,), id="IoU of exactly a half"),
        pytest.param(labels([11, 0, 0]), labels([11, 11, 11]), Counts(0, 1, 1), (2 / 4,), id="IoU of a third"),
        pytest.param(
            labels([11, 11, 21, 48]),
            labels([11, 11, 21, 21]),
            Counts(2, 3, 2),
            (1.0, 2 / 3),
            id="one too many",
        ),
    ],
)
def test_teeth_are_matched_as_worked_by_hand(predicted, truth, teeth, each):
    agreement = match_teeth(predicted, truth)
    assert agreement.teeth == teeth
    assert agreement.dice == pytest.approx(each)


def test_label_maps_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="does not fit"):
        match_teeth(labels([11, 0]), labels([11]))


def test_labels_that_are_no_fdi_number_are_refused():
    with pytest.raises(ValueError, match="FDI"):
        match_teeth(labels([11, 19]), labels([11, 0]))
    with pytest.raises(ValueError, match="FDI"):
        match_teeth(labels([11, 0]), labels([11, 255]))


@pytest.mark.parametrize(
    ("counts", "precision", "recall", "f1"),
    [
        (Counts(0, 0, 0), 1, 1, 1),
        (Counts(0, 0, 4), 0, 0, 0),
        (Counts(0, 4, 0), 0, 0, 0),
        (Counts(3, 4, 6), 3 / 4, 3 / 6, 6 / 10),
        (Counts(5, 5, 5), 1, 1, 1),
    ],
)
def test_precision_recall_and_f1_are_as_worked_by_hand(counts, precision, recall, f1):
    assert (counts.precision, counts.recall, counts.f1) == pytest.approx((precision, recall, f1))


def test_the_mean_over_true_teeth_counts_a_missed_tooth_as_nothing():
    found = match_teeth(labels([11, 0]), labels([11, 0]))
    missed = match_teeth(labels([0, 0]), labels([11, 0]))
    assert (found + missed).mean_dice == pytest.approx(0.5)


def test_the_mean_over_true_teeth_does_not_count_a_tooth_too_many():
    assert match_teeth(labels([11, 21]), labels([11, 0])).mean_dice == 1.0
    assert ToothAgreement().mean_dice == 1.0


label_maps = arrays.arrays(np.uint8, (2, 6), elements=st.sampled_from((0, *FDI_NUMBERS[:4])))


@given(label_maps, label_maps, label_maps, label_maps)
def test_pictures_add_up_whatever_their_order(first, first_truth, second, second_truth):
    one, other = match_teeth(first, first_truth), match_teeth(second, second_truth)
    assert (one + other).teeth == (other + one).teeth
    assert (one + other).teeth.true == one.teeth.true + other.teeth.true
    assert len((one + other).dice) == (one + other).teeth.true


@given(label_maps, label_maps)
def test_each_tooth_is_judged_as_a_mask_of_its_own(predicted, truth):
    agreement = match_teeth(predicted, truth)
    numbers = [fdi for fdi in FDI_NUMBERS if (truth == fdi).any()]
    assert agreement.dice == pytest.approx([dice(predicted == fdi, truth == fdi) for fdi in numbers])
    assert agreement.teeth.right == sum(iou(predicted == fdi, truth == fdi) >= 0.5 for fdi in numbers)


def test_the_right_teeth_are_those_that_are_counted():
    predicted, truth = labels([11, 11, 12, 0]), labels([11, 11, 13, 0])
    assert right_teeth(predicted, truth) == {11}
    assert right_teeth(predicted, labels([11, 0, 0, 0])) == {11}


def test_missing_teeth_are_compared_as_sets():
    assert match_missing((18, 48), (18, 28, 38)) == Counts(right=1, predicted=2, true=3)
    assert match_missing((), ()).f1 == 1.0
