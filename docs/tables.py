"""A Markdown table as the pages have it, and what stands in its place until it is measured."""

from collections.abc import Sequence

from training.tables import markdown_table


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table's lines, the last one ended; each row has a cell for each of the header's."""
    return markdown_table(header, rows) + "\n"


def not_yet(command: str) -> str:
    """What a page says where there is no result yet, and the command that makes one."""
    return f"Not measured yet; `{command}` does it.\n"
