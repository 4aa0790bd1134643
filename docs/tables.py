"""A Markdown table as the pages have it."""

from collections.abc import Sequence

from training.tables import markdown_table


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table's lines, the last one ended; each row has a cell for each of the header's."""
    return markdown_table(header, rows) + "\n"
