"""Whether confidences can be believed: small cases worked by hand, and what holds for any teeth."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.reliability import (
    Bin,
    JudgedTooth,
    Kept,
    coverage_curve,
    expected_calibration_error,
    kept_at,
    reliability_bins,
)

WORKED = [
    JudgedTooth(11, 0.2, False),
    JudgedTooth(12, 0.4, True),
    JudgedTooth(13, 0.8, True),
    JudgedTooth(14, 1.0, True),
]

any_teeth = st.lists(
    st.builds(
        JudgedTooth, st.just(11), st.sampled_from([0.0, 0.25, 0.5, 0.9, 0.95, 1.0]) | st.floats(0, 1), st.booleans()
    ),
    max_size=80,
)
some_teeth = any_teeth.filter(len)


def test_teeth_are_cut_into_bins_of_as_many_each():
    bins = reliability_bins([JudgedTooth(11, place / 20, place % 2 == 1) for place in range(20)])
    assert [(one.teeth, one.right) for one in bins] == [(2, 0.5)] * 10
    assert [one.confidence for one in bins] == pytest.approx([(4 * place + 1) / 40 for place in range(10)])
    # (19 + 15 + 11 + 7 + 3 + 1 + 5 + 9 + 13 + 17) / 40 over ten bins.
    assert expected_calibration_error(bins) == pytest.approx(0.25)


def test_a_limit_keeps_the_teeth_at_and_above_it():
    assert kept_at(WORKED, 0.4) == Kept(0.4, 0.75, 1.0)
    assert kept_at(WORKED, 0.0) == Kept(0.0, 1.0, 0.75)
    assert kept_at([], 0.5) == Kept(0.5, 1.0, None)
    assert kept_at(WORKED[:3], 0.9) == Kept(0.9, 0.0, None)


def test_confidence_that_is_drawn_from_is_calibrated_and_another_is_not():
    generator = np.random.default_rng(0)
    sure = generator.uniform(0.5, 1, 5000)
    right = generator.random(5000) < sure
    honest = [JudgedTooth(11, float(c), bool(r)) for c, r in zip(sure, right, strict=True)]
    boastful = [JudgedTooth(11, (1 + tooth.confidence) / 2, tooth.right) for tooth in honest]
    assert expected_calibration_error(reliability_bins(honest)) < 0.03
    assert expected_calibration_error(reliability_bins(boastful)) == pytest.approx(0.125, abs=0.02)


@given(any_teeth)
def test_every_tooth_lies_in_one_bin_and_the_error_is_a_share(teeth):
    bins = reliability_bins(teeth)
    assert sum(one.teeth for one in bins) == len(teeth)
    assert len(bins) <= 10
    assert sum(one.teeth * one.right for one in bins) == pytest.approx(sum(tooth.right for tooth in teeth))
    assert 0 <= expected_calibration_error(bins) <= 1


@given(some_teeth, st.randoms(use_true_random=False))
def test_the_order_of_the_teeth_is_no_matter(teeth, random):
    shuffled = random.sample(teeth, len(teeth))
    for one, other in zip(reliability_bins(teeth), reliability_bins(shuffled), strict=True):
        assert (one.teeth, one.right) == (other.teeth, pytest.approx(other.right))
        assert one.confidence == pytest.approx(other.confidence)


@given(some_teeth)
def test_the_curve_begins_with_all_teeth_and_keeps_fewer_as_the_limit_rises(teeth):
    curve = coverage_curve(teeth)
    assert curve[0].share == 1.0
    assert all(low.limit < high.limit and low.share > high.share > 0 for low, high in pairwise(curve))


def test_a_bin_counts_by_its_teeth():
    assert expected_calibration_error([Bin(3, 0.9, 0.8), Bin(1, 0.5, 1.0)]) == pytest.approx((3 * 0.1 + 0.5) / 4)
