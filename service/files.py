"""The files of `panoseg segment`: which are to be read, and what their answers are called."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from service.errors import SetupError


def find_files(paths: Sequence[Path]) -> tuple[list[Path], dict[Path, str]]:
    """The files to segment, each once, with folders as the files in them; and of each path that gives none, why."""
    found: dict[Path, Path] = {}
    faults: dict[Path, str] = {}
    for path in paths:
        try:
            path.stat()
            files = _files_in(path) if path.is_dir() else [path]
        except OSError as error:
            faults[path] = f"It cannot be read: {error.strerror or error}."
            continue
        if not files:
            faults[path] = "No files are in this folder; the folders in it are not looked into, so give them instead."
        for file in files:
            found.setdefault(_absolute(file), file)
    return list(found.values()), faults


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _absolute(path: Path) -> Path:
    # Not Path.absolute(), which keeps "..", nor Path.resolve(), which would name a link's target.
    return Path(os.path.abspath(path))  # noqa: PTH100


def name_answers(files: Sequence[Path]) -> dict[Path, str]:
    """Of each file what its answers are called: its stem, or as much more of its path as tells it from the others.

    Raises:
        SetupError: nothing tells two of them apart.
    """
    names = {file: _possible_names(file) for file in files}
    while True:
        # Letter case does not count: on many systems X.json and x.json are one file.
        counts = Counter(possible[0].casefold() for possible in names.values())
        alike = [file for file, possible in names.items() if counts[possible[0].casefold()] > 1]
        if not alike:
            return {file: possible[0] for file, possible in names.items()}
        longer = [file for file in alike if len(names[file]) > 1]
        if not longer:
            raise SetupError(
                f"The answers of {alike[0]} and of another file would be called alike; "
                "give them one after the other, each with an --out of its own."
            )
        for file in longer:
            del names[file][0]


def _possible_names(file: Path) -> list[str]:
    """For a/b/x.png: x, x.png, b-x, b-x.png, a-b-x, a-b-x.png."""
    folders = [folder.name for folder in _absolute(file).parents if folder.name]
    fronts = ["".join(f"{name}-" for name in reversed(folders[:count])) for count in range(len(folders) + 1)]
    return [front + name for front in fronts for name in (file.stem, file.name)]


def answers_of(out: Path, name: str) -> list[Path]:
    """The files of one answer: JSON, mask, overlay."""
    return [out / f"{name}{ending}" for ending in (".json", ".mask.png", ".overlay.jpg")]


def refuse_to_write_over(files: Sequence[Path], answers: Sequence[Path], overwrite: bool) -> None:
    """See that no answer takes the place of a file to segment, nor, unless that is wanted, of any other.

    Raises:
        SetupError: one would.
    """
    there = [answer for answer in answers if answer.exists()]
    sources = {file.resolve() for file in files}
    for answer in there:
        if answer.resolve() in sources:
            raise SetupError(
                f"{answer} is one of the files to segment, and an answer would be written over it; "
                "give another folder as --out."
            )
    if there and not overwrite:
        more = f", and so are {len(there) - 1} more" if there[1:] else ""
        raise SetupError(
            f"{there[0]} is there already{more}; "
            "give another folder as --out, or --overwrite to write over what is in the way."
        )
