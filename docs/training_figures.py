"""What was measured of training, its sweep, ablation and speed, as tables of a page."""

import json
from typing import Any

from benchmarks.places import RESULTS
from docs.tables import table


def sweep() -> str:
    """The source experiment."""
    return _as_written("sweep")


def ablation() -> str:
    """What each change of a recipe gained."""
    return _as_written("ablation")


def speed() -> str:
    """`panoseg train` beside a plain loop, trick by trick."""
    result = _read("training-speed")
    rows = [
        (
            arm["arm"],
            f"{arm['pictures_per_second']:.2f}",
            " to ".join(f"{end:.2f}" for end in arm["smallest_and_largest"]),
            f"{arm['times_plain']:.2f}",
            f"{arm['times_before']:.2f}" if "times_before" in arm else "",
        )
        for arm in result["arms"]
    ]
    height, width = result["input"]
    header = ["", "pictures a second", "smallest to largest", "to the plain loop", "to the line before"]
    return table(header, rows) + (
        f"\n`{result['command']}`, on {result['processor']}, {result['cores']} cores, PyTorch {result['torch']}, "
        f"{result['date']}: batches of {result['batch']} at {height} x {width}, medians of {result['rounds']} rounds "
        f"of {result['steps']} steps. In the same work `panoseg train` is {result['times_as_fast']} times as fast as "
        f"the plain loop (goal: {result['goal']:g} times as fast).\n"
    )


def _as_written(name: str) -> str:
    """The table that a command wrote itself, with its own words below, and the day."""
    return f"{(RESULTS / f'{name}.md').read_text(encoding='utf-8')}\nMeasured on {_read(name)['date']}.\n"


def _read(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result
