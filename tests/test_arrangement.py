"""Numbers that hold together: in order, each once, and the network's word wherever it makes sense."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dentition.arrangement import arrange
from service.dentition.fdi import FDI_NUMBERS, LOWER, UPPER, mirrored


def sure(numbers: list[int], certainty: float = 0.95) -> np.ndarray:
    """Evidence for these numbers; what is left is spread evenly over the others."""
    evidence = np.full((len(numbers), 32), np.log((1 - certainty) / 31))
    for tooth, fdi in enumerate(numbers):
        evidence[tooth, FDI_NUMBERS.index(fdi)] = np.log(certainty)
    return evidence


def in_a_row(numbers: list[int]) -> np.ndarray:
    """Centres of teeth at the places that their numbers have in an arch, 20 of 512 pixels apart."""
    places = {fdi: place for arch in (UPPER, LOWER) for place, fdi in enumerate(arch)}
    return np.array([0.2 + places[fdi] * 20 / 512 for fdi in numbers])


def read(numbers: list[int], centres: np.ndarray, evidence: np.ndarray) -> list[int]:
    return list(arrange(centres, evidence, np.ones(len(numbers))))


@given(st.lists(st.sampled_from(FDI_NUMBERS), unique=True))
def test_teeth_in_their_places_keep_the_numbers_that_the_network_is_sure_of(numbers: list[int]) -> None:
    assert read(numbers, in_a_row(numbers), sure(numbers)) == numbers


@given(st.integers(0, 2**32), st.integers(0, 40))
def test_no_number_is_given_twice_whatever_the_network_says(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    evidence = np.log(generator.dirichlet(np.full(32, 0.1), count) + 1e-9).reshape(count, 32)
    numbers = arrange(generator.uniform(0, 1, count), evidence, generator.uniform(0, 1, count))
    given_out = [fdi for fdi in numbers if fdi]
    assert len(numbers) == count
    assert len(set(given_out)) == len(given_out)
    assert set(given_out) <= set(FDI_NUMBERS)


def test_of_two_teeth_with_one_number_the_one_beside_the_gap_is_renumbered() -> None:
    centres = in_a_row([16, 15, 14, 13])
    assert read([16, 15, 15, 13], centres, sure([16, 15, 15, 13])) == [16, 15, 14, 13]
    assert read([16, 14, 14, 13], centres, sure([16, 14, 14, 13])) == [16, 15, 14, 13]


def test_a_second_tooth_of_one_number_has_that_of_the_empty_place_beside_it() -> None:
    """The example that is worked through where the best path is looked for."""
    evidence = sure([11, 11, 22])
    evidence[1] = -20.0
    evidence[1, [FDI_NUMBERS.index(11), FDI_NUMBERS.index(21)]] = np.log([0.6, 0.4])
    assert read([11, 21, 22], in_a_row([11, 21, 22]), evidence) == [11, 21, 22]


def doubtful(arch: tuple[int, ...]) -> np.ndarray:
    """Evidence for a tooth of an arch, whichever."""
    return np.where(np.isin(FDI_NUMBERS, arch), np.log(1 / 16), -6.0)


def test_a_doubtful_tooth_is_numbered_by_its_neighbours_and_their_distance() -> None:
    evidence = sure([36, 35, 34, 33])
    beside = np.stack([evidence[0], doubtful(LOWER), evidence[2]])
    assert read([36, 0, 34], in_a_row([36, 35, 34]), beside) == [36, 35, 34]


def test_a_tooth_out_of_its_row_has_the_number_that_the_network_is_sure_of() -> None:
    numbers = [14, 12, 11, 13]
    centres = in_a_row(numbers)
    centres[3] = centres[2] + 0.005
    assert read(numbers, centres, sure(numbers)) == numbers


@given(st.floats(0.75, 1.35))
def test_a_large_or_a_small_jaw_is_read_alike(size: float) -> None:
    numbers = [17, 16, 15, 14, 13, 12, 11, 21, 22, 25]
    evidence = sure(numbers)
    evidence[-1] = doubtful(UPPER)  # how far it is from 22 tells it, in widths of teeth as large as these
    assert read(numbers, size * in_a_row(numbers), evidence) == numbers


@given(st.integers(0, 2**32), st.integers(1, 16))
def test_a_mirrored_jaw_has_the_mirror_images_of_its_numbers(seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    evidence = np.log(generator.dirichlet(np.full(32, 0.5), count))
    centres, substance = generator.uniform(0.2, 0.8, count), generator.uniform(0, 1, count)
    numbers = arrange(centres, evidence, substance)
    fellows = [FDI_NUMBERS.index(mirrored(fdi)) for fdi in FDI_NUMBERS]
    seen_from_behind = arrange(1 - centres, evidence[:, fellows], substance)
    assert list(seen_from_behind) == [fdi and mirrored(fdi) for fdi in numbers]


@pytest.mark.parametrize(
    ("substance", "expected"), [([1, 0.2, 1, 1], [13, 0, 12, 11]), ([1, 1, 0.2, 1], [13, 12, 0, 11])]
)
def test_of_two_teeth_in_one_place_the_lesser_is_left_out(substance: list[float], expected: list[int]) -> None:
    lower, upper = [43, 42, 41], [13, 12, 12, 11]
    centres = np.concatenate([in_a_row(lower), in_a_row(upper) + np.array([0, -0.004, 0.004, 0])])
    assert list(arrange(centres, sure(lower + upper), np.array([1, 1, 1, *substance]))) == lower + expected


def test_a_jaw_without_teeth_has_no_numbers() -> None:
    assert arrange(np.zeros(0), np.zeros((0, 32)), np.zeros(0)) == ()
