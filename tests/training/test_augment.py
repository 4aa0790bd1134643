"""Changing training pictures: the truth goes along, nothing is changed unasked, and everything can be had again."""

import warnings

import cv2
import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dentition.fdi import FDI_NUMBERS
from training.augment import augment, mirror
from training.config import Augmentation

HEAVY = Augmentation(
    mirror=0.5, rotate=15, scale=0.2, aspect=0.2, translate=0.1, shear=0.1, elastic=0.03, gamma=0.7, contrast=0.3,
    brightness=0.2, noise=0.1, blur=2, ramp=0.3, local_contrast=0.5, sharpen=0.5, negative=0.5, jpeg=0.5,
)  # fmt: skip

SIZES = arrays.array_shapes(min_dims=2, max_dims=2, min_side=8, max_side=40)


def class_of(fdi):
    return 1 + FDI_NUMBERS.index(fdi)


@st.composite
def pictures(draw, highest=32):
    """A picture and the class of each of its pixels."""
    size = draw(SIZES)
    return (
        draw(arrays.arrays(np.uint8, size)),
        draw(arrays.arrays(np.uint8, size, elements=st.integers(0, highest))),
    )


def square(fdi, top, left):
    """A picture that is black but for one tooth, a bright square."""
    pixels, classes = np.zeros((64, 128), np.uint8), np.zeros((64, 128), np.uint8)
    pixels[top : top + 12, left : left + 12] = 255
    classes[top : top + 12, left : left + 12] = class_of(fdi)
    return pixels, classes


@given(pictures())
def test_mirrored_twice_a_picture_is_itself_with_its_numbers(picture):
    again = mirror(*mirror(*picture, numbered=True), numbered=True)
    assert np.array_equal(again[0], picture[0])
    assert np.array_equal(again[1], picture[1])


@pytest.mark.parametrize(("fdi", "fellow"), [(36, 46), (18, 28), (31, 41), (25, 15), (11, 21)])
def test_a_mirrored_tooth_is_its_fellow_of_the_other_side_at_the_mirrored_place(fdi, fellow):
    pixels, classes = mirror(*square(fdi, top=20, left=10), numbered=True)
    expected = square(fellow, top=20, left=128 - 10 - 12)
    assert np.array_equal(pixels, expected[0])
    assert np.array_equal(classes, expected[1])


@given(pictures(highest=1))
def test_a_mirrored_tooth_without_a_number_stays_a_tooth(picture):
    assert np.array_equal(mirror(*picture, numbered=False)[1], picture[1][:, ::-1])


@given(pictures(), st.integers(0, 2**32))
def test_no_augmentation_changes_nothing(picture, seed):
    pixels, classes = augment(*picture, True, Augmentation(), np.random.default_rng(seed))
    assert np.array_equal(pixels, picture[0])
    assert np.array_equal(classes, picture[1])


@pytest.mark.parametrize("seed", range(20))
def test_a_tooth_moves_with_its_pixels(seed):
    geometry = Augmentation(mirror=0.5, rotate=15, scale=0.2, aspect=0.2, translate=0.1, shear=0.1, elastic=0.03)
    picture = square(36, top=26, left=40)
    pixels, classes = augment(*picture, True, geometry, np.random.default_rng(seed))
    assert not np.array_equal(classes, picture[1])
    # A bright pixel is tooth and a dark one is not; those between lie on the edge.
    assert (classes[pixels > 192] > 0).all()
    assert (classes[pixels < 64] == 0).all()
    assert (pixels > 192).sum() > 50
    assert set(np.unique(classes)) in ({0, class_of(36)}, {0, class_of(46)})


def test_a_wider_field_squeezes_the_middle_and_leaves_the_ends():
    how = Augmentation(wide=0.5)
    down, across = np.indices((64, 128))
    for axis, places, side in ((1, across, 128), (0, down, 64)):
        slopes = []
        for seed in range(40):
            ramp = (places * 255 // (side - 1)).astype(np.uint8)
            line = augment(ramp, np.zeros_like(ramp), True, how, np.random.default_rng(seed))[0].mean(axis=1 - axis)
            assert (np.diff(line) >= 0).all()
            assert line[0] <= 3
            assert line[-1] >= 252
            slopes.append((line[side // 2 + 8] - line[side // 2 - 8]) / 16 * (side - 1) / 255)
        most = 1.5 if axis else 1.25
        assert 0.95 <= min(slopes) < 1.1
        assert most - 0.1 < max(slopes) <= most + 0.05


GREY_CHANGES = {
    "gamma": 0.7, "contrast": 0.3, "brightness": 0.2, "noise": 0.1, "blur": 2, "ramp": 0.3, "local_contrast": 1,
    "sharpen": 1, "negative": 1, "jpeg": 1,
}  # fmt: skip


def shaded(height=64, width=128):
    """All greys, and edges."""
    return (np.indices((height, width)).sum(axis=0) * 255 // (height + width - 2)).astype(np.uint8) ^ np.uint8(64)


def change_grey(pixels, seed, **changes):
    """The picture with its grey values changed alone; its truth stays."""
    classes = np.arange(pixels.size, dtype=np.uint32).reshape(pixels.shape).astype(np.uint8) % 33
    changed, left = augment(pixels, classes, True, Augmentation(**changes), np.random.default_rng(seed))
    assert np.array_equal(left, classes)
    return changed


@pytest.mark.parametrize("name", GREY_CHANGES)
def test_each_change_of_grey_values_is_made_and_moves_nothing(name):
    pixels = shaded()
    changed = [change_grey(pixels, seed, **{name: GREY_CHANGES[name]}) for seed in range(10)]
    assert any(not np.array_equal(one, pixels) for one in changed)


def test_a_negative_turns_every_grey_value_over():
    assert np.array_equal(change_grey(shaded(), 0, negative=1), 255 - shaded())


@given(st.integers(0, 2**32))
def test_gamma_keeps_the_order_of_the_grey_values_and_black_and_white(seed):
    greys = np.arange(256, dtype=np.uint8).reshape(8, 32)
    changed = change_grey(greys, seed, gamma=1).ravel()
    assert (np.diff(changed.astype(int)) >= 0).all()
    assert (changed[0], changed[-1]) == (0, 255)
    # Lighter all over, or darker.
    assert (changed >= greys.ravel()).all() or (changed <= greys.ravel()).all()


def test_a_ramp_darkens_one_side_more_than_the_other():
    flat = np.full((64, 128), 100, np.uint8)
    for axis in (0, 1):
        sides = []
        for seed in range(40):
            line = change_grey(flat, seed, ramp=0.3).mean(axis=axis)
            assert (np.diff(line) >= 0).all() or (np.diff(line) <= 0).all()
            sides.append(line[-1] - line[0])
        # From 0.7 to 1.3 times as bright at most, either way round.
        assert -61 < min(sides) < -30
        assert 30 < max(sides) < 61


@given(st.integers(0, 2**32))
def test_the_same_generator_gives_the_same_change_and_another_one_another(seed):
    # Neither flat nor even, so that no change goes unseen.
    pixels = (np.arange(64 * 128, dtype=np.uint32) * 2654435761 >> 24).astype(np.uint8).reshape(64, 128)
    classes = pixels % 33
    one, other = (augment(pixels, classes, True, HEAVY, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])
    assert not np.array_equal(augment(pixels, classes, True, HEAVY, np.random.default_rng(seed + 1))[0], one[0])


@given(pictures(), st.integers(0, 2**32))
def test_a_changed_picture_keeps_its_size_and_holds_no_class_that_is_not_there(picture, seed):
    pixels, classes = augment(*picture, True, HEAVY, np.random.default_rng(seed))
    assert pixels.shape == classes.shape == picture[0].shape
    assert pixels.dtype == classes.dtype == np.uint8
    assert classes.max() <= 32


@given(st.integers(0, 1000))
def test_a_removed_tooth_is_gone_from_picture_and_truth_and_the_others_stay(seed):
    pixels, classes = np.full((64, 128), 60, np.uint8), np.zeros((64, 128), np.uint8)
    for fdi, left in ((14, 10), (11, 50), (24, 90)):
        classes[20:32, left : left + 12] = class_of(fdi)
        pixels[20:32, left : left + 12] = 220
    changed, left_over = augment(pixels, classes, True, Augmentation(remove_teeth=1), np.random.default_rng(seed))
    gone = (classes > 0) & (left_over == 0)
    assert np.array_equal(left_over[~gone], classes[~gone])
    assert (changed[gone] < 110).all()
    assert (changed[left_over > 0] > 200).all()


def test_jaws_of_every_number_of_teeth_come_of_removing():
    pixels, classes = np.zeros((64, 128), np.uint8), np.repeat(np.arange(32, dtype=np.uint8) + 1, 4)[None].repeat(64, 0)
    how = Augmentation(remove_teeth=1)
    counts = [np.unique(augment(pixels, classes, True, how, np.random.default_rng(seed))[1]).size for seed in range(60)]
    assert min(counts) < 8
    assert max(counts) > 28


def jaw() -> tuple[np.ndarray, np.ndarray]:
    """Bone of one grey with 14 teeth above and below, each brighter than it."""
    pixels, classes = np.full((256, 512), 60, np.uint8), np.zeros((256, 512), np.uint8)
    for place in range(14):
        upper, lower = (17 - place, 47 - place) if place < 7 else (14 + place, 24 + place)
        for top, fdi in ((60, upper), (130, lower)):
            classes[top : top + 60, 60 + 28 * place : 80 + 28 * place] = class_of(fdi)
    pixels[classes > 0] = 150
    return pixels, classes


@given(st.integers(0, 1000))
def test_what_is_put_where_teeth_were_is_no_tooth_and_leaves_the_others_alone(seed):
    pixels, classes = jaw()
    how = Augmentation(remove_teeth=1, implants=1)
    changed, left_over = augment(pixels, classes, True, how, np.random.default_rng(seed))
    gone = (classes > 0) & (left_over == 0)
    assert np.array_equal(left_over[~gone], classes[~gone])
    # An eroded tooth: where two touch, the neighbour's blended rim reaches over.
    inner = cv2.erode((left_over > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert np.abs(changed[inner].astype(int) - 150).max(initial=0) <= 1


def test_implants_and_hanging_crowns_are_brighter_than_bone_and_gaps_are_not():
    pixels, classes = jaw()

    def brightest(how: Augmentation) -> list[int]:
        answers = (augment(pixels, classes, True, how, np.random.default_rng(seed)) for seed in range(40))
        return [int(changed[(classes > 0) & (left == 0)].max(initial=0)) for changed, left in answers]

    assert max(brightest(Augmentation(remove_teeth=1))) < 130
    assert np.median(brightest(Augmentation(remove_teeth=1, implants=1))) > 200


@given(st.integers(0, 1000))
def test_a_crowned_tooth_stays_a_tooth_and_only_its_chewing_end_changes(seed):
    pixels, classes = jaw()
    changed, left_over = augment(pixels, classes, True, Augmentation(crowns=1), np.random.default_rng(seed))
    assert np.array_equal(left_over, classes)
    roots = np.zeros_like(classes, bool)
    roots[60:84] = classes[60:84] > 0
    roots[166:190] = classes[166:190] > 0
    assert np.abs(changed[roots].astype(int) - 150).max() <= 1


def test_a_tooth_of_a_single_pixel_has_a_shape_as_any_other():
    pixels, classes = np.full((64, 128), 60, np.uint8), np.zeros((64, 128), np.uint8)
    classes[30, 60] = class_of(11)
    how = Augmentation(remove_teeth=1, implants=1, crowns=1)
    with warnings.catch_warnings(action="error"):
        for seed in range(40):
            augment(pixels, classes, True, how, np.random.default_rng(seed))
