"""An environment for each rival under `.venv-rivals/`, made on first use, and anew when its requirements change."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

REPOSITORY: Final = Path(__file__).resolve().parent.parent

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
    wanted = hashlib.sha256(requirements.read_bytes() + (REPOSITORY / "pyproject.toml").read_bytes()).hexdigest()
    if not made_from.exists() or made_from.read_text() != wanted:
        Console(stderr=True).print(f"installing {name} into {folder.relative_to(REPOSITORY)}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
        subprocess.run(pip, cwd=REPOSITORY, check=True)
        made_from.write_text(wanted)
    return python


def versions(name: str, packages: tuple[str, ...]) -> dict[str, str]:
    """Which versions a rival's environment has."""
    code = "import json, sys; from importlib.metadata import version"
    code += "; print(json.dumps({name: version(name) for name in sys.argv[1:]}))"
    done = subprocess.run([environment_python(name), "-c", code, *packages], capture_output=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
