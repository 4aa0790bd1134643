"""Result files: JSON for programs and, beside it, a Markdown table for people."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.errors import SetupError


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a `|` in a cell is escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def refuse_markdown(out: Path) -> None:
    """Let nothing be measured whose JSON file the Markdown beside it would write over.

    Raises:
        SetupError: `out` ends in `.md`.
    """
    if out == out.with_suffix(".md"):
        raise SetupError(
            f"{out} cannot be the table's JSON file, since its Markdown is written beside it and ends in .md; name one "
            "that ends in .json."
        )


def write_result(result: Mapping[str, Any], markdown: str, out: Path) -> None:
    """Write a result as JSON to `out`, and its Markdown to the file of the same name that ends in `.md`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(markdown, encoding="utf-8")
