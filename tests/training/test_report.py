"""The report: one page that needs no other file, whose figures are those that were measured."""

import base64
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from service.render.encode import encode_png
from tests.training.drawn import drawn_config
from training.before_after import compare, subtract
from training.cli import app
from training.config import Phase, load_config
from training.data.samples import TOOTH, Sample
from training.evaluate import PictureScore, describe_confidence, score, summarise
from training.export import LEAKS
from training.intervals import Figures
from training.metrics_file import calibration_sha256, describe_data
from training.phantom import draw_samples
from training.reliability import JudgedTooth
from training.report import ReportError, choose_places, report
from training.report_curves import Curve, draw_learning, draw_spread, read_curves
from training.report_pictures import FALSE, MISSED, draw_difference, draw_views, segmentation_of, shown_size

REPOSITORY = Path(__file__).resolve().parents[2]

DATA = {"kind": "phantom", "train": 1, "val": 1, "test": 3, "seed": 7}
PHASES = [
    {"height": 64, "width": 128, "epochs": 2, "batch": 1},
    {"height": 128, "width": 256, "epochs": 1, "batch": 1},
]

LOG = """epoch,lr-Adam,step,train_loss,val_dice,val_loss
,0.004,0,,,
0,,9,3.5,,
,0.01,10,,,
1,,19,,0.75,1.5
1,,19,2.5,,
,0.002,20,,,
2,,29,2.25,,
"""


class Page(HTMLParser):
    """What a page says, shows, and asks for from elsewhere."""

    def __init__(self, html):
        super().__init__()
        self.text, self.pictures, self.asked_for, self.headings = "", [], [], []
        self._at = None
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self._at = tag
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "action") and not value.startswith(("data:", "#")):
                self.asked_for.append(value)
        if tag == "img":
            self.pictures.append(dict(attributes))

    def handle_data(self, data):
        self.text += data
        if self._at in ("h2", "h3"):
            self.headings.append(data.strip())


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return drawn_config(tmp_path_factory.mktemp("config") / "drawn.yaml", data=DATA, phases=PHASES)


@pytest.fixture(scope="module")
def run(tmp_path_factory, config):
    """A run as training leaves it, as far as the report looks."""
    folder = tmp_path_factory.mktemp("runs") / "drawn"
    (folder / "log").mkdir(parents=True)
    (folder / "log" / "metrics.csv").write_text(LOG)
    shutil.copy(config, folder / "config.yaml")
    return folder


@pytest.fixture(scope="module")
def measured(tmp_path_factory, package, config):
    """The shipped package, measured on drawn pictures, and what the command line said of it."""
    folder = tmp_path_factory.mktemp("models") / "package"
    shutil.copytree(package.folder, folder)
    (folder / "metrics.json").unlink(missing_ok=True)
    cost = {"fp32_dice": 0.9371, "int8_dice": 0.936, "fp32_tooth_f1": 0.95, "int8_tooth_f1": 0.95, "limit": 0.003}
    (folder / "quantisation.json").write_text(json.dumps(cost))
    said = CliRunner().invoke(app, ["evaluate", str(folder), "--config", str(config), "--split", "test"])
    assert said.exit_code == 0, said.output
    return folder, said.output


@pytest.fixture(scope="module")
def page(tmp_path_factory, measured, config, run):
    folder, _ = measured
    out = tmp_path_factory.mktemp("out") / "deep" / "report.html"
    said = CliRunner().invoke(
        app, ["report", str(folder), "--config", str(config), "--run", str(run), "--out", str(out)]
    )
    assert said.exit_code == 0, said.output
    return Page(out.read_text())


def test_evaluating_prints_the_main_figures_with_their_intervals(measured):
    folder, said = measured
    dice = json.loads((folder / "metrics.json").read_text())["test"]["dice"]
    assert f"{dice['mean']:.4f}" in said
    assert f"{dice['interval'][0]:.4f} to {dice['interval'][1]:.4f}" in said


def test_the_page_asks_for_nothing_from_elsewhere(page):
    assert page.asked_for == []


def test_the_page_says_what_was_measured_with_what_on_what(page, measured, run):
    figures = json.loads((measured[0] / "metrics.json").read_text())["test"]
    for word in ("file", "sha256", "provider", "processor", "date", "command"):
        assert figures[word] in page.text
    for path in (("dice", "mean"), ("iou", "mean"), ("pixel_accuracy", "mean"), ("tooth", "f1"), ("missing", "recall")):
        assert f"{figures[path[0]][path[1]]:.4f}" in page.text
    assert f"panoseg train --config {run}/config.yaml" in page.text
    assert f"panoseg report {measured[0]}" in page.text


def test_the_page_shows_how_far_confidence_can_be_believed(page, measured):
    figures = json.loads((measured[0] / "metrics.json").read_text())["test"]
    assert "How far its confidence can be believed" in page.headings
    assert f"expected calibration error {figures['calibration']['ece']:.3f}" in page.text
    assert f"{100 * figures['uncertain']['precision']:.1f} % are right" in page.text
    beside = figures["missing_uncertain"]
    assert f"beside an uncertain tooth {beside['said']}, of which {beside['right']} are" in page.text


def test_what_changes_cost_is_shown_where_it_was_measured_with_the_same_file(page, measured, config, tmp_path):
    assert "What changes of the picture cost" not in page.headings
    folder = tmp_path / "package"
    shutil.copytree(measured[0], folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    change = {
        "meaning": "turned upside down",
        "dice_loss": {"mean": 0.4321, "interval": [0.4, 0.5]},
        "tooth_f1_loss": {"mean": 0.9, "interval": [0.8, 1.0]},
        "findings": {"sideways": 0.25},
        "unnamed": {"pictures": 3, "dice_loss": 0.4},
        "limit": 0.03,
        "holds": False,
    }
    told = {**metrics["test"], "split": "val", "dice": 0.9, "tooth_f1": 0.9, "changes": [change]}
    for sha256, shown in ((metrics["test"]["sha256"], True), ("0" * 64, False)):
        (folder / "metrics.json").write_text(json.dumps({**metrics, "stress": {**told, "sha256": sha256}}))
        written = Page(report(folder, None, config, "test", tmp_path / "stressed.html").read_text())
        assert ("What changes of the picture cost" in written.headings) == shown
        assert ("0.4321" in written.text and "not held" in written.text) == shown


def test_pictures_that_a_model_may_have_learnt_from_are_not_called_new_to_it(page, measured, config, tmp_path):
    assert "pictures that it did not learn from" in page.text
    folder = shutil.copytree(measured[0], tmp_path / "package")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["training"]["data"] += f", {LEAKS}"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    written = Page(report(folder, None, config, "test", tmp_path / "leaks.html").read_text()).text
    assert "pictures of which it may have learnt from some" in written
    assert "--allow-leaks" in written


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda one: one.pop("calibration_sha256"), "does not say of the"),
        (lambda one: one.update(sha256="0" * 64), "is of another file"),
    ],
    ids=["calibration", "file"],
)
@pytest.mark.parametrize("split", ["val", "test"])
def test_figures_of_another_calibration_or_file_are_refused(measured, config, tmp_path, spoil, says, split):
    folder = tmp_path / "package"
    shutil.copytree(measured[0], folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["val"] = dict(metrics["test"])
    spoil(metrics[split])
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(ReportError, match=rf"{says}.*; run: panoseg evaluate .* --split {split}$"):
        report(folder, None, config, "test", tmp_path / "report.html")


def test_what_a_calibration_said_is_not_shown_of_the_next_one(measured, config, tmp_path):
    folder = tmp_path / "package"
    shutil.copytree(measured[0], folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["calibration"] = {"method": "none", "raw": [0.0, 1.0], "confidence": [0.0, 1.0]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReportError, match="confidence of the present calibration"):
        report(folder, None, config, "test", tmp_path / "report.html")


def test_the_shipped_figures_are_of_the_shipped_file_calibration_and_data(package):
    metrics = json.loads((package.folder / "metrics.json").read_text())
    data = describe_data(load_config(REPOSITORY / "training" / "configs" / "shipped-4.yaml").data)
    assert {"val", "test", "stress", "findings"} == set(metrics)
    for name, figures in metrics.items():
        assert figures["sha256"] == package.manifest.files[0].sha256
        assert figures["data"] == data
        if name in ("val", "test"):
            assert figures["calibration_sha256"] == calibration_sha256(package.manifest)


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """A configuration whose pictures have masks without numbers, one of them of a jaw without teeth."""
    folder = tmp_path_factory.mktemp("masks")
    for number, sample in enumerate(draw_samples(3, 40)):
        for part in ("images", "masks"):
            (folder / "test" / part).mkdir(parents=True, exist_ok=True)
        (folder / "test" / "images" / sample.name).write_bytes(sample.data)
        mask = np.where(sample.labels, 255 * (number > 0), 0).astype(np.uint8)
        cv2.imwrite(str(folder / "test" / "masks" / sample.name), mask)
    return drawn_config(folder / "masks.yaml", data={"kind": "pairs", "folder": str(folder)})


def test_masks_without_numbers_leave_every_figure_by_tooth_out(package, masks, tmp_path):
    folder, out = tmp_path / "package", tmp_path / "report.html"
    shutil.copytree(package.folder, folder)
    for name in ("metrics.json", "quantisation.json"):
        (folder / name).unlink()
    arguments = [str(folder), "--config", str(masks)]
    said = CliRunner().invoke(app, ["evaluate", *arguments]).output
    assert "Dice" in said
    told = json.loads((folder / "metrics.json").read_text())["test"]
    for name in ("tooth", "missing", "missing_uncertain", "missing_others", "calibration", "coverage", "uncertain"):
        assert told[name] is None
    assert {row[name] for row in told["by_picture"] for name in ("tooth_dice", "tooth_f1")} == {None}
    assert set(json.loads((folder / "manifest.json").read_text())["metrics"]["test"]) == {
        "pictures",
        "dice",
        "iou",
        "pixel_accuracy",
    }
    written = CliRunner().invoke(app, ["report", *arguments, "--out", str(out)])
    assert written.exit_code == 0, written.output
    for text in (said, Page(out.read_text()).text):
        for word in ("Dice by tooth", "F1", "issing", "Calibration", "Certain"):
            assert word not in text
    drawn = CliRunner().invoke(app, ["failures", *arguments, "--out", str(tmp_path / "failures")])
    assert drawn.exit_code == 0, drawn.output
    assert "Dice 0." in (tmp_path / "failures" / "failures.yaml").read_text()


def test_figures_of_other_data_go_elsewhere_or_nowhere(measured, masks, tmp_path):
    folder, out = tmp_path / "package", tmp_path / "elsewhere" / "figures.json"
    shutil.copytree(measured[0], folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    arguments = ["evaluate", str(folder), "--config", str(masks)]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "--out FILE writes to another file" in refused.output
    assert CliRunner().invoke(app, [*arguments, "--before", str(folder), "--out", str(out)]).exit_code == 0
    assert json.loads(out.read_text())["test"]["data"] == {"kind": "pairs", "folder": masks.parent.name}
    assert (out.parent / "comparison.json").exists()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    # The same is true of the file elsewhere.
    out.write_text((folder / "metrics.json").read_text())
    assert CliRunner().invoke(app, [*arguments, "--out", str(out)]).exit_code == 2


def test_a_comparison_gives_the_figures_by_tooth_over_all_teeth_as_the_packages_own_table_does(package, tmp_path):
    whole, few = draw_samples(2, 7)
    few = replace(few, labels=np.where(few.labels > 45, few.labels, 0).astype(np.uint8))
    for part in ("images", "masks"):
        (tmp_path / "test" / part).mkdir(parents=True)
    for sample in (whole, few):
        (tmp_path / "test" / "images" / sample.name).write_bytes(sample.data)
        (tmp_path / "test" / "masks" / sample.name).write_bytes(encode_png(sample.labels))
    config = drawn_config(tmp_path / "few.yaml", data={"kind": "pairs", "folder": str(tmp_path)})
    told = compare(package.folder, package.folder, config, "test", tmp_path / "comparison.json")
    for measure in ("dice", "f1"):
        difference = told["difference"][f"tooth_{measure}"]
        assert difference["before"] == difference["after"] == told["before"]["tooth"][measure]
        assert (difference["interval"], difference["better"], difference["worse"]) == ([0, 0], 0, 0)


def test_figures_that_the_comparison_would_write_over_are_refused_before_anything_is_measured(package, tmp_path):
    out, folder = tmp_path / "comparison.json", str(package.folder)
    arguments = ["evaluate", folder, "--config", "absent.yaml", "--before", folder, "--out", str(out)]
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "give --out a name other than comparison.json" in " ".join(refused.output.split())
    assert not out.exists()


def test_the_page_sets_published_figures_beside_and_says_that_they_are_of_other_pictures(page):
    for figure in ("0.9078", "0.8322", "0.9778", "0.917 to 0.926", "0.883 to 0.893", "0.989"):
        assert figure in page.text
    assert "not the same pictures" in page.text


def test_the_page_shows_four_views_of_the_worst_the_middle_and_the_best_pictures(page):
    assert [heading for heading in page.headings if heading in ("Worst", "Median", "Best")] == [
        "Worst",
        "Median",
        "Best",
    ]
    assert len(page.pictures) == 3 * 4
    for picture in page.pictures:
        data = base64.b64decode(picture["src"].removeprefix("data:image/jpeg;base64,"))
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (480, 960, 3)
        assert picture["alt"].startswith("phantom-")


def test_learning_curves_and_what_eight_bits_cost_are_there_only_where_they_are_known(page, measured, config, tmp_path):
    assert {"How it learned", "What eight bits cost"} <= set(page.headings)
    assert "0.9371" in page.text
    assert "0.0011" in page.text
    folder = tmp_path / "package"
    shutil.copytree(measured[0], folder)
    (folder / "quantisation.json").unlink()
    bare = Page(report(folder, None, config, "test", tmp_path / "bare.html").read_text())
    assert not {"How it learned", "What eight bits cost"} & set(bare.headings)


def test_a_package_that_was_not_measured_is_refused_with_the_command_that_does_it(measured, config, tmp_path):
    with pytest.raises(ReportError, match=r"panoseg evaluate .* --split val"):
        report(measured[0], None, config, "val", tmp_path / "report.html")


def test_a_run_without_a_log_is_refused(measured, config, tmp_path):
    with pytest.raises(ReportError, match=r"metrics\.csv is missing"):
        report(measured[0], tmp_path, config, "test", tmp_path / "report.html")


def test_each_figure_of_the_log_stands_at_its_epoch(run):
    curves = read_curves(run / "log" / "metrics.csv")
    assert (curves["train_loss"].epochs, curves["train_loss"].values) == ((1, 2, 3), (3.5, 2.5, 2.25))
    assert (curves["val_dice"].epochs, curves["val_dice"].values) == ((2,), (0.75,))
    assert (curves["learning_rate"].epochs, curves["learning_rate"].values) == ((1, 2, 3), (0.004, 0.01, 0.002))


def test_the_learning_curves_name_the_input_size_of_each_phase(run):
    phases = [Phase(**phase) for phase in PHASES]
    drawn = draw_learning(read_curves(run / "log" / "metrics.csv"), phases)
    assert drawn.startswith("<svg")
    assert "128 x 64" in drawn
    assert "256 x 128" in drawn


def test_the_median_of_an_even_number_of_pictures_lies_between_the_two_in_the_middle():
    drawn = draw_spread([0.98, 0.90, 0.92, 0.94])
    assert "median 0.930" in drawn
    assert "mean 0.935" in drawn


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_no_picture_is_shown_twice_and_the_worst_are_worse_than_the_best(dice):
    rows = [{"name": f"{number:02}", "dice": value} for number, value in enumerate(dice)]
    places = choose_places(rows)
    shown = [row["name"] for chosen in places.values() for row in chosen]
    assert len(set(shown)) == len(shown) == min(len(rows), 3 * min(3, max(1, len(rows) // 3)))
    worst, median, best = ([row["dice"] for row in places[place]] for place in ("worst", "median", "best"))
    assert worst[0] == min(dice)
    assert max(worst) <= min([*median, *best], default=1)
    assert max(median, default=0) <= min(best, default=1)


def test_the_middle_pictures_lie_about_the_median():
    rows = [{"name": str(number), "dice": number / 100} for number in range(11)]
    assert [row["dice"] for row in choose_places(rows)["median"]] == [0.04, 0.05, 0.06]


@pytest.mark.parametrize(
    ("height", "width", "shown"), [(512, 512, (960, 480)), (720, 1440, (960, 480)), (1127, 1991, (960, 543))]
)
def test_a_squeezed_picture_is_stretched_back_and_another_keeps_its_shape(height, width, shown):
    assert shown_size(height, width) == shown


def test_a_label_map_stands_for_its_teeth():
    labels = np.zeros((40, 60), np.uint8)
    labels[10:20, 5:12] = 11
    labels[30:35, 50:60] = 36
    segmentation = segmentation_of(labels)
    assert [(tooth.fdi, tooth.area_px) for tooth in segmentation.teeth] == [(11, 70), (36, 50)]
    box = segmentation.teeth[1].bbox
    assert (box.x, box.y, box.width, box.height) == (50, 30, 10, 5)
    assert len(segmentation.missing) == 30


def test_a_difference_shows_what_was_missed_and_what_is_no_tooth():
    grey = np.full((2, 2), 100, np.uint8)
    found, truth = np.array([[True, True], [False, False]]), np.array([[True, False], [True, False]])
    expected = [[[50, 50, 50], FALSE], [MISSED, [50, 50, 50]]]
    assert np.array_equal(draw_difference(grey, found, truth), np.array(expected))


def test_a_truth_without_numbers_is_drawn_in_one_colour():
    pixels = np.zeros((240, 480), np.uint16)
    truth = np.zeros((240, 480), np.uint8)
    truth[:, 240:] = TOOTH
    views = draw_views(pixels, np.zeros_like(truth), truth)
    data = base64.b64decode(views.truth.removeprefix("data:image/jpeg;base64,"))
    drawn = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert drawn[:, :470].max() < 10
    blue, green, red = drawn[240, 700].astype(int)
    assert blue > green > red


def test_an_answer_is_held_against_its_truth_and_not_the_other_way_round():
    truth, found = np.zeros((2, 200, 400), np.uint8)
    truth[50:150, 50:90], truth[50:150, 100:140], truth[50:150, 150:190] = 11, 21, 22
    found[50:150, 50:90], found[50:150, 100:140] = 11, 23
    sample = Sample("p", b"", found, truth)
    told = summarise([score(segmentation_of(found), sample, numbered=True)])
    assert (told["tooth"]["precision"], told["tooth"]["recall"]) == (
        pytest.approx(1 / 2),
        pytest.approx(1 / 3, abs=1e-4),
    )
    # Missing are 29, said to be missing 30; 21 and 22 are there, 23 is not.
    assert (told["missing"]["right"], told["missing"]["predicted"], told["missing"]["true"]) == (28, 30, 29)
    assert (told["missing"]["precision"], told["missing"]["recall"]) == (round(28 / 30, 4), round(28 / 29, 4))


def test_missing_teeth_beside_an_uncertain_one_are_counted_apart_from_the_others():
    truth, found = np.zeros((2, 200, 400), np.uint8)
    truth[50:150, 50:90], truth[50:150, 100:140] = 11, 21
    found[50:150, 50:90] = 11
    segmentation = segmentation_of(found)
    doubted = replace(segmentation, teeth=(replace(segmentation.teeth[0], uncertain=True),))
    told = summarise([score(doubted, Sample("p", b"", found, truth), numbered=True)])
    # 12 and 21 stand beside 11, and 21 is there.
    assert (told["missing_uncertain"], told["missing_others"]) == ({"said": 2, "right": 1}, {"said": 29, "right": 29})


def test_the_worst_tenth_is_that_of_the_lowest_dice():
    scores = [PictureScore("p", "", place / 20, 0.5, 0.5, None, None, None, ()) for place in range(20)]
    assert summarise(scores)["worst_tenth_dice"] == round((0 + 1 / 20) / 2, 4)


def test_of_the_wrong_teeth_those_below_the_limit_are_caught():
    judged = tuple(
        JudgedTooth(11, confidence, right)
        for confidence, right in ((0.95, False), (0.8, False), (0.7, False), (0.6, True), (0.5, True), (0.99, True))
    )
    told = describe_confidence([PictureScore("p", "", 1, 1, 1, None, judged, None, ())], 0.9)["uncertain"]
    assert told == {"limit": 0.9, "kept": round(2 / 6, 4), "precision": 0.5, "wrong_caught": round(2 / 3, 4)}


def test_where_no_tooth_is_certain_nothing_is_said_of_how_many_such_are_right(measured, config, tmp_path):
    judged = (JudgedTooth(11, 0.8, True), JudgedTooth(12, 0.7, False))
    told = describe_confidence([PictureScore("p", "", 1, 1, 1, None, judged, None, ())], 0.9)
    assert told["uncertain"] == {"limit": 0.9, "kept": 0.0, "precision": None, "wrong_caught": 1.0}
    folder = shutil.copytree(measured[0], tmp_path / "package")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps({"test": {**metrics["test"], **told}}))
    text = Page(report(folder, None, config, "test", tmp_path / "none.html").read_text()).text
    assert "Certain teeth" in text
    assert "Certain teeth, right" not in text


def test_a_learning_curve_of_one_epoch_is_a_dot():
    dotted, drawn = (
        draw_learning({"train_loss": Curve(epochs, tuple(map(float, epochs)))}, [])
        for epochs in ((1,), tuple(range(1, 9)))
    )
    assert "fill: #0072b2" in dotted
    assert "fill: #0072b2" not in drawn


def test_only_figures_of_the_test_pictures_are_told_as_the_model_s(package, config, tmp_path):
    folder = tmp_path / "package"
    shutil.copytree(package.folder, folder)
    (folder / "metrics.json").unlink()
    before = (folder / "manifest.json").read_bytes()
    said = CliRunner().invoke(app, ["evaluate", str(folder), "--config", str(config), "--split", "val"])
    assert said.exit_code == 0, said.output
    assert set(json.loads((folder / "metrics.json").read_text())) == {"val"}
    assert (folder / "manifest.json").read_bytes() == before


def test_a_difference_is_after_minus_before_within_its_interval_and_a_tie_is_neither():
    before, after = np.full((1, 8), 0.5), np.array([[0.6] * 6 + [0.5, 0.49]])
    told = subtract(*(Figures(values, np.ones((1, 8))) for values in (before, after)))
    assert told["mean"] == pytest.approx(after.mean() - before.mean(), abs=1e-4)
    assert 0 < told["interval"][0] <= told["mean"] <= told["interval"][1]
    assert (told["better"], told["worse"]) == (6, 1)
