"""Confidence says how often a tooth is right, and keeps the order that the network gave."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import training.calibration
from service.model.interpret import find_teeth, mean_probabilities
from service.model.package import choose_package, load_package
from service.model.prepare import prepare
from service.segmenter import Segmenter, Wanted
from service.settings import Settings
from service.ticket import Ticket
from tests.training.drawn import drawn_config
from training.calibration import (
    CalibrationError,
    FoundTeeth,
    calibrate,
    fit_beta,
    fit_none,
)
from training.cli import app
from training.reliability import expected_calibration_error, reliability_bins
from training.thresholds import UNCERTAIN

PICTURES, TEETH = 60, 28


def draw_teeth(seed, chance, pictures=PICTURES):
    """Teeth whose mean probability is drawn, and which are right with the chance that follows from it."""
    generator = np.random.default_rng(seed)
    raw = generator.beta(6, 1, pictures * TEETH)
    right = (generator.random(raw.size) < chance(raw)).astype(float)
    picture = np.repeat(np.arange(pictures), TEETH)
    return FoundTeeth(picture, np.tile(np.arange(11, 11 + TEETH), pictures), raw, right)


def error_on(calibration, teeth):
    return expected_calibration_error(reliability_bins(teeth.judged(calibration.probabilities(teeth.raw))))


def overconfident(raw):
    odds = (raw / (1 - raw)) ** 0.4
    return odds / (1 + odds)


def a_little_overconfident(raw):
    odds = (raw / (1 - raw)) ** 0.85
    return odds / (1 + odds)


def sure_of_half(raw):
    """Which no curve of the logit alone is: nearly right where the network is sure, far too sure below."""
    odds = raw**6 / (1 - raw) ** 0.6
    return odds / (1 + odds)


def test_probabilities_that_are_right_already_stay_as_they_are():
    assert calibrate(draw_teeth(0, lambda raw: raw)).calibration.method == "none"


@pytest.mark.parametrize("chance", [overconfident, sure_of_half])
def test_a_curve_that_fits_is_taken_and_holds_for_other_pictures(chance):
    fitted, others = draw_teeth(1, chance), draw_teeth(2, chance, pictures=400)
    calibration = calibrate(fitted).calibration
    assert calibration.method == "beta"
    assert error_on(calibration, others) < 0.03 < error_on(fit_none(fitted), others)


def test_a_calibration_error_that_is_clearly_lower_decides_where_the_log_loss_leaves_it_open(monkeypatch):
    teeth = draw_teeth(1, a_little_overconfident, pictures=10)
    assert calibrate(teeth).calibration.method == "beta"
    monkeypatch.setattr(training.calibration, "_WORTH", 1.0)  # which no error is lower by
    assert calibrate(teeth).calibration.method == "none"


def test_teeth_that_are_not_uncertain_are_right_more_often_than_nine_times_in_ten():
    calibrated = calibrate(draw_teeth(3, sure_of_half))
    others = draw_teeth(4, sure_of_half, pictures=400)
    certain = calibrated.calibration.probabilities(others.raw) >= UNCERTAIN
    assert others.right[certain].mean() > 0.9
    assert others.right[~certain].mean() < 0.9
    assert calibrated.precision == pytest.approx(others.right[certain].mean(), abs=0.02)


def test_the_maps_that_were_compared_are_told_with_what_they_do_on_other_pictures():
    told = calibrate(draw_teeth(1, overconfident)).summary()
    assert set(told["candidates"]) == {"none", "beta"}
    assert told["candidates"]["beta"]["log_loss"] < told["candidates"]["none"]["log_loss"]
    assert told["teeth"] == PICTURES * TEETH


teeth_of_some_pictures = st.lists(
    st.tuples(st.integers(0, 4), st.floats(0, 1), st.booleans()), min_size=1, max_size=60
).map(lambda rows: FoundTeeth(*np.array([(picture, 11, raw, right) for picture, raw, right in rows]).T))


@given(teeth_of_some_pictures, st.sampled_from([fit_none, fit_beta]))
def test_no_map_turns_the_order_round_or_leaves_the_scale(teeth, fit):
    told = fit(teeth).probabilities(np.linspace(0, 1, 200))
    assert (np.diff(told) >= 0).all()
    assert 0 <= told.min() <= told.max() <= 1


@pytest.mark.parametrize("right", [0.0, 1.0])
def test_teeth_that_are_all_right_or_all_wrong_give_no_certainty(right):
    teeth = FoundTeeth(np.arange(20), np.full(20, 11), np.linspace(0.5, 0.9, 20), np.full(20, right))
    told = fit_beta(teeth).probabilities(teeth.raw)
    assert ((told > 0.02) & (told < 0.98)).all()
    assert ((told > 0.5) == (right > 0.5)).all()


def test_pictures_are_judged_apart_wherever_they_stand_among_the_others():
    teeth = draw_teeth(1, overconfident, pictures=2)
    apart = FoundTeeth(teeth.picture * 10, teeth.fdi, teeth.raw, teeth.right)
    assert calibrate(apart).summary() == calibrate(teeth).summary()


def test_one_picture_is_too_few():
    with pytest.raises(CalibrationError, match="fewer than two"):
        calibrate(draw_teeth(0, overconfident, pictures=1))


def test_the_answer_tells_what_the_packages_table_makes_of_the_mean_probability(
    segmenter, package, phantom, phantom_png
):
    answer = segmenter.segment(phantom_png, Wanted(), Ticket(60)).segmentation
    picture = prepare(phantom.pixels, package.manifest.input).pixels
    (prediction,) = segmenter.model.session.run(picture[np.newaxis])
    raw = mean_probabilities(find_teeth(prediction, package.manifest.thresholds), prediction)
    table = package.manifest.calibration
    for tooth in answer.teeth:
        assert tooth.confidence == pytest.approx(np.interp(raw[tooth.fdi], table.raw, table.confidence))


def test_calibrating_a_package_writes_its_next_version_with_other_confidences_and_nothing_else(
    package, phantom_png, tmp_path
):
    folder = tmp_path / package.manifest.name / "1"
    shutil.copytree(package.folder, folder)
    config = drawn_config(tmp_path / "drawn.yaml", data={"kind": "phantom", "train": 1, "val": 4, "test": 1, "seed": 3})
    before = load_package(folder).manifest
    held = {path.name: path.read_bytes() for path in folder.iterdir()}
    said = CliRunner().invoke(app, ["calibrate", str(folder), "--config", str(config)])
    assert said.exit_code == 0, said.output
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == held
    changed = choose_package(tmp_path, None)
    assert changed.folder == folder.with_name("2")
    told = json.loads((changed.folder / "calibration.json").read_text())
    assert json.loads(said.stdout) == told
    assert said.stderr.startswith(f"{changed.folder} is written; measure it")
    # Figures of other confidences are not the new ones'.
    assert not (changed.folder / "metrics.json").exists()
    assert told["uncertain"]["limit"] == changed.manifest.thresholds.uncertain
    same = before.thresholds.model_copy(update={"uncertain": changed.manifest.thresholds.uncertain})
    # Figures of the old confidences are told no longer.
    told_before = before.metrics["test"]
    metrics = {"test": {name: told_before[name] for name in told_before if name not in ("uncertain", "ece")}}
    assert changed.manifest == before.model_copy(
        update={"version": "2", "calibration": changed.manifest.calibration, "thresholds": same, "metrics": metrics}
    )
    segmenters = [Segmenter(one, Settings(provider="cpu")) for one in (package, changed)]
    old, new = (one.segment(phantom_png, Wanted(), Ticket(60)).segmentation for one in segmenters)
    for one in segmenters:
        one.close()
    assert np.array_equal(old.labels, new.labels)
    assert [tooth.fdi for tooth in old.teeth] == [tooth.fdi for tooth in new.teeth]


def test_teeth_that_are_alike_within_a_picture_prove_no_more_than_one(monkeypatch):
    monkeypatch.setattr(training.calibration, "_WORTH", 1.0)  # so that the log loss alone decides
    teeth = draw_teeth(1, a_little_overconfident, pictures=10)
    alike = FoundTeeth(*(np.repeat(part, 20) for part in (teeth.picture, teeth.fdi, teeth.raw, teeth.right)))
    assert calibrate(teeth).calibration.method == calibrate(alike).calibration.method == "none"
