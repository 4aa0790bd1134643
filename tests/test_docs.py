"""What the pages say of figures is what our commands measured."""

import argparse
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.training_speed import PLAIN, SAME_WORK, summarise
from docs import figures, training_figures
from training import compare, sweep
from training.config import load_config
from training.failures import FAILURES, FailuresError, read_failures
from training.tables import write_result


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_a_page_holds_the_figures_that_were_measured(page: Path) -> None:
    text = page.read_text()
    assert "<!-- figures:" in text
    assert figures.with_figures(text) == text, "run: .venv-test/bin/python docs/figures.py"


def test_each_of_the_worst_pictures_has_its_sentence_and_no_other_has() -> None:
    told = read_failures(figures.PACKAGE)
    assert len({failure.figures["name"] for failure in told}) == len(told) > 0


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda told: told["pictures"].popitem(), "have no sentence"),
        (lambda told: told["pictures"].update({next(iter(told["pictures"])): " "}), "have no sentence"),
        (lambda told: told["pictures"].update({"another.jpg": "It went wrong."}), "not among the worst"),
        (lambda told: told.update(sha256="0" * 64), "of this model file"),
    ],
    ids=["lacking", "empty", "of another picture", "of another model"],
)
def test_sentences_that_are_not_on_the_worst_pictures_of_this_model_are_refused(
    spoil: Callable[[dict[str, Any]], None], says: str, tmp_path: Path
) -> None:
    shutil.copy(figures.PACKAGE / "metrics.json", tmp_path)
    told = yaml.safe_load((figures.PACKAGE / FAILURES).read_text())
    (tmp_path / FAILURES).write_text(yaml.safe_dump(told))
    assert len(read_failures(tmp_path)) == len(told["pictures"])
    spoil(told)
    (tmp_path / FAILURES).write_text(yaml.safe_dump(told))
    with pytest.raises(FailuresError, match=says):
        read_failures(tmp_path)


def test_what_is_noticed_is_told_apart_by_where_the_pictures_are_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none, one = ({"share": share, "interval": [share / 2, share + 0.1]} for share in (0.0, 0.5))
    alarms = {name: {"pictures": 2, **none, "by_picture": {}} for name in ("val", "test", "panoramics")}
    foreign = {"pictures": 4, "refused": 0, "named": one, "named_in_grey": one, "missed": []}
    changed = {"negative": {"finding": "inverted", "named": one}}
    told = {"command": "panoseg recognise made-up", "foreign": foreign, "false_alarms": alarms, "changed": changed}
    (tmp_path / "metrics.json").write_text(json.dumps({"findings": told}))
    monkeypatch.setattr(figures, "PACKAGE", tmp_path)
    table = figures.findings_table()
    assert "| 4 foreign ones | named | 50.0% (25.0% to 60.0%) |\n" in table
    assert "| 2 panoramics of `test` | with a false alarm | 0.0% (0.0% to 10.0%) |\n" in table
    assert table.count("with a false alarm") == 3


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the one that commands write results to."""
    monkeypatch.setattr(training_figures, "RESULTS", tmp_path)
    return tmp_path


TRAINING_TABLES = ("sweep", "ablation", "training-speed")


def page(name: str, between: str = "") -> str:
    return f"Before.\n\n<!-- figures: {name} -->\n{between}<!-- end -->\n\nAfter.\n"


@pytest.mark.parametrize("name", TRAINING_TABLES)
def test_a_table_that_was_not_measured_yet_is_said_to_be_so_in_one_line(name: str, results: Path) -> None:
    assert re.fullmatch(page(name, "Not measured yet; `[a-z -]+` does it.\n"), figures.with_figures(page(name)))


def test_the_page_on_training_has_each_of_its_tables() -> None:
    text = (figures.REPOSITORY / "docs" / "training.md").read_text()
    assert set(re.findall("<!-- figures: (.*) -->", text)) == set(TRAINING_TABLES)


def mean(value: float) -> dict[str, Any]:
    return {"mean": value, "interval": [value - 0.01, value + 0.01], "by_run": [value]}


def sweep_result() -> dict[str, Any]:
    row = {"run": "made-up", "batch": 32, "optimiser": "adam 0.001", "schedule": "plateau 0.5 / 5", "input": "64 x 64"}
    row |= {"epochs": 2, "pictures_seen": 8, "pictures_per_second": mean(12.3)}
    row |= {"dice": mean(0.9), "iou": mean(0.8), "pixel_accuracy": mean(0.95)}
    told = {"command": "panoseg sweep made-up.yaml", "date": "2001-02-03", "device": "a made-up processor"}
    return {**told, "split": "val", "pictures": 3, "budget": "equal", "rows": [row]}


def ablation_result() -> dict[str, Any]:
    measures = dict.fromkeys(("dice", "iou", "tooth_dice", "tooth_f1"), mean(0.9))
    gains = {name: {**one, "difference": 0.1, "difference_interval": [-0.1, 0.2]} for name, one in measures.items()}
    row = {"runs": ["runs/made-up"], "epochs": [2], "pictures_seen": [8]}
    rows = [{**row, "changes": [], **measures}, {**row, "changes": ["augmentation.mirror: 0.5 → 0.0"], **gains}]
    told = {"command": "panoseg ablate made-up.yaml", "date": "2001-02-03", "split": "val", "pictures": 3}
    return {**told, "same_budget": True, "rows": rows}


@pytest.mark.parametrize(
    ("name", "result", "to_markdown"),
    [("sweep", sweep_result(), sweep.to_markdown), ("ablation", ablation_result(), compare.to_markdown)],
    ids=["sweep", "ablation"],
)
def test_a_table_of_runs_stands_in_the_page_as_its_command_wrote_it_with_the_day(
    name: str, result: dict[str, Any], to_markdown: Callable[[dict[str, Any]], str], results: Path
) -> None:
    write_result(result, to_markdown(result), results / f"{name}.json")
    filled = figures.with_figures(page(name))
    assert filled == page(name, f"{to_markdown(result)}\nMeasured on 2001-02-03.\n")
    assert figures.with_figures(filled) == filled
    assert f"`{result['command']}`" in filled
    assert result.get("device", "") in filled


def test_the_speed_of_training_stands_in_the_page_with_the_ground_that_it_was_measured_on(results: Path) -> None:
    arms = {PLAIN: [1.0, 1.25, 1.5], "+ one grey channel": [2.0, 2.5, 3.0], SAME_WORK: [4.0, 5.0, 6.0]}
    arguments = argparse.Namespace(rounds=3, steps=8)
    config = load_config(figures.REPOSITORY / "training" / "configs" / "shipped.yaml")
    result = summarise(arms, config, arguments) | {"command": "make bench-training", "processor": "made-up"}
    (results / "training-speed.json").write_text(json.dumps(result))
    filled = figures.with_figures(page("training-speed"))
    assert "| plain loop | 1.25 | 1.00 to 1.50 | 1.00 |  |\n" in filled
    assert "| + one grey channel | 2.50 | 2.00 to 3.00 | 2.00 | 2.00 |\n" in filled
    assert f"`make bench-training`, on made-up, {result['cores']} cores" in filled
    assert result["date"] in filled
    assert "4.0 times as fast as the plain loop (goal: 3 times as fast)" in filled
