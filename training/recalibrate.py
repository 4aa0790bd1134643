"""Fits the confidences of a package to some pictures' truth, as its next version; the model file stays the same."""

import json
import shutil
from pathlib import Path

import numpy as np

from service.model.package import MANIFEST, load_package
from service.model.session import open_session
from training.calibration import CALIBRATION, Calibrated, CalibrationError, calibrate, judge_teeth
from training.config import load_config
from training.data import load_split
from training.data.samples import are_numbered
from training.export import next_version, prepare_truths
from training.metrics_file import QUANTISATION
from training.thresholds import UNCERTAIN


def recalibrate(package_folder: Path, config_path: Path) -> tuple[Path, Calibrated]:
    """Fit the calibration and the limit of uncertain teeth to a configuration's validation pictures.

    What `panoseg export` does with its own; here for pictures of another kind, such as a clinic's. The package stays as
    it is, and its next version is written beside it: teeth and their outlines are the same, `manifest.json` and
    `calibration.json` are not. What was measured of the old confidences is left out until `panoseg evaluate` has
    measured the new ones.

    Returns:
        The new version's folder, and what was fitted.

    Raises:
        CalibrationError: the pictures' teeth have no numbers, or too few were found.
        ModelPackageError, ConfigError, DataError: something of it cannot be used.
    """
    package = load_package(package_folder)
    manifest = package.manifest
    samples = load_split(load_config(config_path).data, "val")
    if not are_numbered(samples):
        raise CalibrationError(f"The teeth of {config_path} have no numbers; confidence is fitted to numbered teeth.")
    session = open_session(package, "cpu")
    pictures, truths = prepare_truths(samples, manifest.input.height, manifest.input.width)
    predictions = [session.run(picture[np.newaxis])[0] for picture in pictures]
    calibrated = calibrate(judge_teeth(predictions, truths, manifest.thresholds))
    thresholds = manifest.thresholds.model_copy(update={"uncertain": UNCERTAIN})
    metrics = {
        split: {name: figure for name, figure in figures.items() if name not in ("uncertain", "ece")}
        for split, figures in manifest.metrics.items()
    }
    folder = package_folder.parent / next_version(package_folder.parent)
    fitted = manifest.model_copy(
        update={
            "version": folder.name,
            "calibration": calibrated.calibration,
            "thresholds": thresholds,
            "metrics": metrics,
        }
    )
    folder.mkdir()
    known = manifest.known_answer
    for name in (*(file.path for file in manifest.files), known.picture, known.labels, QUANTISATION):
        if (package_folder / name).exists():
            shutil.copyfile(package_folder / name, folder / name)
    (folder / CALIBRATION).write_text(json.dumps(calibrated.summary(), indent=1) + "\n", encoding="utf-8")
    # Last, since a folder is a package as soon as it has one.
    (folder / MANIFEST).write_text(fitted.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return folder, calibrated
