"""Writes the page that shows how good a model package is: its figures, how it learned, and pictures it read."""

import json
import shlex
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jinja2
from markupsafe import Markup

from service.errors import SetupError
from service.model.package import ModelPackage, load_package
from training.checkpoint import CONFIG
from training.config import load_config
from training.data import Sample, load_split
from training.evaluate import open_segmenter, read_again
from training.export import LEAKS
from training.metrics_file import METRICS, QUANTISATION, STRESS, calibration_sha256, is_of_its_file, read_metrics
from training.report_curves import draw_confidence, draw_learning, draw_spread, read_curves
from training.report_pictures import FALSE, MISSED, Views, draw_views


class ReportError(SetupError):
    """A report for which something has not been measured yet."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What others published; on other pictures, so it shows the scale and ranks nothing."""

    source: str
    value: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of `metrics.json`, by the keys that lead to it, and what others published of the same kind."""

    name: str
    meaning: str
    path: tuple[str, ...]
    references: tuple[Reference, ...] = ()


REPORTED_MEASURES: Final = (
    Measure(
        "Dice",
        "tooth against background, mean over pictures",
        ("dice",),
        (
            Reference("source experiment, Tufts", "0.9078"),
            Reference("published U-Nets", "0.917 to 0.926"),
            Reference("winner of STS-2024", "0.918"),
            Reference("two experts with each other", "0.94"),
        ),
    ),
    Measure("IoU", "the same", ("iou",), (Reference("source experiment, Tufts", "0.8322"),)),
    Measure(
        "Pixel accuracy",
        "most pixels are background, so an empty mask scores about 0.8",
        ("pixel_accuracy",),
        (Reference("source experiment, Tufts", "0.9778"),),
    ),
    Measure("Dice of the worst tenth", "mean over the tenth of the pictures that went worst", ("worst_tenth_dice",)),
    Measure(
        "Dice by tooth",
        "each true tooth with what has its number; a tooth not found counts 0",
        ("tooth", "dice"),
        (Reference("OralBBNet", "0.883 to 0.893"),),
    ),
    Measure(
        "F1 of numbered teeth",
        "a tooth is right with its own number and an IoU of at least 0.5",
        ("tooth", "f1"),
        (Reference("STS-2024", "0.883"), Reference("two experts with each other", "0.989")),
    ),
    Measure("Missing teeth, precision", "of the teeth said to be missing, how many are", ("missing", "precision")),
    Measure("Missing teeth, recall", "of the missing teeth, how many are said to be", ("missing", "recall")),
    Measure("Missing teeth, F1", "of both together", ("missing", "f1")),
    Measure(
        "Calibration error",
        "expected, by tooth: how far confidence is from the share that is right, over tenths of the teeth",
        ("calibration", "ece"),
    ),
    Measure("Certain teeth", "share of the found teeth that is not marked uncertain", ("uncertain", "kept")),
    Measure("Certain teeth, right", "share of them that is right", ("uncertain", "precision")),
)


_SHOWN: Final = 3
"""Of the worst, the median and the best pictures each."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of the report: its figures, and its views."""

    figures: dict[str, Any]
    views: Views


def report(package_folder: Path, run: Path | None, config_path: Path, split: str, out: Path) -> Path:
    """Write one HTML file that needs no other.

    Args:
        package_folder: the package; `panoseg evaluate` has measured it on the split.
        run: the run that made it, for its learning curves.
        config_path: the configuration whose data hold the split's pictures.
        split: `val` or `test`; its best, median and worst pictures are shown.

    Returns:
        The file, which is `out`.

    Raises:
        ReportError: the package has not been measured on the split, or its file or calibration is another one since;
            the run has no log.
        ModelPackageError, ConfigError, DataError: something of it cannot be used.
    """
    package = load_package(package_folder)
    metrics = _read_metrics(package, config_path, split)
    learning = None if run is None else _draw_learning(run)
    places = choose_places(metrics[split]["by_picture"])
    samples = {sample.name: sample for sample in load_split(load_config(config_path).data, split)}
    quantisation = package_folder / QUANTISATION
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("report.html.jinja").render(
        manifest=package.manifest,
        leaks=LEAKS in package.manifest.training.data,
        metrics=metrics,
        split=split,
        measured=metrics[split],
        measures=[
            measure
            for measure in REPORTED_MEASURES
            if any(find_figure(metrics[name], measure.path) for name in _measured(metrics))
        ],
        find=find_figure,
        learning=learning,
        confidence=_draw_confidence(metrics[split]),
        stress=_fresh_stress(package, metrics),
        run=run,
        spread=Markup(draw_spread([row["dice"] for row in metrics[split]["by_picture"]])),  # noqa: S704 - drawn here
        shown=_show(package, places, samples),
        colours={"missed": MISSED, "false": FALSE},
        quantisation=json.loads(quantisation.read_text(encoding="utf-8")) if quantisation.exists() else None,
        command=_command(package_folder, run, config_path, split, out),
        date=datetime.now(UTC).date().isoformat(),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def find_figure(summary: dict[str, Any], path: Sequence[str]) -> dict[str, Any] | None:
    """A figure of a split as `{"mean": …, "interval": [low, high] or None}`; None where the truth tells nothing."""
    value: Any = summary
    for key in path:
        if (value := value[key]) is None:
            return None
    return value if isinstance(value, dict) else {"mean": value, "interval": None}


def choose_places(rows: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The three pictures with the worst, the middle and the best Dice, each once; fewer of each where there are few.

    Args:
        rows: of `by_picture`.
    """
    ordered = sorted(rows, key=lambda row: (row["dice"], row["name"]))
    count = min(_SHOWN, max(1, len(ordered) // 3))
    worst, rest = ordered[:count], ordered[count:]
    best = rest[::-1][:count]
    between = rest[: len(rest) - len(best)]
    begin = max(0, (len(between) - count) // 2)
    return {"worst": worst, "median": between[begin : begin + count], "best": best}


def _read_metrics(package: ModelPackage, config_path: Path, split: str) -> dict[str, Any]:
    path = package.folder / METRICS
    metrics: dict[str, Any] = read_metrics(path)
    command = f"panoseg evaluate {package.folder} --config {config_path} --split"
    if split not in metrics:
        raise ReportError(f"{package.folder} has not been measured on its {split} pictures; run: {command} {split}")
    for name in _measured(metrics):
        if not is_of_its_file(metrics[name], package.manifest):
            raise ReportError(f"{path} ({name}) is of another file than {package.folder} holds; run: {command} {name}")
        if metrics[name].get("calibration_sha256") != calibration_sha256(package.manifest):
            raise ReportError(
                f"{path} does not say of the {name} pictures how far the confidence of the present calibration can be "
                f"believed; run: {command} {name}"
            )
    return metrics


def _measured(metrics: dict[str, Any]) -> list[str]:
    return [name for name in ("test", "val") if name in metrics]


def _draw_confidence(summary: dict[str, Any]) -> Markup | None:
    """None where the truth has no numbers, so that no tooth could be judged."""
    return Markup(draw_confidence(summary)) if summary["coverage"] else None  # noqa: S704 - drawn here


def _fresh_stress(package: ModelPackage, metrics: dict[str, Any]) -> dict[str, Any] | None:
    """What changes of the pictures cost, where it was measured with the file that the package holds."""
    stress: dict[str, Any] | None = metrics.get(STRESS)
    return stress if stress and is_of_its_file(stress, package.manifest) else None


def _draw_learning(run: Path) -> Markup:
    log = run / "log" / "metrics.csv"
    if not log.exists():
        raise ReportError(f"{log} is missing, so there are no learning curves; leave out --run.")
    return Markup(draw_learning(read_curves(log), load_config(run / CONFIG).phases))  # noqa: S704 - drawn here


def _show(
    package: ModelPackage, places: dict[str, list[dict[str, Any]]], samples: dict[str, Sample]
) -> dict[str, list[Shown]]:
    shown: dict[str, list[Shown]] = {}
    with closing(open_segmenter(package)) as segmenter:
        for place, rows in places.items():
            shown[place] = []
            for row in rows:
                sample, found = read_again(segmenter, samples, row["name"])
                shown[place].append(Shown(row, draw_views(sample.pixels, found, sample.labels)))
    return shown


def _command(package: Path, run: Path | None, config: Path, split: str, out: Path) -> str:
    words = ["panoseg", "report", str(package), "--config", str(config), "--split", split, "--out", str(out)]
    return shlex.join([*words, "--run", str(run)] if run else words)
