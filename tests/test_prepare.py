"""A radiograph fits the model whatever its size, frame and grey scale."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.prepare import find_content, fit_to, prepare
from service.model.shrink import shrink
from service.radiograph import Limits, decode
from service.segmentation import Box
from training.phantom import Phantom
from training.stress_changes import STRESSES

FIT = fit_to(256, 512)

BY_NAME = {change.name: change for change in STRESSES}

sizes = st.tuples(st.integers(128, 900), st.integers(128, 1200))


@given(size=sizes, place=st.tuples(st.floats(0.2, 0.8), st.floats(0.2, 0.8)))
def test_a_bright_spot_is_where_content_and_size_say(size: tuple[int, int], place: tuple[float, float]) -> None:
    height, width = size
    pixels = np.tile(np.linspace(0, 60, width).astype(np.uint8), (height, 1))
    centre = (int(place[0] * width), int(place[1] * height))
    cv2.ellipse(pixels, centre, (width // 12, height // 12), 0, 0, 360, 255, -1)
    model_input = prepare(pixels, FIT)
    rows, columns = np.nonzero(model_input.pixels > 200)
    content = model_input.content
    x = content.x + (columns.mean() + 0.5) * content.width / FIT.width - 0.5
    y = content.y + (rows.mean() + 0.5) * content.height / FIT.height - 0.5
    assert abs(x - centre[0]) < 2 + width / FIT.width
    assert abs(y - centre[1]) < 2 + height / FIT.height


@given(bits=st.integers(9, 16), low=st.integers(0, 100))
def test_sixteen_bits_and_eight_give_the_same_input(phantom: Phantom, bits: int, low: int) -> None:
    deep = (phantom.pixels.astype(np.uint32) * (2**bits - 1 - low) // 255 + low).astype(np.uint16)
    difference = prepare(phantom.pixels, FIT).pixels.astype(int) - prepare(deep, FIT).pixels.astype(int)
    assert np.abs(difference).max() <= 3


@given(gain=st.floats(0.3, 0.7), offset=st.integers(0, 60))
def test_a_flat_picture_is_stretched_to_the_same_input(phantom: Phantom, gain: float, offset: int) -> None:
    flat = np.rint(phantom.pixels * gain + offset).astype(np.uint8)
    difference = prepare(phantom.pixels, FIT).pixels.astype(int) - prepare(flat, FIT).pixels.astype(int)
    assert np.abs(difference).mean() < 2


@given(
    top=st.integers(0, 150), bottom=st.integers(0, 150), left=st.integers(0, 200), right=st.integers(0, 200),
    colour=st.sampled_from([0, 255]),
)  # fmt: skip
def test_a_frame_is_found_to_within_two_samples(
    phantom: Phantom, top: int, bottom: int, left: int, right: int, colour: int
) -> None:
    framed = cv2.copyMakeBorder(phantom.pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour)
    content = find_content(framed)
    height, width = phantom.pixels.shape
    assert content.x == pytest.approx(left, abs=30)
    assert content.y == pytest.approx(top, abs=30)
    assert content.x + content.width == pytest.approx(left + width, abs=30)
    assert content.y + content.height == pytest.approx(top + height, abs=30)


def is_about(found: Box, expected: Box, pixels: int) -> bool:
    sides = zip(
        (found.x, found.y, found.x + found.width, found.y + found.height),
        (expected.x, expected.y, expected.x + expected.width, expected.y + expected.height),
        strict=True,
    )
    return all(abs(one - other) <= pixels for one, other in sides)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("colour", [0, 255])
def test_what_is_written_into_a_frame_does_not_hide_it(
    phantom: Phantom, colour: int, deep: bool, negative: bool
) -> None:
    height, width = phantom.pixels.shape
    framed = cv2.copyMakeBorder(phantom.pixels, 200, 260, 300, 340, cv2.BORDER_CONSTANT, value=colour)
    for text, place in (("R", (60, 600)), ("L", (width + 420, 600)), ("DOE, JANE  1970-01-01  70 kV 10 mA", (40, 80))):
        cv2.putText(framed, text, place, cv2.FONT_HERSHEY_SIMPLEX, 2.0, 255 - colour, 4)
    framed = 255 - framed if negative else framed
    content = find_content(framed.astype(np.uint16) * 257 if deep else framed)
    assert is_about(content, Box(300, 200, width, height), 40)


def test_a_radiograph_is_found_on_the_screen_of_a_viewer(phantom: Phantom) -> None:
    data, shown = BY_NAME["viewer"].change(phantom.pixels, np.ones_like(phantom.labels))
    screen, place = decode(data, Limits()).pixels, Box(*cv2.boundingRect(shown))
    assert is_about(find_content(screen), place, 40)


def test_a_radiograph_alone_is_all_content(phantom: Phantom) -> None:
    height, width = phantom.pixels.shape
    assert is_about(find_content(phantom.pixels), Box(0, 0, width, height), 30)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_picture_of_one_value_is_all_content_and_stays_readable(value: int) -> None:
    pixels = np.full((300, 600), value, np.uint8)
    assert find_content(pixels) == Box(0, 0, 600, 300)
    assert prepare(pixels, FIT).pixels.shape == (256, 512)
    assert prepare(pixels, FIT).grey_range == 0


@given(
    size=st.tuples(st.integers(1, 400), st.integers(1, 500)),
    fit_size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    seed=st.integers(0, 9),
)
def test_shrinking_gives_the_mean_of_each_area(size: tuple[int, int], fit_size: tuple[int, int], seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, size).astype(np.uint8)
    height, width = fit_size
    expected = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    assert np.abs(shrink(pixels, height, width).astype(int) - expected).max() <= 1


def test_a_mean_is_rounded_to_the_nearest_grey_value() -> None:
    assert shrink(np.tile(np.array([1, 2, 2, 4, 4, 5], np.uint8), (3, 1)), 1, 2).tolist() == [[2, 4]]


def test_the_sums_of_a_large_white_picture_are_held() -> None:
    assert (shrink(np.full((6130, 12250), 255, np.uint8), 256, 512) == 255).all()


def test_a_part_of_a_picture_shrinks_as_if_it_stood_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 900)).astype(np.uint8)
    part = pixels[31:600, 57:801]
    assert (shrink(part, 256, 512) == shrink(part.copy(), 256, 512)).all()
