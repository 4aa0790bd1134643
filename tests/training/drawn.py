"""The least that a configuration has to say, of drawn radiographs."""

from pathlib import Path

import yaml

LEAST = {
    "name": "drawn",
    "data": {"kind": "phantom", "train": 1, "val": 1, "test": 1, "seed": 7},
    "phases": [{"height": 64, "width": 128, "epochs": 1, "batch": 1}],
    "optimiser": {"name": "adam", "learning_rate": 0.001},
    "scheduler": {"name": "one-cycle"},
}


def drawn_config(path: Path, **changes: object) -> Path:
    """Write it to a file, with other values of some keys, or more keys."""
    path.write_text(yaml.safe_dump({**LEAST, **changes}))
    return path
