"""What the pages say of figures is what our commands measured."""

import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent

specification = importlib.util.spec_from_file_location("figures", REPOSITORY / "docs" / "figures.py")
assert specification is not None
assert specification.loader is not None
figures = importlib.util.module_from_spec(specification)
specification.loader.exec_module(figures)


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_a_page_holds_the_figures_that_were_measured(page: Path) -> None:
    text = page.read_text()
    assert "<!-- figures:" in text
    assert figures.with_figures(text) == text, "run: .venv-test/bin/python docs/figures.py"
