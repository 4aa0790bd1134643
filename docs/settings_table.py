"""What can be set, as a table of a page: the service's own words on each setting."""

from typing import Final

from docs.tables import table
from service.settings import Settings

_ELSEWHERE: Final = {"models": "`models/` beside `service/`", "tuning": "`~/.config/panoseg/tuning.json`"}
"""Defaults that differ from machine to machine."""


def settings() -> str:
    """Each setting's variable, option and default, and what it sets."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = "not set" if field.default is None else _ELSEWHERE.get(name, f"`{field.default}`")
        option = name.replace("_", "-")
        options = f"`--{option}`, `--no-{option}`" if field.annotation in (bool, bool | None) else f"`--{option}`"
        rows.append([f"`PANOSEG_{name.upper()}`", options, default, field.description or ""])
    return table(("variable", "option", "default", "what it sets"), rows)
