"""Each known change moves the truth along with the picture, and its cost is told with what was found."""

import json
import shutil

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from service.radiograph import Limits, decode
from tests.training.drawn import drawn_config
from training.cli import app
from training.config import load_config
from training.evaluate import PictureScore
from training.metrics import Counts, ToothAgreement, dice
from training.metrics_file import describe_data
from training.stress import describe
from training.stress_changes import STRESSES, UNCHANGED, Stress

BY_NAME = {change.name: change for change in STRESSES}


@pytest.fixture(scope="module", params=[(512, 512), (360, 720)], ids=["squeezed", "panoramic"])
def marked(request):
    """A picture that is bright where its truth is a tooth, so that the two can be held against each other."""
    height, width = request.param
    labels = np.zeros((height, width), np.uint8)
    cv2.ellipse(labels, (width // 3, height // 2), (width // 9, height // 5), 20, 0, 360, 16, -1)
    cv2.rectangle(labels, (width // 2, height // 4), (width * 2 // 3, height // 2), 26, -1)
    picture = np.where(labels > 0, 190, 60).astype(np.uint8)
    # Black and white somewhere, so that what spreads grey values has nothing to spread.
    picture[:2, :2], picture[:2, -2:] = 0, 255
    return picture, labels


@pytest.mark.parametrize("change", STRESSES, ids=lambda change: change.name)
def test_the_truth_moves_with_the_picture(change, marked):
    data, labels = change.change(*marked)
    pixels = decode(data, Limits()).pixels
    assert labels.shape == pixels.shape
    assert set(np.unique(labels)) == {0, 16, 26}
    floats = pixels.astype(float) / np.iinfo(pixels.dtype).max
    # A frame, and what is written into it or stands around it, is no part of this.
    x, y, width, height = cv2.boundingRect(labels)
    near = np.s_[max(0, y - 8) : y + height + 8, max(0, x - 8) : x + width + 8]
    smooth, marked_as = cv2.GaussianBlur(floats, (0, 0), 2)[near], labels[near] > 0
    tooth, ground = np.median(smooth[marked_as]), np.median(smooth[~marked_as])
    assert (tooth < ground) == (change.name == "negative")
    parted = np.abs(smooth - tooth) < np.abs(smooth - ground)
    assert dice(parted, marked_as) > 0.95


def test_no_change_is_none(marked):
    pixels, labels = marked
    data, same = UNCHANGED.change(pixels, labels)
    assert np.array_equal(decode(data, Limits()).pixels, pixels)
    assert np.array_equal(same, labels)


@pytest.mark.parametrize("width", [512, 1024, 3000])
def test_a_squeezed_picture_gets_its_shape_back_and_another_keeps_its_own(width, marked):
    pixels, labels = marked
    height, wide = decode(BY_NAME[f"width-{width}"].change(pixels, labels)[0], Limits()).pixels.shape
    assert wide == width
    assert wide / height == pytest.approx(2.0 if pixels.shape[0] != pixels.shape[1] else 1991 / 1127, rel=0.01)


def test_a_wide_field_shows_the_jaws_smaller_and_its_edges_where_they_were(marked):
    pixels, labels = marked
    height, width = pixels.shape
    middle = np.s_[height * 2 // 5 : height * 3 // 5, width * 2 // 5 : width * 3 // 5]
    truth = np.zeros_like(labels)
    truth[middle], truth[:, [0, -1]] = 16, 26
    _, squeezed = BY_NAME["wide-field"].change(pixels, truth)
    _, _, across, down = cv2.boundingRect(np.where(squeezed == 16, 255, 0).astype(np.uint8))
    assert across / (width / 5) == pytest.approx(2 / 3, abs=0.03)
    assert down / (height / 5) == pytest.approx(4 / 5, abs=0.03)
    assert (squeezed[:, [0, -1]] == 26).all()


def test_twelve_bits_lie_in_sixteen_and_a_photograph_is_in_colour(marked):
    twelve = cv2.imdecode(np.frombuffer(BY_NAME["12-in-16"].change(*marked)[0], np.uint8), cv2.IMREAD_UNCHANGED)
    assert twelve.dtype == np.uint16
    assert twelve.max() < 4096
    photograph = cv2.imdecode(np.frombuffer(BY_NAME["photograph"].change(*marked)[0], np.uint8), cv2.IMREAD_COLOR)
    assert np.ptp(photograph.mean(axis=(0, 1))) > 5
    assert BY_NAME["jpeg-20"].change(*marked)[0].startswith(b"\xff\xd8")


def scored(value, *findings, right=10):
    teeth = ToothAgreement(Counts(right, 10, 10), (value,))
    return PictureScore("p", "", value, value, value, teeth, (), Counts(), findings)


def test_a_loss_is_told_with_its_interval_and_with_what_was_found():
    before = [scored(0.9), scored(0.9, "few-teeth")]
    after = [scored(0.8, "low-contrast", right=5), scored(0.88, "few-teeth")]
    told = describe(Stress("s", "s", UNCHANGED.change), before, after)
    assert told["dice_loss"]["mean"] == pytest.approx(0.06)
    assert told["dice_loss"]["interval"] == pytest.approx([0.02, 0.1])
    assert told["tooth_f1_loss"] == {"mean": 0.25, "interval": [0.0, 0.5]}
    assert told["findings"] == {"few-teeth": 0.5, "low-contrast": 0.5}


def test_a_loss_beyond_the_limit_holds_only_where_a_finding_says_so():
    before = [scored(0.9), scored(0.9)]
    change = Stress("s", "s", UNCHANGED.change, largest_loss=0.03)
    assert describe(change, before, [scored(0.88), scored(0.88)])["holds"]
    assert not describe(change, before, [scored(0.8), scored(0.8)])["holds"]
    told = describe(change, before, [scored(0.4, "low-contrast"), scored(0.88)])
    assert told["holds"]
    assert told["unnamed"] == {"pictures": 1, "dice_loss": pytest.approx(0.02)}
    assert describe(change, before, [scored(0.4, "low-contrast")] * 2)["holds"]
    # Each is a panoramic, whatever the service calls it.
    assert not describe(change, before, [scored(0.4, "not-a-panoramic")] * 2)["holds"]
    # What was found before the change says nothing of the change.
    assert not describe(change, [scored(0.9, "few-teeth")], [scored(0.4, "few-teeth")])["holds"]


def test_a_negative_must_be_named_and_answered():
    before = [scored(0.9), scored(0.9)]
    change = Stress("s", "s", UNCHANGED.change, finding="inverted")
    assert describe(change, before, [scored(0.9, "inverted")] * 2)["holds"]
    assert not describe(change, before, [scored(0.9, "inverted"), scored(0.9)])["holds"]
    assert not describe(change, before, [scored(0.5, "inverted")] * 2)["holds"]


def test_the_command_measures_every_change_of_the_validation_pictures(package, tmp_path):
    folder = tmp_path / "package"
    config = drawn_config(tmp_path / "drawn.yaml", data={"kind": "phantom", "train": 1, "val": 2, "test": 1, "seed": 7})
    shutil.copytree(package.folder, folder)
    shipped = (folder / "metrics.json").read_text()
    refused = CliRunner().invoke(app, ["evaluate", str(folder), "--config", str(config), "--stress"])
    assert refused.exit_code == 2
    assert (folder / "metrics.json").read_text() == shipped
    kept = {**json.loads(shipped)["val"], "data": describe_data(load_config(config).data)}
    (folder / "metrics.json").write_text(json.dumps({"val": kept}))
    said = CliRunner().invoke(app, ["evaluate", str(folder), "--config", str(config), "--stress"])
    assert said.exit_code == 0, said.output
    metrics = json.loads((folder / "metrics.json").read_text())
    told = metrics["stress"]
    assert "(0.03)" in said.output
    assert metrics["val"] == kept
    assert (told["split"], told["pictures"]) == ("val", 2)
    assert told["command"].endswith("--split val --stress")
    assert {row["name"] for row in told["changes"]} == set(BY_NAME)
    rows = {row["name"]: row for row in told["changes"]}
    assert abs(rows["12-in-16"]["dice_loss"]["mean"]) < 0.01
    assert rows["negative"]["findings"]["inverted"] == 1.0


def test_two_measures_at_a_time_are_refused(package):
    both = ["evaluate", str(package.folder), "--config", "x.yaml", "--stress", "--before", str(package.folder)]
    refused = CliRunner().invoke(app, both)
    assert refused.exit_code == 2
    assert "ask for one of them at a time" in refused.output


def test_masks_without_numbers_tell_nothing_of_numbered_teeth():
    unnumbered = PictureScore("p", "", 0.9, 0.9, 0.9, None, None, None, ())
    told = describe(Stress("s", "s", UNCHANGED.change), [unnumbered], [unnumbered])
    assert told["dice_loss"]["mean"] == 0
    assert (told["tooth_f1"], told["tooth_f1_loss"]) == (None, None)
