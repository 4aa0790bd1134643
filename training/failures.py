"""The worst pictures of a split: drawn for someone to look at, and the sentence that this person wrote on each.

The sentences stand in the package's `failures.yaml`, by picture, with the sha256 of the model file that they are about:
another model fails on other pictures, or on the same for other reasons.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import yaml

from service.errors import SetupError
from service.model.package import load_package
from service.render.encode import encode_jpeg
from training.config import load_config
from training.data import load_split
from training.evaluate import open_segmenter, read_again
from training.metrics import right_teeth
from training.metrics_file import METRICS, is_of_its_file, read_metrics
from training.report_pictures import draw_sheet

FAILURES: Final = "failures.yaml"

_WORST: Final = 10


class FailuresError(SetupError):
    """Sentences on the worst pictures that are missing, or are about another model."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One of the worst pictures.

    Attributes:
        figures: its row of `by_picture` in `metrics.json`.
        sentence: what went wrong, by someone who looked.
    """

    figures: dict[str, Any]
    sentence: str


def choose_worst(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ten rows of `by_picture` with the lowest Dice, the lowest first."""
    return sorted(rows, key=lambda row: (row["dice"], row["name"]))[:_WORST]


def read_failures(package_folder: Path, split: str = "test") -> list[Failure]:
    """The worst pictures of a split, each with its sentence.

    Raises:
        FailuresError: a picture has no sentence, a sentence is on none of the worst, or all are about another model
            file than was measured; the file cannot be read.
    """
    path = package_folder / FAILURES
    measured = read_metrics(package_folder / METRICS)[split]
    look = f"look at what `panoseg failures {package_folder} --config … --split {split}` draws and write {path}"
    content = _read_yaml(path)
    if content.get("sha256") != measured["sha256"] or content.get("split") != split:
        raise FailuresError(f"There are no sentences on the worst {split} pictures of this model file; {look}.")
    sentences: dict[str, str] = content.get("pictures") or {}
    worst = choose_worst(measured["by_picture"])
    names = {row["name"] for row in worst}
    lacking = sorted(name for name in names if not (sentences.get(name) or "").strip())
    if lacking:
        raise FailuresError(f"These of the worst pictures have no sentence: {', '.join(lacking)}; {look}.")
    if extra := sorted(set(sentences) - names):
        raise FailuresError(f"These are not among the worst pictures: {', '.join(extra)}; {look}.")
    return [Failure(row, sentences[row["name"]].strip()) for row in worst]


def draw_failures(package_folder: Path, config_path: Path, split: str, out: Path) -> list[Path]:
    """Draw the worst pictures of a split, and write a `failures.yaml` beside them that lacks the sentences alone.

    Sentences that are there already on the same model file and split stay.

    Each sheet shows the radiograph, what the model says, the truth, and the difference. They hold patients' pictures
    and are for looking, never to be committed.

    Args:
        split: `val` or `test`; the package has been measured on it.
        out: the folder to write to.

    Returns:
        The sheets, the worst first, and the YAML file.

    Raises:
        FailuresError: the package has not been measured on the split, its file is another one since, or `out` holds
            sentences on another.
        ModelPackageError, ConfigError, DataError: something of it cannot be used.
    """
    package = load_package(package_folder)
    measured = read_metrics(package_folder / METRICS).get(split)
    if measured is None or not is_of_its_file(measured, package.manifest):
        command = f"panoseg evaluate {package_folder} --config {config_path} --split {split}"
        raise FailuresError(f"{package_folder} has not been measured on its {split} pictures as it is; run: {command}")
    skeleton = out / FAILURES
    written = _read_sentences(skeleton, measured["sha256"], split)
    samples = {sample.name: sample for sample in load_split(load_config(config_path).data, split)}
    out.mkdir(parents=True, exist_ok=True)
    sheets, lines = [], [f"sha256: {measured['sha256']}", f"split: {split}", "pictures:"]
    with closing(open_segmenter(package)) as segmenter:
        for place, row in enumerate(choose_worst(measured["by_picture"]), start=1):
            sample, found = read_again(segmenter, samples, row["name"])
            sheet = out / f"{place:02}-{Path(row['name']).stem}.jpg"
            sheet.write_bytes(encode_jpeg(draw_sheet(sample.pixels, found, sample.labels)))
            sheets.append(sheet)
            sentence = json.dumps(written.get(row["name"], ""), ensure_ascii=False)
            lines += [f"  # {_facts(row, found, sample.labels)}", f"  {json.dumps(row['name'])}: {sentence}"]
    skeleton.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*sheets, skeleton]


def _read_sentences(path: Path, sha256: str, split: str) -> dict[str, str]:
    """What somebody wrote already on this model file's pictures; of another's it would be lost, so it is refused."""
    content = _read_yaml(path)
    sentences = content.get("pictures") or {}
    written: dict[str, str] = {name: sentence for name, sentence in sentences.items() if sentence}
    if written and (content.get("sha256"), content.get("split")) != (sha256, split):
        raise FailuresError(f"{path} holds sentences on another model file or split; move it, or name another --out.")
    return written


def _read_yaml(path: Path) -> dict[str, Any]:
    """What a `failures.yaml` holds; nothing where there is none."""
    try:
        content = (yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}," if mark else ""
        raise FailuresError(
            f"{path}{line} cannot be read as YAML; put the sentence in quotes, and save the file as UTF-8."
        ) from error
    pictures = (content.get("pictures") or {}) if isinstance(content, dict) else None
    if not isinstance(pictures, dict) or not all(isinstance(sentence, str | None) for sentence in pictures.values()):
        raise FailuresError(
            f"{path} does not hold one sentence for each picture, as `panoseg failures` writes it; put each in quotes."
        )
    return content


def _facts(row: dict[str, Any], found: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8]) -> str:
    """What can be counted of a failure, for the one who writes the sentence; by tooth where the truth has numbers."""
    facts = f"category {row['category'] or 'unknown'}, Dice {row['dice']:.3f}"
    findings = f"findings: {_list(row['findings'])}"
    if row["tooth_f1"] is None:
        return f"{facts}; {findings}"
    right = right_teeth(found, truth)
    lost, wrong = (sorted(set(np.unique(labels).tolist()) - {0} - right) for labels in (truth, found))
    return f"{facts}, F1 {row['tooth_f1']:.3f}; not found: {_list(lost)}; found wrongly: {_list(wrong)}; {findings}"


def _list(words: Sequence[object]) -> str:
    return " ".join(map(str, words)) or "none"
