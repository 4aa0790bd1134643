"""The keys of a run's YAML file, as tables of a page, from the classes that check them."""

import re
from typing import Any, Final

from docs.tables import table
from training.config import Config

_LIMITS: Final = {
    "exclusiveMinimum": "above",
    "minimum": "from",
    "exclusiveMaximum": "below",
    "maximum": "up to",
    "multipleOf": "a multiple of",
    "pattern": "matching",
}


def configuration() -> str:
    """A table of each part's keys, the run's own first."""
    schema = Config.model_json_schema()
    parts = {"Config": schema, **schema["$defs"]}
    return "\n".join(_describe_part(name, part) for name, part in parts.items())


def _describe_part(name: str, part: dict[str, Any]) -> str:
    first, _, attributes = part["description"].partition("Attributes:\n")
    meanings = {}
    # A line further in goes on with the one before.
    for names, meaning in re.findall(r"^    ([\w, ]+?): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE):
        meanings |= dict.fromkeys(names.split(", "), _in_yaml(meaning))
    required = part.get("required", [])
    rows = [
        (
            f"`{key}`",
            _tell_type(field),
            "" if key in required else _tell_default(field),
            meanings.get(key, "which of these it is" if "const" in field else ""),
        )
        for key, field in part["properties"].items()
    ]
    return f"### {name}\n\n{' '.join(first.split())}\n\n{table(['key', 'type', 'default', 'meaning'], rows)}"


def _in_yaml(text: str) -> str:
    return " ".join(text.split()).removesuffix(".").replace("None", "none")


def _tell_type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(map(_tell_type, field[key]))
    if "const" in field or "enum" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        return f"list of {_tell_type(field['items'])}"
    if field["type"] == "object":
        return f"map to {_tell_type(field['additionalProperties'])}"
    words = {"null": "none", "boolean": "`true` or `false`"}
    limits = [f"{told} `{field[key]}`" for key, told in _LIMITS.items() if key in field]
    return ", ".join([words.get(field["type"], field["type"]), *limits])


def _tell_default(field: dict[str, Any]) -> str:
    default = field.get("default")
    if isinstance(default, dict):
        return "each as below" if default else "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return "none" if default in (None, []) else f"`{default}`"
