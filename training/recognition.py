"""Measures what a package notices: foreign pictures named, plain panoramics left alone, changed ones told."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.progress import track

from service.errors import RequestError
from service.model.package import load_package
from service.radiograph import Limits, decode
from service.render.draw import to_8_bits
from service.render.encode import encode_png
from service.segmentation import Segmentation
from service.segmenter import Segmenter
from training.config import load_config
from training.data import DataError, Sample, load_splits
from training.evaluate import open_segmenter, segment_upload
from training.intervals import share_interval
from training.metrics import dice
from training.metrics_file import add_figures, choose_file, describe_measurement
from training.pixels import Labels, Picture
from training.restorations import remove_all

FALSE_ALARMS: Final = ("not-a-panoramic", "upside-down", "sideways", "inverted", "cropped")
"""Findings that no picture of these data deserves."""

_SAME_TEETH: Final = ("inverted", "low-contrast")
"""Findings of pictures that are answered as if nothing were the matter."""


def recognise(
    package_folder: Path, config_path: Path, foreign: Path, panoramics: Path | None, out: Path | None = None
) -> dict[str, Any]:
    """Measure a package's findings, and write them into its `metrics.json` as `findings`.

    Every share stands there with its exact 95 % interval; false alarms by `val`, `test` and `panoramics`.

    Args:
        config_path: its validation and test splits are read, and the validation split is read changed.
        foreign: folder of pictures that are no panoramics.
        panoramics: folder of more panoramics, of other machines, and of nothing else.
        out: the file to write to in place of `metrics.json`.

    Returns:
        What was written.

    Raises:
        MetricsFileError: the file has figures of other data.
        ModelPackageError, ConfigError, DataError: something of it cannot be used, such as a panoramic that the service
            refuses.
    """
    path = choose_file(package_folder, config_path, out)
    source = load_config(config_path).data
    splits = load_splits(source, names=("val", "test"))
    plain = {split: [(f"{split}/{one.name}", one.data) for one in getattr(splits, split)] for split in ("val", "test")}
    more, others = (read_files(folder) if folder else {} for folder in (panoramics, foreign))
    if more:
        plain["panoramics"] = list(more.items())
    command = f"panoseg recognise {package_folder} --config {config_path} --foreign {foreign}"
    command += (f" --panoramics {panoramics}" if panoramics else "") + (f" --out {out}" if out else "")
    with closing(open_segmenter(load_package(package_folder))) as segmenter:
        # Before what takes long: one of them may be refused. Apart, since the limits were chosen on `val`.
        false_alarms = {name: _find_false_alarms(segmenter, uploads) for name, uploads in plain.items()}
        summary = {
            **describe_measurement(command, source, segmenter.model.session),
            "foreign": _name_foreign(segmenter, others),
            "false_alarms": false_alarms,
            "changed": {name: _read_changed(segmenter, splits.val, name) for name in CHANGES},
        }
    add_figures(path, "findings", summary)
    return summary


def read_files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder and of those in it, by its place; what begins with a dot is the operating system's.

    Raises:
        DataError: there are none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not paths:
        raise DataError(f"{folder} holds no pictures.")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _name_foreign(segmenter: Segmenter, uploads: dict[str, bytes]) -> dict[str, Any]:
    """How many foreign pictures are named, as they are and without their colours, which alone would tell many."""
    named: dict[str, bool] = {}
    grey: dict[str, bool] = {}
    for name, upload in track(uploads.items(), "foreign pictures"):
        try:
            pixels = decode(upload, Limits()).pixels
        except RequestError:
            continue
        named[name] = "not-a-panoramic" in _codes(segment_upload(segmenter, name, upload))
        grey[name] = "not-a-panoramic" in _codes(segment_upload(segmenter, name, encode_png(to_8_bits(pixels))))
    return {
        "pictures": len(named),
        "refused": len(uploads) - len(named),
        "named": _share(named.values()),
        "named_in_grey": _share(grey.values()),
        "missed": sorted(name for name in named if not (named[name] and grey[name])),
    }


def _find_false_alarms(segmenter: Segmenter, uploads: Sequence[tuple[str, bytes]]) -> dict[str, Any]:
    alarms = [
        (name, _codes(segment_upload(segmenter, name, upload)) & set(FALSE_ALARMS))
        for name, upload in track(uploads, "panoramics")
    ]
    return {
        "pictures": len(alarms),
        **_share(bool(codes) for _, codes in alarms),
        "by_picture": {name: sorted(codes) for name, codes in alarms if codes},
    }


def _read_changed(segmenter: Segmenter, samples: Sequence[Sample], name: str) -> dict[str, Any]:
    """How many changed pictures get their finding; for those that show the same teeth the loss of mean Dice."""
    code, change = CHANGES[name]
    found, lost, areas = [], [], []
    for sample in track(samples, name):
        pixels = to_8_bits(sample.pixels)
        upload = encode_png(np.ascontiguousarray(change(pixels, sample.labels)))
        answer = segment_upload(segmenter, f"val/{sample.name} ({name})", upload)
        found.append(code in _codes(answer))
        areas.append(answer.tooth_fraction)
        if code in _SAME_TEETH:
            before = dice(segment_upload(segmenter, f"val/{sample.name}", sample.data).labels > 0, sample.labels > 0)
            lost.append(before - dice(answer.labels > 0, sample.labels > 0))
    figures: dict[str, Any] = {"finding": code, "named": _share(found)}
    if code in _SAME_TEETH:
        figures["dice_loss"] = round(float(np.mean(lost)), 4)
    if code == "few-teeth":
        figures["tooth_fraction"] = {"mean": round(float(np.mean(areas)), 5), "largest": round(max(areas), 5)}
    return figures


def _codes(segmentation: Segmentation) -> set[str]:
    return {finding.code for finding in segmentation.findings}


def _share(outcomes: Iterable[bool]) -> dict[str, Any]:
    answers = list(outcomes)
    interval = share_interval(sum(answers), len(answers))
    return {"share": round(sum(answers) / max(1, len(answers)), 4), "interval": [round(end, 4) for end in interval]}


def _cut_below(pixels: Picture, labels: Labels) -> Picture:
    """The picture down to a quarter of the lower teeth's height above their lowest point."""
    rows = np.flatnonzero((labels >= 30).any(axis=1))
    return pixels[: int(rows[-1] - 0.25 * (rows[-1] - rows[0]))] if rows.size else pixels[: 3 * len(pixels) // 4]


CHANGES: Final[dict[str, tuple[str, Callable[[Picture, Labels], Picture]]]] = {
    "negative": ("inverted", lambda pixels, _: np.asarray(255 - pixels, np.uint8)),
    "tenth of the contrast": ("low-contrast", lambda pixels, _: np.asarray(112 + pixels // 10, np.uint8)),
    "turned upside down": ("upside-down", lambda pixels, _: pixels[::-1, ::-1]),
    "turned to the left": ("sideways", lambda pixels, _: np.rot90(pixels)),
    "turned to the right": ("sideways", lambda pixels, _: np.rot90(pixels, -1)),
    "lower teeth cut off": ("cropped", _cut_below),
    "left quarter cut off": ("cropped", lambda pixels, _: pixels[:, pixels.shape[1] // 4 :]),
    "teeth painted over": ("few-teeth", remove_all),
}
"""By name: the finding that a changed picture should get, and the change of its pixels and labels."""
