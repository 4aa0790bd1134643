"""What a package's `metrics.json` is of: one data set, and the package's file and calibration as they were then."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from service.errors import SetupError
from service.machine import processor_name
from service.model.package import Manifest
from service.model.session import Session
from training.config import Data, PhantomData, load_config

METRICS: Final = "metrics.json"

QUANTISATION: Final = "quantisation.json"
"""What a package says of the cost of eight bits."""

STRESS: Final = "stress"
"""Where `metrics.json` has what `training.stress` measures."""


class MetricsFileError(SetupError):
    """Figures that would stand in one file with those of other data."""


def describe_data(source: Data) -> dict[str, Any]:
    """A data source, told so that it is the same on every machine: of its folder the name alone."""
    fields: dict[str, Any] = source.model_dump(mode="json")
    return fields if isinstance(source, PhantomData) else {**fields, "folder": source.folder.resolve().name}


def describe_measurement(command: str, source: Data, session: Session) -> dict[str, Any]:
    """What every result begins with: how and when it was measured, of which file, on what data and by what."""
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "file": session.file.path,
        "sha256": session.file.sha256,
        "data": describe_data(source),
        "provider": session.execution_provider,
        "processor": processor_name(),
    }


def is_of_its_file(figures: dict[str, Any], manifest: Manifest) -> bool:
    """Whether figures were measured with a file that the package holds now."""
    return figures["sha256"] in {file.sha256 for file in manifest.files}


def calibration_sha256(manifest: Manifest) -> str:
    """Tells one calibration from another, as a file's sha256 does with files."""
    return hashlib.sha256(manifest.calibration.model_dump_json().encode()).hexdigest()


def choose_file(package_folder: Path, config_path: Path, out: Path | None) -> Path:
    """The file that figures of a configuration's data go to; it holds none of other data.

    Args:
        out: where they go in place of the package's `metrics.json`.

    Raises:
        MetricsFileError: the file has figures of other data, or is none of ours.
        ConfigError: the configuration cannot be used.
    """
    path, data = out or package_folder / METRICS, describe_data(load_config(config_path).data)
    for name, figures in read_metrics(path).items():
        if figures.get("data", data) != data:
            raise MetricsFileError(
                f"{path} has figures ({name}) of other data ({_tell(figures['data'])}) than those of {config_path} "
                f"({_tell(data)}), and one file is of one data set; --out FILE writes to another file and leaves the "
                "package as it is."
            )
    return path


def read_metrics(path: Path) -> dict[str, dict[str, Any]]:
    """What was measured so far, by split or by what it is; nothing where there is no such file.

    Raises:
        MetricsFileError: the file holds something else.
    """
    if not path.exists():
        return {}
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MetricsFileError(f"{path} cannot be read as JSON: {error}") from error
    if not (isinstance(written, dict) and all(isinstance(figures, dict) for figures in written.values())):
        raise MetricsFileError(f"{path} holds something else than what panoseg evaluate writes; name another file.")
    return written


def add_figures(path: Path, name: str, figures: dict[str, Any]) -> None:
    """Put figures into a file by their name; what stands there by other names stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**read_metrics(path), name: figures}, indent=1) + "\n", encoding="utf-8")


def _tell(data: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in data.items())
