"""What is noticed about a picture, through the door that every picture takes."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.dentition.fdi import FDI_NUMBERS
from service.findings import judge
from service.model.interpret import find_teeth, mean_probabilities
from service.model.prepare import ModelInput, prepare
from service.model.turn import turn_upright
from service.plausibility import Plausibility
from service.radiograph import Radiograph
from service.reading import Reading, read
from service.segmentation import Box, Finding, Segmentation
from service.segmenter import Segmenter, Wanted
from service.ticket import Ticket
from tests.encoders import dicom
from training.foreign import cut_out, draw_foreign
from training.metrics import dice, match_teeth
from training.phantom import Phantom, draw_phantom

FULL_SIZE = Path(__file__).resolve().parents[2] / "shared" / "data" / "panoramic-fullsize"


def segment(segmenter: Segmenter, pixels: np.ndarray) -> Segmentation:
    upload = cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()
    return segmenter.segment(upload, Wanted(), Ticket(600)).segmentation


def codes(answer: Segmentation) -> list[str]:
    return [finding.code for finding in answer.findings]


def test_nothing_grave_is_said_of_a_plain_panoramic_nor_of_its_mirror_image(
    segmenter: Segmenter, phantom: Phantom
) -> None:
    for pixels in (phantom.pixels, phantom.pixels[:, ::-1]):
        answer = segment(segmenter, pixels)
        assert answer.suitable
        assert not {"inverted", "cropped", "few-teeth"} & set(codes(answer))


@pytest.mark.parametrize(
    ("changed", "shown"),
    [({}, True), ({"teeth": 13}, False), ({"certainty": 0.89}, False), ({"distance": 9.0}, False)],
    ids=lambda told: str(told),
)
def test_many_teeth_with_sure_numbers_make_a_panoramic_that_looks_like_none(
    segmenter: Segmenter, changed: dict[str, float], shown: bool
) -> None:
    thresholds = segmenter.package.manifest.thresholds
    photo = Plausibility(teeth=14, certainty=0.9, distance=3.0, panoramic=0.02, clearance=0.1)
    assert not photo.holds(thresholds)
    assert replace(photo, **changed).shows_dentition(thresholds) is shown


@pytest.mark.parametrize(("brightness", "sense"), [(200, True), (100, False), (40, False)])
def test_teeth_that_are_no_brighter_than_what_surrounds_them_make_no_sense(
    segmenter: Segmenter, brightness: int, sense: bool
) -> None:
    thresholds = segmenter.package.manifest.thresholds
    pixels, labels = np.full((256, 512), 100, np.uint8), np.zeros((256, 512), np.uint8)
    pixels[100:150, 200:300], labels[100:150, 200:300] = brightness, 11
    model_input = ModelInput(pixels, Box(0, 0, 512, 256), 1.0)
    (prediction,) = segmenter.model.session.run(pixels[np.newaxis])
    sure = Plausibility(teeth=14, certainty=0.9, distance=1.0, panoramic=1.0, clearance=0.1)
    plain = Reading(model_input, prediction, labels, sure, thresholds, inverted=False)
    assert plain.makes_sense is sense
    assert plain.is_panoramic  # were it a negative, that would have made sense
    looks_foreign = replace(plain, plausibility=replace(sure, panoramic=0.02))
    assert not looks_foreign.makes_sense
    assert looks_foreign.is_panoramic is sense


@pytest.mark.parametrize(
    ("quarters", "code"), [(1, "sideways"), (2, "upside-down"), (3, "sideways")], ids=["left", "on its head", "right"]
)
def test_a_turned_picture_is_named_and_its_teeth_are_found_where_they_lie(
    segmenter: Segmenter, phantom: Phantom, quarters: int, code: str
) -> None:
    answer = segment(segmenter, np.rot90(phantom.pixels, quarters))
    assert codes(answer) == [code]
    assert not answer.suitable
    truth = np.rot90(phantom.labels, quarters)
    assert dice(answer.labels > 0, truth > 0) > 0.6
    upright = segment(segmenter, phantom.pixels).labels
    assert match_teeth(np.rot90(answer.labels, -quarters), upright).teeth.f1 > 0.95


@pytest.mark.parametrize(
    ("quarters", "code"), [(1, "sideways"), (2, "upside-down"), (3, "sideways")], ids=["left", "on its head", "right"]
)
def test_a_turned_negative_is_named_as_both_and_read_as_what_it_is(
    segmenter: Segmenter, phantom: Phantom, quarters: int, code: str
) -> None:
    turned = np.rot90(phantom.pixels, quarters)
    answer, positive = segment(segmenter, 255 - turned), segment(segmenter, turned)
    assert set(codes(answer)) == {code, "inverted"}
    assert dice(answer.labels > 0, positive.labels > 0) > 0.95


@pytest.mark.parametrize("said", [["R", "F"], ["RA", "F"], ["L", "F"], ["A", "F"], ""])
def test_a_dicom_file_that_says_it_is_mirrored_is_named_and_can_be_used(
    segmenter: Segmenter, phantom: Phantom, said: list[str] | str
) -> None:
    upload = dicom(phantom.pixels, PatientOrientation=said)
    answer = segmenter.segment(upload, Wanted(), Ticket(30)).segmentation
    assert [finding.code for finding in answer.findings] == (["mirrored"] if "".join(said).startswith("R") else [])
    assert answer.suitable


@settings(max_examples=12)
@given(seed=st.integers(10_000, 2**31))
def test_a_drawing_of_anything_else_is_named(segmenter: Segmenter, seed: int) -> None:
    answer = segment(segmenter, draw_foreign(seed))
    assert "not-a-panoramic" in codes(answer)
    assert not answer.suitable


def test_a_few_teeth_cut_out_of_a_panoramic_are_none(segmenter: Segmenter, phantom: Phantom) -> None:
    for seed in range(4):
        answer = segment(segmenter, cut_out(phantom.pixels, np.random.default_rng(seed)))
        assert "not-a-panoramic" in codes(answer)


def test_a_jaw_without_teeth_is_told_and_not_refused(segmenter: Segmenter) -> None:
    answer = segment(segmenter, draw_phantom(7, missing=FDI_NUMBERS).pixels)
    assert answer.suitable
    assert "few-teeth" in codes(answer)
    assert answer.tooth_fraction < 0.003


def test_teeth_that_the_side_cuts_off_are_told_and_a_frame_cuts_nothing(segmenter: Segmenter, phantom: Phantom) -> None:
    rows = np.flatnonzero((phantom.labels > 0).any(axis=1))
    columns = np.flatnonzero((phantom.labels > 0).any(axis=0))
    wide = phantom.pixels.shape[1]
    below = int(rows[-1] - 0.15 * (rows[-1] - rows[0]))
    left = int(columns[0] + 0.04 * wide)
    assert "cropped" in codes(segment(segmenter, phantom.pixels[:below]))
    assert "cropped" in codes(segment(segmenter, phantom.pixels[:, left:]))
    framed = cv2.copyMakeBorder(phantom.pixels, 80, 20, 0, 130, cv2.BORDER_CONSTANT, value=255)
    assert "cropped" not in codes(segment(segmenter, framed))


@pytest.mark.skipif(not FULL_SIZE.is_dir(), reason="needs ../shared/data/panoramic-fullsize, which is not committed")
def test_radiographs_of_another_machine_are_told_apart_from_their_turned_and_cut_selves(segmenter: Segmenter) -> None:
    for path in sorted(FULL_SIZE.glob("*.png"))[:4]:
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        assert codes(segment(segmenter, pixels)) == []
        assert codes(segment(segmenter, 255 - pixels)) == ["inverted"]
        assert "upside-down" in codes(segment(segmenter, pixels[::-1, ::-1]))
        assert "sideways" in codes(segment(segmenter, np.rot90(pixels)))
        cut = segment(segmenter, cut_out(pixels, np.random.default_rng(0)))
        assert "not-a-panoramic" in codes(cut)


def test_a_reading_at_every_limit_is_a_panoramic_and_one_beyond_any_is_none_and_told_by_it(
    segmenter: Segmenter,
) -> None:
    limits = segmenter.package.manifest.thresholds
    plain = Plausibility(limits.few_teeth, limits.min_certainty, limits.max_distance, limits.min_panoramic, 0.1)
    assert plain.holds(limits)
    pixels = np.zeros((256, 512), np.uint8)
    (prediction,) = segmenter.model.session.run(pixels[np.newaxis])
    for measure, limit, step in (
        ("certainty", limits.min_certainty, -0.01),
        ("distance", limits.max_distance, 0.01),
        ("panoramic", limits.min_panoramic, -0.01),
    ):
        beyond = replace(plain, **{measure: limit + step})
        assert not beyond.holds(limits)
        model_input = ModelInput(pixels, Box(0, 0, 512, 256), 1.0)
        reading = Reading(model_input, prediction, np.zeros_like(pixels), beyond, limits, inverted=False)
        (finding,) = judge(Radiograph(pixels, "png", 8, "MONOCHROME2"), reading)
        assert finding.code == "not-a-panoramic"
        assert (finding.value, finding.limit) == (pytest.approx(limit + step, abs=1e-3), limit)
    # Of a few teeth the numbers say little.
    assert replace(plain, teeth=limits.few_teeth - 1, certainty=0.0).holds(limits)


@pytest.mark.parametrize(
    ("code", "severity"),
    [("not-a-panoramic", "error"), ("low-contrast", "warning"), ("cropped", "warning"), ("few-teeth", "warning")],
)
def test_a_finding_is_made_beyond_its_limit_and_tells_both(segmenter: Segmenter, code: str, severity: str) -> None:
    limits = segmenter.package.manifest.thresholds
    at = {
        "not-a-panoramic": (limits.max_colourfulness, 0.01),
        "low-contrast": (limits.low_contrast, -0.01),
        "cropped": (limits.min_clearance, -0.01),
        "few-teeth": (limits.few_teeth, -1),
    }

    def find(beyond: str | None) -> tuple[Finding, ...]:
        value = {each: limit + (step if each == beyond else 0) for each, (limit, step) in at.items()}
        pixels = np.zeros((256, 512), np.uint8)
        plain = Plausibility(int(value["few-teeth"]), 1.0, 0.0, 1.0, value["cropped"])
        model_input = ModelInput(pixels, Box(0, 0, 512, 256), value["low-contrast"])
        (prediction,) = segmenter.model.session.run(pixels[np.newaxis])
        reading = Reading(model_input, prediction, np.zeros_like(pixels), plain, limits, inverted=False)
        colour = value["not-a-panoramic"]
        return judge(Radiograph(pixels, "png", 8, "RGB", colourfulness=colour), reading)

    assert find(None) == ()
    (finding,) = find(code)
    limit, step = at[code]
    assert (finding.code, finding.severity) == (code, severity)
    assert (finding.value, finding.limit) == (pytest.approx(limit + step, abs=1e-3), limit)


def test_a_negative_can_be_used(segmenter: Segmenter, phantom: Phantom) -> None:
    answer = segment(segmenter, 255 - phantom.pixels)
    assert codes(answer) == ["inverted"]
    assert answer.suitable


def test_a_picture_in_colour_is_no_radiograph(segmenter: Segmenter, phantom: Phantom) -> None:
    answer = segment(segmenter, cv2.applyColorMap(phantom.pixels, cv2.COLORMAP_JET))
    assert codes(answer)[0] == "not-a-panoramic"
    assert "in colour" in answer.findings[0].message
    assert not answer.suitable


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_picture_s_teeth_are_as_sure_as_those_of_its_upright_reading(
    segmenter: Segmenter, phantom: Phantom, quarters: int
) -> None:
    model_input = prepare(np.ascontiguousarray(np.rot90(phantom.pixels, quarters)), segmenter.package.manifest.input)
    thresholds = segmenter.package.manifest.thresholds
    reading = read(segmenter.engine, thresholds, model_input, Ticket(600))
    assert reading.turned
    upright = turn_upright(model_input, reading.turned)
    (prediction,) = segmenter.model.session.run(upright.pixels[np.newaxis])
    expected = mean_probabilities(find_teeth(prediction, thresholds), prediction)
    assert mean_probabilities(reading.labels, reading.prediction) == pytest.approx(expected, abs=0.1)
