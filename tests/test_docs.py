"""What the pages say of figures is what our commands measured."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import figures
from training.failures import FAILURES, FailuresError, read_failures


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
