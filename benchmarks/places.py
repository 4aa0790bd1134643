"""Where the measurements lie, and what a kind of processor is called in their names."""

import re
import subprocess
from pathlib import Path
from typing import Final, Literal

from service.machine import processor_name

REPOSITORY: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = REPOSITORY / "benchmarks" / "results"
IMAGES: Final = REPOSITORY / "docs" / "images"


def processor_kind(name: str | None = None) -> Literal["vnni", "avx2"]:
    """Whether a processor, this machine's where no name is given, multiplies eight bits in one step (VNNI)."""
    return "vnni" if "vnni" in (name or processor_name()) else "avx2"


def processor_slug(name: str | None = None) -> str:
    """The kind of a processor and its family, as the names of result files have it: each family keeps its own."""
    name = name or processor_name()
    family = re.search(r"family (\w+)", name)
    return f"{processor_kind(name)}-family-{family[1] if family else 'unknown'}"


def commit() -> str:
    """The repository's commit, and whether tracked files differ from it.

    Raises:
        OSError, subprocess.CalledProcessError: there is no git, or no repository.
    """
    git = ("git", "-C", str(REPOSITORY))
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout
    return head + (" with changes" if changed else "")
