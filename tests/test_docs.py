"""What the pages say of figures is what our commands measured."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from docs import figures, package_figures, serving_figures
from docs.package_figures import PACKAGE
from docs.tables import read_result
from service.api.app import create_app
from service.radiograph import Limits
from service.serve import KEEP_ALIVE_S
from service.settings import Settings
from training.failures import FAILURES, FailuresError, read_failures


def pages() -> list[Path]:
    """All that are in the repository, as paths in it."""
    of = ("*.md", "docs/*.md", "docker/*.md", "models/*/*/*.md")
    return sorted(page.relative_to(figures.REPOSITORY) for pattern in of for page in figures.REPOSITORY.glob(pattern))


def heading_links(page: Path) -> set[str]:
    """What GitHub makes of its headings: small letters and hyphens, without punctuation."""
    headings = re.findall("^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", pages(), ids=str)
def test_a_page_holds_no_remains_of_a_merge_and_its_links_lead_somewhere(name: Path) -> None:
    page = figures.REPOSITORY / name
    text = page.read_text()
    assert re.findall("^(?:<{7}|={7}|>{7}).*", text, re.MULTILINE) == []
    for path, heading in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        linked = page.parent / path if path else page
        assert linked.exists(), path
        assert not heading or heading in heading_links(linked), f"{path}#{heading}"


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_a_page_holds_the_figures_that_were_measured(page: Path) -> None:
    text = page.read_text()
    assert "<!-- figures:" in text
    assert figures.with_figures(text) == text, "run: .venv-test/bin/python docs/figures.py"


def test_the_gpus_table_is_of_what_was_measured_beside_a_processor_and_where_something_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = serving_figures.gpu()
    result = read_result("gpu")
    monkeypatch.setattr(serving_figures, "read_result", lambda name: result)
    result["services"]["cpu"] = {"error": "SystemExit: no time was left"}
    network = result["network"]
    network["error"] = network["float16"]["error"] = "RuntimeError: ended with -9"
    assert serving_figures.gpu() == whole
    result["network"] = {"int8": {"options": {}, "batches": [], "error": "RuntimeError"}, "error": "OSError"}
    result["services"] = {"cuda": {"error": "SystemExit"}}
    failed = serving_figures.gpu()
    assert "| int8" not in failed
    assert failed.endswith("The service was not measured.\n")


def test_the_two_kinds_of_missing_teeth_have_rows_where_both_splits_tell_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read, kinds = package_figures._read, {"missing_uncertain": (35, 22), "missing_others": (204, 197)}

    def read_with(name: str, shown: bool) -> Any:
        content = read(name)
        for split in ("val", "test") if name == "metrics.json" else ():
            for kind, (said, right) in kinds.items():
                content[split].pop(kind, None)
                content[split] |= {kind: {"said": said, "right": right}} if shown else {}
        return content

    monkeypatch.setattr(package_figures, "_read", lambda name: read_with(name, shown=False))
    assert "missing," not in package_figures.confidence()
    monkeypatch.setattr(package_figures, "_read", lambda name: read_with(name, shown=True))
    assert "| missing, beside an uncertain tooth: right | 22 of 35 | 22 of 35 |" in package_figures.confidence()
    assert "| missing, others: right | 197 of 204 | 197 of 204 |" in package_figures.confidence()


def test_the_answer_in_the_readme_is_what_the_service_says_of_the_drawn_radiograph(
    service_url: str, phantom_png: bytes
) -> None:
    answer = httpx.post(f"{service_url}/v1/segment", content=phantom_png, timeout=60).json()
    tooth = answer["teeth"][0]
    first, second = tooth["polygons"][0][:2]
    readme = (figures.REPOSITORY / "README.md").read_text()
    for shown in (
        f'"fdi": {tooth["fdi"]}, "universal": {tooth["universal"]}, "confidence": {tooth["confidence"]}',
        f'"area_px": {tooth["area_px"]}',
        f'"bbox": {tooth["bbox"]}, "polygons": [[{first}, {second}, …]]',
        f'"missing": {answer["missing"]}',
        f'"tooth_fraction": {answer["tooth_fraction"]}',
        f'"sha256": "{answer["model"]["sha256"][:8]}…"',
        f'"service": {{"version": "{answer["service"]["version"]}"}}',
    ):
        assert shown in readme


API = (figures.REPOSITORY / "docs" / "api.md").read_text()


def test_the_page_on_connecting_a_program_has_every_error_of_the_image_routes() -> None:
    answers = create_app(Settings()).openapi()["paths"]["/v1/segment"]["post"]["responses"]
    described = {
        (slug, status)
        for status, answer in answers.items()
        for slug in re.findall("`([a-z-]+)`: ", answer["description"])
    }
    assert set(re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", API, re.MULTILINE)) == described


def test_the_page_on_connecting_a_program_has_the_limits_that_are_set() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    for limit in (
        f"| {defaults['max_upload_mb']:g} MB | `PANOSEG_MAX_UPLOAD_MB` |",
        f"| {defaults['max_megapixels']:g} megapixels, each side at least {Limits().min_side} pixels |",
        f"| {defaults['timeout_s']:g} s | `PANOSEG_TIMEOUT_S` |",
        f"| {defaults['max_requests']} | `PANOSEG_MAX_REQUESTS` |",
        f"stays open for {KEEP_ALIVE_S} s",
    ):
        assert limit in API


def test_each_of_the_worst_pictures_has_its_sentence_and_no_other_has() -> None:
    failures = read_failures(PACKAGE)
    assert len({failure.figures["name"] for failure in failures}) == len(failures) > 0


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: content["pictures"].popitem(), "have no sentence"),
        (lambda content: content["pictures"].update({next(iter(content["pictures"])): " "}), "have no sentence"),
        (lambda content: content["pictures"].update({"another.jpg": "It went wrong."}), "not among the worst"),
        (lambda content: content.update(sha256="0" * 64), "of this model file"),
    ],
    ids=["lacking", "empty", "of another picture", "of another model"],
)
def test_sentences_that_are_not_on_the_worst_pictures_of_this_model_are_refused(
    spoil: Callable[[dict[str, Any]], None], says: str, tmp_path: Path
) -> None:
    shutil.copy(PACKAGE / "metrics.json", tmp_path)
    content = yaml.safe_load((PACKAGE / FAILURES).read_text())
    (tmp_path / FAILURES).write_text(yaml.safe_dump(content))
    assert len(read_failures(tmp_path)) == len(content["pictures"])
    spoil(content)
    (tmp_path / FAILURES).write_text(yaml.safe_dump(content))
    with pytest.raises(FailuresError, match=says):
        read_failures(tmp_path)


def test_the_page_on_training_has_each_of_its_tables() -> None:
    text = (figures.REPOSITORY / "docs" / "training.md").read_text()
    assert set(re.findall("<!-- figures: (.*) -->", text)) == {"sweep", "ablation", "training-speed"}
