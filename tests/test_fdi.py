"""Tooth numbers, against the charts of ISO 3950 and the ADA."""

import pytest

from service.dentition.fdi import FDI_NUMBERS, mirrored, neighbours, universal


def test_the_universal_chart_read_along_both_arches() -> None:
    upper = [18, 17, 16, 15, 14, 13, 12, 11, 21, 22, 23, 24, 25, 26, 27, 28]
    lower = [38, 37, 36, 35, 34, 33, 32, 31, 41, 42, 43, 44, 45, 46, 47, 48]
    assert [universal(fdi) for fdi in upper + lower] == list(range(1, 33))


def test_a_tooth_stands_between_two_others_and_a_wisdom_tooth_beside_one() -> None:
    assert set(neighbours(11)) == {12, 21}
    assert set(neighbours(34)) == {33, 35}
    assert set(neighbours(41)) == {31, 42}
    assert {fdi: neighbours(fdi) for fdi in (18, 28, 38, 48)} == {18: (17,), 28: (27,), 38: (37,), 48: (47,)}


def test_turned_left_to_right_a_tooth_is_its_fellow_and_twice_itself() -> None:
    assert [mirrored(fdi) for fdi in (11, 28, 36, 45)] == [21, 18, 46, 35]
    assert all(mirrored(mirrored(fdi)) == fdi for fdi in FDI_NUMBERS)


@pytest.mark.parametrize("number", [0, 10, 19, 49, 51, 85])
def test_a_number_of_no_permanent_tooth_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="permanent"):
        universal(number)
    with pytest.raises(ValueError, match="permanent"):
        mirrored(number)
