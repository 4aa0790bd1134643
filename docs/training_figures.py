"""What was measured of training, its sweep, ablation and speed, and of reading maps, as tables of a page."""

import itertools

from benchmarks.places import RESULTS
from docs.tables import read_result, table


def sweep() -> str:
    """The source experiment."""
    return _as_written("sweep")


def ablation() -> str:
    """What each change of a recipe gained."""
    return _as_written("ablation")


def speed() -> str:
    """`panoseg train` beside a plain loop, trick by trick."""
    result = read_result("training-speed")
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


def reading() -> str:
    """What each step from the model's maps to teeth is worth."""
    result = read_result("reading")
    rows = [
        (
            row["way"],
            f"{row['tooth_f1']:.4f}",
            f"{row['gain'][0]:+.4f} to {row['gain'][1]:+.4f}" if number else "",
            f"{row['tooth_dice']:.4f}",
        )
        for number, row in enumerate(result["rows"])
    ]
    header = [f"`val`, {result['pictures']} pictures", "F1 by tooth", "gain, 95 % interval", "Dice by tooth"]
    return table(header, rows) + f"\n`{result['command']}`, on {result['processor']}.\n"


def outlines() -> str:
    """How far from the true outline wrong pixels lie, on pictures that the model learnt from and on others."""
    result = read_result("outlines")
    ends = result["ends_px"]
    parts = [f"up to {ends[0]:g}", *(f"{low:g} to {high:g}" for low, high in itertools.pairwise(ends))]
    header = ["", "pictures", "Dice", "pixel accuracy", "the same, each at its own best limit"]
    header += [f"wrong {part} pixels from the outline" for part in (*parts, f"beyond {ends[-1]:g}")]
    rows = [
        (
            f"`{name}`",
            str(split["pictures"]),
            f"{split['dice']:.4f}",
            f"{split['pixel_accuracy']:.4f}",
            f"{split['pixel_accuracy_at_each_pictures_own_limit']:.4f}",
            *(f"{share:.2%}" for share in split["wrong"]),
        )
        for name, split in result["splits"].items()
    ]
    return table(header, rows) + f"\n`{result['command']}`, on {result['processor']}.\n"


def _as_written(name: str) -> str:
    """The table that a command wrote itself, with its own words below, and the day."""
    return f"{(RESULTS / f'{name}.md').read_text(encoding='utf-8')}\nMeasured on {read_result(name)['date']}.\n"
