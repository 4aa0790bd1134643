"""A Markdown table as the pages have it, and what stands in its place until it is measured."""

import re
from collections.abc import Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table's lines; each row has a cell for each of the header's."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, *rows)]
    lines.insert(1, "|---" * len(header) + "|")
    return re.sub(r"\|  (?=\|)", "| ", "\n".join(lines)) + "\n"


def not_yet(command: str) -> str:
    """What a page says where there is no result yet, and the command that makes one."""
    return f"Not measured yet; `{command}` does it.\n"
