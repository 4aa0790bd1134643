"""Puts the measured figures into the pages that show them, from the files that our commands write, and the settings.

    .venv-test/bin/python docs/figures.py

Each table stands between a pair of markers, `<!-- figures: NAME -->` and `<!-- end -->`; a test fails for a stale one.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from docs import configuration_keys, package_figures, serving_figures, settings_table, training_figures  # noqa: E402

PAGES: Final = (
    REPOSITORY / "README.md",
    REPOSITORY / "docs" / "configuration.md",
    REPOSITORY / "docs" / "performance.md",
    REPOSITORY / "docs" / "settings.md",
    REPOSITORY / "docs" / "training.md",
    package_figures.PACKAGE / "MODEL_CARD.md",
)


def main() -> None:
    """Rewrite every page's tables."""
    for page in PAGES:
        page.write_text(with_figures(page.read_text(encoding="utf-8")), encoding="utf-8")


def with_figures(text: str) -> str:
    """A page's text with each table made anew."""

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}\n{TABLES[found[2]]()}{found[4]}"

    return re.sub(r"(<!-- figures: ([\w-]+) -->)\n(.*?)(<!-- end -->)", fill, text, flags=re.DOTALL)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "package": package_figures.package,
    "accuracy": package_figures.accuracy,
    "confidence": package_figures.confidence,
    "quantisation": package_figures.quantisation,
    "categories": package_figures.categories,
    "stress": package_figures.stress,
    "failures": package_figures.failures,
    "findings": package_figures.findings,
    "reading": training_figures.reading,
    "outlines": training_figures.outlines,
    "speed": serving_figures.speed,
    "stages": serving_figures.stages,
    "servers": serving_figures.servers,
    "floors": serving_figures.floors,
    "plots": serving_figures.plots,
    "gpu": serving_figures.gpu,
    "sweep": training_figures.sweep,
    "ablation": training_figures.ablation,
    "training-speed": training_figures.speed,
    "configuration": configuration_keys.configuration,
    "settings": settings_table.settings,
}


if __name__ == "__main__":
    main()
