"""Tables as the pages have them, and the result files that they are made from."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.places import RESULTS
from training.tables import markdown_table


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table's lines, the last one ended; each row has a cell for each of the header's."""
    return markdown_table(header, rows) + "\n"


def read_result(name: str) -> dict[str, Any]:
    """What `benchmarks/results/<name>.json` holds."""
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result
