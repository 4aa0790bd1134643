"""Intervals: small cases worked by hand, those of theory and tables, and what holds of all."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.intervals import Figures, bootstrap_difference, bootstrap_interval, f1_figures, share_interval
from training.metrics import Counts


def test_the_interval_of_equal_figures_has_no_width():
    assert bootstrap_interval([0.9] * 10, seed=1) == pytest.approx((0.9, 0.9))
    assert bootstrap_interval([0.3], seed=1) == pytest.approx((0.3, 0.3))


def test_the_interval_is_the_one_that_theory_gives_for_many_figures():
    values = np.random.default_rng(3).normal(0.8, 0.1, 400)
    low, high = bootstrap_interval(values, seed=1)
    half = 1.96 * values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_interval_of_five_figures_is_worked_by_hand():
    # Of five drawn, none is the 1 with a probability of 0.33, at most two are with 0.942, at most three with 0.993.
    assert bootstrap_interval([0.0, 0.0, 0.0, 0.0, 1.0], seed=1) == pytest.approx((0.0, 0.6))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 2**32))
def test_the_interval_lies_within_the_figures_and_can_be_had_again(values, seed):
    low, high = bootstrap_interval(values, seed, resamples=50)
    assert min(values) - 1e-12 <= low <= high <= max(values) + 1e-12
    assert (low, high) == bootstrap_interval(values, seed, resamples=50)


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [
        (0, 39, 0, 0.0903),
        (12, 12, 0.7354, 1),
        (1, 10, 0.0025, 0.4450),
        (36, 40, 0.7634, 0.9721),
        (0, 0, 0, 1),
        (1190, 1200, 0.9847, 0.9960),
    ],
)
def test_the_exact_interval_of_a_share_is_that_of_the_tables(hits, count, low, high):
    assert share_interval(hits, count) == pytest.approx((low, high), abs=5e-5)


def test_no_figures_are_refused():
    with pytest.raises(ValueError, match="no values"):
        bootstrap_interval([], seed=1)


def means(*runs):
    values = np.array(runs, np.float64)
    return Figures(values, np.ones_like(values))


def test_figures_of_several_runs_are_as_worked_by_hand():
    f1 = Figures(np.array([[2.0, 4.0], [0.0, 4.0]]), np.array([[4.0, 8.0], [4.0, 4.0]]))
    assert f1.by_run == pytest.approx([6 / 12, 4 / 8])
    assert f1.mean == pytest.approx(0.5)
    assert means([0.2, 0.4], [0.6, 0.8]).mean == pytest.approx(0.5)
    # With nothing to find and nothing found, all is well.
    assert Figures(np.zeros((1, 2)), np.zeros((1, 2))).mean == 1.0


def test_what_is_hard_for_both_does_not_widen_the_interval_of_their_difference():
    hardness = np.random.default_rng(5).uniform(0.2, 0.9, 40)
    low, high = bootstrap_difference(means(hardness + 0.01), means(hardness), seed=1)
    assert (low, high) == pytest.approx((0.01, 0.01))
    assert np.subtract(*bootstrap_interval(hardness, seed=1)[::-1]) > 0.05


def test_the_interval_of_a_difference_of_one_run_each_is_that_of_the_mean_of_differences():
    generator = np.random.default_rng(6)
    one, other = generator.normal(0.8, 0.1, 200), generator.normal(0.7, 0.1, 200)
    expected = bootstrap_interval(one - other, seed=1)
    found = bootstrap_difference(means(one), means(other), seed=2)
    assert found == pytest.approx(expected, abs=0.1 * (expected[1] - expected[0]))


def test_runs_that_differ_widen_the_interval():
    steady = np.full(20, 0.5)
    assert bootstrap_difference(means(steady, steady), means(steady), seed=1) == pytest.approx((0, 0))
    low, high = bootstrap_difference(means(steady - 0.1, steady + 0.1), means(steady), seed=1)
    assert (low, high) == pytest.approx((-0.1, 0.1))


@given(
    arrays.arrays(np.float64, (2, 6), elements=st.floats(0, 1)),
    arrays.arrays(np.float64, (3, 6), elements=st.floats(0, 1)),
    st.integers(0, 2**32),
)
def test_a_difference_lies_within_what_is_possible_and_can_be_had_again(one, other, seed):
    ours, theirs = means(*one), means(*other)
    low, high = bootstrap_difference(ours, theirs, seed, resamples=200)
    assert -1 - 1e-9 <= low <= high <= 1 + 1e-9
    assert (low, high) == bootstrap_difference(ours, theirs, seed, resamples=200)


@given(arrays.arrays(np.float64, (2, 6), elements=st.floats(0, 1)), st.integers(0, 2**32))
def test_a_difference_the_other_way_round_is_its_negative(both, seed):
    one, other = means(both[0]), means(both[1])
    low, high = bootstrap_difference(one, other, seed, resamples=200)
    assert bootstrap_difference(other, one, seed, resamples=200) == pytest.approx((-high, -low), abs=1e-9)


def test_figures_that_cannot_be_paired_are_refused():
    with pytest.raises(ValueError, match="cannot be paired"):
        bootstrap_difference(means([0.5, 0.5]), means([0.5]), seed=1)
    for parts, wholes in (((1, 2), (1, 3)), ((2,), (2,)), ((1, 0), (1, 0))):
        with pytest.raises(ValueError, match="not both"):
            Figures(np.zeros(parts), np.ones(wholes))


def test_the_figures_of_counts_are_their_f1():
    counts = [Counts(3, 4, 6), Counts(2, 2, 3)]
    assert f1_figures(counts).mean == pytest.approx(sum(counts, Counts()).f1)
