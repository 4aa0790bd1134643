"""An environment for each rival under `.venv-rivals/`, made on first use, and anew when its requirements change.

Whatever our service itself asks for has the version of our lock in it, so that codecs and runtime are the same; the
lock as a whole would not do, since a rival asks for other versions of what it alone uses.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.places import REPOSITORY

_RIVALS: Final = REPOSITORY / "benchmarks" / "rivals"
_ENVIRONMENTS: Final = REPOSITORY / ".venv-rivals"


def environment_python(name: str) -> Path:
    """The interpreter that has what `benchmarks/rivals/NAME/requirements.txt` lists.

    Raises:
        subprocess.CalledProcessError: it cannot be installed; pip has said why.
    """
    folder = _ENVIRONMENTS / name
    requirements = _RIVALS / name / "requirements.txt"
    python, made_from = folder / "bin" / "python", folder / "made-from"
    same = _same_versions()
    wanted = hashlib.sha256(requirements.read_bytes() + same.encode()).hexdigest()
    if not made_from.exists() or made_from.read_text(encoding="utf-8") != wanted:
        Console(stderr=True).print(f"installing {name} into {folder.relative_to(REPOSITORY)}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as constraints:
            constraints.write(same)
            constraints.flush()
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "-c", constraints.name, "-r", requirements], cwd=REPOSITORY, check=True)
        made_from.write_text(wanted, encoding="utf-8")
    return python


def _same_versions() -> str:
    """The lock's lines for what the service asks for."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["cpu"]]
    names = {_plain(found[0]) for each in asked if (found := re.match(r"[\w.-]+", each))}
    lines = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in lines if _plain(line.partition("==")[0]) in names)


def _plain(name: str) -> str:
    """A package's name as all its spellings come down to (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def versions(name: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Which versions a rival's environment has."""
    code = "import json, sys; from importlib.metadata import version"
    code += "; print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    process = subprocess.run([environment_python(name), "-c", code, *packages], capture_output=True, check=True)
    found: dict[str, str] = json.loads(process.stdout)
    return found
