"""The phantom: what its truth promises, and that it needs no more than the service does."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from service.dentition.fdi import FDI_NUMBERS, mirrored
from service.model.prepare import fit_to, prepare
from service.radiograph import Limits, decode
from training.phantom import draw_phantom, draw_samples

SEEDS = (0, 7, 8, 103)


@pytest.fixture(scope="module", params=SEEDS)
def phantom(request):
    return draw_phantom(request.param)


@pytest.fixture(scope="module")
def full():
    return draw_phantom(1, missing=())


def centre(labels, fdi):
    """Mean (x, y) of a tooth's pixels."""
    y, x = np.nonzero(labels == fdi)
    return float(x.mean()), float(y.mean())


def numbers(labels):
    return set(np.unique(labels).tolist()) - {0}


def test_one_seed_gives_one_picture():
    one, other = draw_phantom(5, 180, 360), draw_phantom(5, 180, 360)
    assert np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.labels, other.labels)


def test_another_seed_gives_another_patient():
    one, other = draw_phantom(5, 180, 360, missing=()), draw_phantom(6, 180, 360, missing=())
    assert not np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize("size", [(180, 360), (512, 512), (1435, 2943)])
def test_picture_and_truth_have_the_size_asked_for(size):
    phantom = draw_phantom(3, *size)
    assert phantom.pixels.shape == phantom.labels.shape == size
    assert phantom.pixels.dtype == phantom.labels.dtype == np.uint8


def test_labels_are_fdi_numbers(phantom):
    assert numbers(phantom.labels) <= set(FDI_NUMBERS)


@pytest.mark.parametrize("size", [(720, 1440), (128, 256)])
def test_every_tooth_is_one_piece_of_some_size(size):
    labels = draw_phantom(8, *size, missing=()).labels
    smallest = 0.0008 * labels.size
    for fdi in FDI_NUMBERS:
        pieces, _, stats, _ = cv2.connectedComponentsWithStats((labels == fdi).astype(np.uint8), connectivity=4)
        assert pieces == 2, fdi
        assert stats[1, cv2.CC_STAT_AREA] > smallest, fdi


@pytest.mark.parametrize("missing", [(), (18, 28, 38, 48), (11, 36, 47), FDI_NUMBERS])
def test_the_teeth_left_out_are_those_asked_for(missing):
    assert numbers(draw_phantom(2, missing=missing).labels) == set(FDI_NUMBERS) - set(missing)


def test_leaving_a_tooth_out_moves_no_other(full):
    without = draw_phantom(1, missing=(36,)).labels
    # What a tooth and its neighbours share goes to either, so those beside the gap may gain a little.
    for fdi in set(FDI_NUMBERS) - {35, 36, 37}:
        assert centre(without, fdi) == centre(full.labels, fdi), fdi


def test_a_missing_tooth_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="FDI"):
        draw_phantom(2, missing=(19,))


def test_upper_teeth_stand_above_lower_ones(full):
    for number in range(1, 9):
        for right, below in ((10, 40), (20, 30)):
            assert centre(full.labels, right + number)[1] < centre(full.labels, below + number)[1]


@pytest.mark.parametrize(("first", "second"), [(10, 20), (40, 30)])
def test_a_row_runs_from_the_patients_right_on_the_pictures_left(full, first, second):
    row = [first + number for number in range(8, 0, -1)] + [second + number for number in range(1, 9)]
    places = [centre(full.labels, fdi)[0] for fdi in row]
    assert places == sorted(places)
    assert places[7] < full.labels.shape[1] / 2 + 0.03 * full.labels.shape[1]
    assert places[8] > full.labels.shape[1] / 2 - 0.03 * full.labels.shape[1]


def test_turned_left_to_right_each_tooth_lies_about_where_its_fellow_did(full):
    width = full.labels.shape[1]
    for fdi in FDI_NUMBERS:
        x, y = centre(full.labels[:, ::-1], mirrored(fdi))
        assert (x, y) == pytest.approx(centre(full.labels, fdi), abs=0.06 * width)


def test_a_canine_is_longer_than_its_neighbours(full):
    def length(fdi):
        return np.ptp(np.nonzero(full.labels == fdi)[0])

    assert length(13) > max(length(12), length(14))
    assert length(43) > max(length(42), length(44))


def test_teeth_take_the_share_of_the_picture_that_they_do_on_radiographs(full):
    assert 0.12 < (full.labels > 0).mean() < 0.25


def test_greys_are_those_of_a_radiograph(phantom):
    low, high = np.percentile(phantom.pixels, (1, 99))
    assert low < 60
    assert 120 < high <= 255
    assert 50 < phantom.pixels.mean() < 150
    assert prepare(phantom.pixels, fit_to(256, 512)).grey_range > 0.4


def test_teeth_are_brighter_than_the_gap_between_the_rows(full):
    x, upper = centre(full.labels, 13)
    _, lower = centre(full.labels, 43)
    column = full.labels[int(upper) : int(lower), int(x)]
    gap = full.pixels[int(upper) : int(lower), int(x)][column == 0]
    assert gap.size > 0
    assert np.median(full.pixels[full.labels == 13]) > np.median(gap) + 40


def test_the_whole_phantom_is_taken_for_content(phantom):
    height, width = phantom.pixels.shape
    content = prepare(phantom.pixels, fit_to(256, 512)).content
    assert (content.width, content.height) == (width, height)


def test_samples_hold_the_picture_that_their_bytes_decode_to():
    samples = draw_samples(2, seed=40)
    assert [sample.name for sample in samples] == ["phantom-40.png", "phantom-41.png"]
    for sample in samples:
        assert np.array_equal(decode(sample.data, Limits()).pixels, sample.pixels)
    assert np.array_equal(samples[1].labels, draw_phantom(41).labels)


def test_the_command_draws_without_anything_that_only_training_needs(tmp_path):
    blocked = ("torch", "lightning", "pycocotools", "yaml", "segmentation_models_pytorch")
    program = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        "runpy.run_module('training.phantom', run_name='__main__', alter_sys=True)"
    )
    arguments = ["--seed", "9", "--out", str(tmp_path / "phantom.png"), "--truth", str(tmp_path / "truth.png")]
    subprocess.run([sys.executable, "-c", program, *arguments], check=True)
    phantom = draw_phantom(9)
    for name, expected in (("phantom.png", phantom.pixels), ("truth.png", phantom.labels)):
        written = cv2.imread(str(tmp_path / name), cv2.IMREAD_GRAYSCALE)
        assert np.array_equal(written, expected)
