"""From the model's maps to teeth: drawn maps with answers that can be seen, and sizes of every kind."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.dentition.fdi import CLASSES, FDI_NUMBERS
from service.model.interpret import find_teeth, mean_probabilities
from service.model.outline import locate, outline_teeth, to_radiograph
from service.model.package import Thresholds
from service.model.prediction import EVIDENCE_CELL, Prediction
from service.model.prepare import ModelInput
from service.segmentation import Box, Labels, Tooth

THRESHOLDS = Thresholds(
    foreground=0.5,
    min_tooth_area=20,
    min_share_of_typical_area=0.3,
    uncertain=0.6,
    low_contrast=0.1,
    few_teeth=10,
    min_clearance=0.02,
    min_panoramic=0.5,
    min_certainty=0.3,
    max_distance=3,
    max_colourfulness=0.1,
)

HEIGHT, WIDTH = 64, 128

UPRIGHT = (1.0, 0.0, 0.0, 0.0, 0.0)


def predict(*rectangles: tuple[int, int, int, int, int]) -> Prediction:
    """A prediction whose teeth are rectangles: FDI number, x, y, width, height."""
    tooth = np.ones((HEIGHT, WIDTH), np.uint8)
    foreground = np.zeros((HEIGHT, WIDTH), np.uint8)
    evidence = np.full((HEIGHT // EVIDENCE_CELL, WIDTH // EVIDENCE_CELL, len(FDI_NUMBERS)), 255, np.uint8)
    for fdi, x, y, width, height in rectangles:
        tooth[y : y + height, x : x + width] = CLASSES.index(fdi)
        foreground[y : y + height, x : x + width] = 255
    of_cell = tooth[EVIDENCE_CELL // 2 :: EVIDENCE_CELL, EVIDENCE_CELL // 2 :: EVIDENCE_CELL]
    np.put_along_axis(evidence, of_cell[:, :, None].astype(np.intp) - 1, 0, axis=2)
    confidence = np.full((HEIGHT, WIDTH), 204, np.uint8)
    return Prediction(tooth, foreground, confidence, 1.0, UPRIGHT, evidence)


def numbers(labels: np.ndarray) -> dict[int, int]:
    """Area of each number."""
    return {int(fdi): int((labels == fdi).sum()) for fdi in np.unique(labels) if fdi}


def test_teeth_apart_keep_their_numbers_and_every_pixel() -> None:
    labels = find_teeth(predict((11, 10, 10, 10, 20), (21, 30, 10, 10, 20)), THRESHOLDS)
    assert numbers(labels) == {11: 200, 21: 200}


def test_a_second_piece_takes_the_number_of_the_tooth_it_touches() -> None:
    labels = find_teeth(predict((11, 10, 10, 10, 20), (21, 30, 10, 10, 20), (11, 40, 12, 4, 5)), THRESHOLDS)
    assert numbers(labels) == {11: 200, 21: 220}


def test_a_second_whole_tooth_of_one_number_has_the_number_of_its_place() -> None:
    rectangles = ((16, 40, 10, 5, 20), (15, 47, 10, 4, 20), (15, 52, 10, 4, 20), (13, 56, 10, 4, 20))
    labels = find_teeth(predict(*rectangles), THRESHOLDS)
    assert numbers(labels) == {16: 100, 15: 80, 14: 80, 13: 80}
    assert (labels[10:30, 52:56] == 14).all()


def test_a_second_piece_that_touches_nothing_is_dropped() -> None:
    labels = find_teeth(predict((11, 10, 10, 10, 20), (11, 80, 40, 4, 5)), THRESHOLDS)
    assert numbers(labels) == {11: 200}


def test_a_small_second_piece_in_an_empty_place_is_no_tooth_of_that_place() -> None:
    rectangles = ((16, 40, 10, 5, 20), (15, 47, 10, 4, 20), (15, 52, 10, 3, 7), (13, 56, 10, 4, 20))
    prediction = predict(*rectangles)
    prediction.evidence[:, 52 // EVIDENCE_CELL, FDI_NUMBERS.index(14)] = 0
    assert numbers(find_teeth(prediction, THRESHOLDS)) == {16: 100, 15: 80, 13: 80}


def test_a_tooth_much_smaller_than_the_others_is_part_of_the_one_it_touches() -> None:
    rectangles = ((11, 10, 10, 10, 20), (21, 40, 10, 10, 20), (22, 50, 12, 5, 8))
    specks = [(fdi, x, 40, 3, 3) for fdi, x in ((31, 80), (32, 90), (33, 100))]
    for others in ((), specks):
        assert numbers(find_teeth(predict(*rectangles, *others), THRESHOLDS)) == {11: 200, 21: 240}


def test_small_teeth_one_below_the_other_are_all_part_of_the_tooth_above_them() -> None:
    whole = [(fdi, 20 * place, 10, 10, 20) for place, fdi in enumerate((13, 12, 11, 21, 22))]
    labels = find_teeth(predict(*whole, (31, 40, 30, 10, 5), (41, 40, 35, 10, 4)), THRESHOLDS)
    assert numbers(labels) == {13: 200, 12: 200, 11: 290, 21: 200, 22: 200}


def test_a_small_tooth_that_stands_alone_stays() -> None:
    labels = find_teeth(predict((11, 10, 10, 10, 20), (21, 40, 10, 10, 20), (36, 90, 40, 5, 8)), THRESHOLDS)
    assert numbers(labels) == {11: 200, 21: 200, 36: 40}


def test_a_speck_is_no_tooth_and_the_least_tooth_is_one() -> None:
    assert numbers(find_teeth(predict((11, 10, 10, 3, 3)), THRESHOLDS)) == {}
    assert numbers(find_teeth(predict((11, 10, 10, 4, 5)), THRESHOLDS)) == {11: 20}


@pytest.mark.parametrize("at", [(12, 7), (12, 30), (7, 12), (20, 12)], ids=["above", "below", "left", "right"])
def test_a_fragment_is_part_of_a_tooth_on_whichever_side_it_touches_it(at: tuple[int, int]) -> None:
    labels = find_teeth(predict((11, 10, 10, 10, 20), (21, *at, 3, 3)), THRESHOLDS)
    assert numbers(labels) == {11: 209}


def test_a_fragment_that_leans_on_another_is_part_of_the_tooth_on_which_that_leans() -> None:
    labels = find_teeth(predict((11, 10, 10, 10, 20), (21, 20, 10, 4, 4), (22, 24, 10, 3, 3)), THRESHOLDS)
    assert numbers(labels) == {11: 225}


def test_a_tooth_between_the_middles_of_cells_is_numbered_by_the_cell_that_it_is_in() -> None:
    prediction = predict((11, 43, 10, 3, 20))
    prediction.evidence[4, 11, FDI_NUMBERS.index(21)] = 0
    prediction.evidence[4, 11, FDI_NUMBERS.index(11)] = 255
    labels = find_teeth(
        prediction,
        THRESHOLDS,
        lambda _, logarithms, __: np.array([CLASSES[1 + best] for best in logarithms.argmax(1)]),
    )
    assert numbers(labels) == {21: 60}


def test_a_second_piece_that_is_given_no_number_is_part_of_the_tooth_it_touches_or_dropped() -> None:
    touching, apart = (21, 20, 10, 10, 19), (21, 90, 10, 10, 18)
    for pieces, area in (((touching,), 390), ((apart,), 200), ((touching, apart), 390)):
        prediction = predict((11, 10, 10, 10, 20), *pieces)
        labels = find_teeth(prediction, THRESHOLDS, lambda across, *_: np.where(across < 15 / WIDTH, 11, 0))
        assert numbers(labels) == {11: area}


def test_who_numbers_the_teeth_is_told_what_part_of_a_typical_tooth_each_is() -> None:
    told: list[float] = []

    def number(across: np.ndarray, _: np.ndarray, substance: np.ndarray) -> np.ndarray:
        told.extend(substance)
        return np.array([11, 21, 36])[: len(across)]

    find_teeth(predict((11, 10, 10, 20, 20), (21, 40, 10, 10, 20), (36, 90, 40, 10, 10)), THRESHOLDS, number)
    assert told == [1.0, 1.0, 0.5]


@given(st.integers(0, 2**32))
def test_a_picture_of_anything_gives_each_number_once_and_in_one_place(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = (generator.integers(2, HEIGHT), generator.integers(2, WIDTH))
    coarse = generator.integers(0, 33, shape, np.uint8)
    tooth = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    evidence = generator.integers(0, 256, (HEIGHT // EVIDENCE_CELL, WIDTH // EVIDENCE_CELL, 32), np.uint8)
    foreground = np.where(tooth > 0, 255, 0).astype(np.uint8)
    prediction = Prediction(np.maximum(tooth, 1), foreground, foreground, 1.0, UPRIGHT, evidence)
    labels = find_teeth(prediction, THRESHOLDS.model_copy(update={"min_tooth_area": 1}))
    assert not labels[foreground == 0].any()
    for fdi in np.unique(labels[labels > 0]):
        count, _ = cv2.connectedComponents((labels == fdi).view(np.uint8), connectivity=8)
        assert count == 2


def test_nothing_found_is_an_answer_too() -> None:
    prediction = predict()
    labels = find_teeth(prediction, THRESHOLDS)
    model_input = ModelInput(np.zeros((HEIGHT, WIDTH), np.uint8), Box(0, 0, 300, 200), 1.0)
    large = to_radiograph(labels, locate(labels), prediction, model_input, 200, 300, THRESHOLDS)
    assert not large.any()
    assert outline_teeth(large, locate(labels), model_input, mean_probabilities(labels, prediction)) == ()


@given(
    size=st.tuples(st.integers(128, 700), st.integers(128, 900)),
    frame=st.tuples(st.integers(0, 40), st.integers(0, 40)),
    at=st.tuples(st.integers(2, 90), st.integers(2, 36)),
)
def test_a_tooth_lies_where_it_was_in_the_content_to_within_a_pixel_of_the_model(
    size: tuple[int, int], frame: tuple[int, int], at: tuple[int, int]
) -> None:
    height, width = size[0] + 2 * frame[0], size[1] + 2 * frame[1]
    content = Box(frame[1], frame[0], size[1], size[0])
    model_input = ModelInput(np.zeros((HEIGHT, WIDTH), np.uint8), content, 1.0)
    prediction = predict((11, *at, 12, 20), (21, at[0] + 12, at[1], 12, 20))
    labels = find_teeth(prediction, THRESHOLDS)
    large = to_radiograph(labels, locate(labels), prediction, model_input, height, width, THRESHOLDS)
    step_x, step_y = content.width / WIDTH, content.height / HEIGHT
    for fdi, left in ((11, at[0]), (21, at[0] + 12)):
        rows, columns = np.nonzero(large == fdi)
        x, y = content.x + left * step_x - 0.5, content.y + at[1] * step_y - 0.5
        assert columns.min() == pytest.approx(x, abs=step_x + 1)
        assert rows.min() == pytest.approx(y, abs=step_y + 1)
        assert columns.max() == pytest.approx(x + 12 * step_x, abs=step_x + 1)
        assert rows.max() == pytest.approx(y + 20 * step_y, abs=step_y + 1)


@given(size=st.tuples(st.integers(128, 700), st.integers(128, 900)))
def test_outlines_boxes_and_areas_tell_of_the_same_pixels(size: tuple[int, int]) -> None:
    height, width = size
    model_input = ModelInput(np.zeros((HEIGHT, WIDTH), np.uint8), Box(0, 0, width, height), 1.0)
    prediction = predict((18, 3, 4, 14, 22), (17, 17, 6, 12, 22), (47, 20, 40, 15, 20))
    labels = find_teeth(prediction, THRESHOLDS)
    large = to_radiograph(labels, locate(labels), prediction, model_input, height, width, THRESHOLDS)
    teeth = outline_teeth(large, locate(labels), model_input, mean_probabilities(labels, prediction))
    assert [tooth.fdi for tooth in teeth] == [17, 18, 47]
    for tooth in teeth:
        mask = large == tooth.fdi
        assert tooth.area_px == mask.sum()
        assert tooth.confidence == pytest.approx(0.8)
        box = tooth.bbox
        assert mask[box.y : box.y + box.height, box.x : box.x + box.width].sum() == mask.sum()
        assert mask[box.y].any()
        assert mask[:, box.x].any()
        drawn = np.zeros(large.shape, np.uint8)
        cv2.fillPoly(drawn, tooth.polygons, 1)
        assert ((drawn > 0) & mask).sum() > 0.95 * mask.sum()


def outline(tooth: Labels) -> tuple[Labels, Tooth]:
    """What is left of a drawn tooth, and its outline; the picture is of the model's own size."""
    labels = tooth.copy()
    model_input = ModelInput(np.zeros(labels.shape, np.uint8), Box(0, 0, 512, 256), 1.0)
    (outlined,) = outline_teeth(labels, locate(labels), model_input, {11: 0.9})
    return labels, outlined


def test_an_outline_does_not_go_out_and_back_along_a_thread() -> None:
    tooth = np.zeros((256, 512), np.uint8)
    tooth[100:140, 200:220] = 11
    solid = tooth.copy()
    tooth[120, 220:230] = tooth[90:100, 210] = 11
    labels, outlined = outline(tooth)
    assert np.array_equal(labels, solid)
    assert outlined.bbox == Box(200, 100, 20, 40)
    assert [sorted(map(tuple, ring.tolist())) for ring in outlined.polygons] == [
        [(200, 100), (200, 139), (219, 100), (219, 139)]
    ]


def test_specks_are_no_piece_of_a_tooth_and_a_fifth_of_it_is() -> None:
    tooth = np.zeros((256, 512), np.uint8)
    tooth[100:140, 200:220] = 11
    tooth[142:150, 200:220] = 11
    pieces = tooth.copy()
    tooth[120:122, 222:224] = 11
    labels, outlined = outline(tooth)
    assert np.array_equal(labels, pieces)
    assert outlined.area_px == np.count_nonzero(pieces)
    assert len(outlined.polygons) == 2


def test_a_tooth_that_is_one_pixel_wide_stays_a_tooth() -> None:
    tooth = np.zeros((256, 512), np.uint8)
    tooth[100:140, 200] = 11
    labels, outlined = outline(tooth)
    assert np.array_equal(labels, tooth)
    assert (outlined.area_px, outlined.bbox) == (40, Box(200, 100, 1, 40))


def test_the_packages_own_limit_says_which_pixels_are_tooth() -> None:
    prediction = predict((11, 10, 10, 20, 20))
    prediction.foreground[10:30, 10:20] = 153  # a probability of 0.6
    model_input = ModelInput(np.zeros((HEIGHT, WIDTH), np.uint8), Box(0, 0, WIDTH, HEIGHT), 1.0)
    for limit, area in ((0.55, 400), (0.65, 200)):
        thresholds = THRESHOLDS.model_copy(update={"foreground": limit})
        labels = find_teeth(prediction, thresholds)
        large = to_radiograph(labels, locate(labels), prediction, model_input, HEIGHT, WIDTH, thresholds)
        assert numbers(labels) == numbers(large) == {11: area}


def test_an_edge_runs_between_the_model_s_pixels_as_its_probabilities_say() -> None:
    prediction = predict((11, 30, 10, 10, 20))
    around = prediction.foreground[9:31, 29:41]
    np.maximum(around, 120, out=around)  # so that half is reached 0.44 of a pixel outside
    model_input = ModelInput(np.zeros((HEIGHT, WIDTH), np.uint8), Box(0, 0, 4 * WIDTH, 4 * HEIGHT), 1.0)
    labels = find_teeth(prediction, THRESHOLDS)
    large = to_radiograph(labels, locate(labels), prediction, model_input, 4 * HEIGHT, 4 * WIDTH, THRESHOLDS)
    assert cv2.boundingRect(large) == pytest.approx((4 * 29.56, 4 * 9.56, 4 * 10.88, 4 * 20.88), abs=1)


@given(st.integers(2, WIDTH - 8), st.integers(2, HEIGHT - 8))
def test_a_tooth_that_is_less_than_a_pixel_of_the_radiograph_is_a_pixel_or_none(x: int, y: int) -> None:
    prediction = predict((11, x, y, 5, 5))
    model_input = ModelInput(np.zeros((HEIGHT, WIDTH), np.uint8), Box(0, 0, 10, 5), 1.0)
    labels = find_teeth(prediction, THRESHOLDS)
    large = to_radiograph(labels, locate(labels), prediction, model_input, 5, 10, THRESHOLDS)
    teeth = outline_teeth(large, locate(labels), model_input, {11: 0.8})
    assert [tooth.area_px for tooth in teeth] == list(numbers(large).values())


def test_a_fragment_goes_to_the_tooth_that_it_touches_most() -> None:
    rectangles = ((11, 10, 10, 10, 20), (21, 24, 0, 10, 11), (13, 20, 10, 4, 4))
    assert numbers(find_teeth(predict(*rectangles), THRESHOLDS)) == {11: 216, 21: 110}


def test_pixels_that_the_model_calls_another_tooth_count_against_a_tooth() -> None:
    prediction = predict((11, 10, 10, 10, 20), (21, 30, 10, 10, 20), (11, 40, 12, 4, 5))
    told = mean_probabilities(find_teeth(prediction, THRESHOLDS), prediction)
    assert told == pytest.approx({11: 0.8, 21: 0.8 * 200 / 220})


def test_what_is_told_of_a_tooth_lies_inside_the_frame_of_its_picture() -> None:
    model_input = ModelInput(np.zeros((HEIGHT, WIDTH), np.uint8), Box(60, 40, 300, 200), 1.0)
    prediction = predict((11, 30, 10, 12, 20))
    labels = find_teeth(prediction, THRESHOLDS)
    large = to_radiograph(labels, locate(labels), prediction, model_input, 280, 420, THRESHOLDS)
    (tooth,) = outline_teeth(large, locate(labels), model_input, {11: 0.8})
    drawn = cv2.fillPoly(np.zeros_like(large), tooth.polygons, 11)
    assert tooth.area_px == np.count_nonzero(large)
    assert tooth.bbox == Box(*cv2.boundingRect(large))
    assert (drawn == large).mean() > 0.999


def test_one_large_piece_does_not_make_fragments_of_all_other_teeth() -> None:
    rectangles = ((11, 20, 10, 40, 20), (21, 60, 10, 10, 20), (22, 70, 10, 10, 20), (23, 80, 10, 10, 20))
    assert numbers(find_teeth(predict(*rectangles), THRESHOLDS)) == {11: 800, 21: 200, 22: 200, 23: 200}
