"""What reading the model's maps is worth, step by step: F1 by tooth on the validation pictures, by the file that ships.

python -m benchmarks.reading
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from rich.console import Console

from benchmarks.places import RESULTS
from service.dentition.fdi import CLASSES, FDI_NUMBERS
from service.machine import processor_name
from service.model.interpret import find_teeth
from service.model.package import ModelPackage, choose_package
from service.model.prediction import Prediction
from service.model.session import open_session
from service.settings import Settings
from training.config import load_config
from training.data import Splits, load_splits
from training.export import prepare_truths
from training.intervals import bootstrap_difference, f1_figures
from training.metrics import ToothAgreement, match_teeth
from training.pixels import Labels

OUT: Final = RESULTS / "reading.json"
_SEED: Final = 0

Numbers = npt.NDArray[np.float64]


def keep_own_word(centres: Numbers, evidence: Numbers, substance: Numbers) -> tuple[int, ...]:
    """Give each tooth the number that it looks like most; of several with one number the largest has it."""
    numbers = [FDI_NUMBERS[best] for best in evidence.argmax(axis=1)]
    for tooth in np.argsort(substance):
        if numbers.count(numbers[tooth]) > 1:
            numbers[tooth] = 0
    return tuple(numbers)


def splits_of(package: ModelPackage, *names: str) -> Splits:
    """The splits of these names, of the data that the package's own recipe was trained on."""
    config = load_config(Path(f"training/configs/{package.manifest.training.recipe}.yaml"))
    return load_splits(config.data, names=names)


def main() -> None:
    """Read the validation pictures in three ways, write the result file and show it."""
    settings = Settings()
    package = choose_package(settings.models, settings.model)
    manifest = package.manifest
    pictures, truths = prepare_truths(splits_of(package, "val").val, manifest.input.height, manifest.input.width)
    session = open_session(package, "cpu")
    predictions = [session.run(picture[None])[0] for picture in pictures]
    numbers = np.array(CLASSES, np.uint8)

    def each_pixel(prediction: Prediction) -> Labels:
        tooth = prediction.foreground >= 255 * manifest.thresholds.foreground
        return np.where(tooth, numbers[prediction.tooth], 0).astype(np.uint8)

    ways: dict[str, Callable[[Prediction], Labels]] = {
        "each pixel's own number": each_pixel,
        "pieces joined to teeth, each tooth's own number": lambda prediction: find_teeth(
            prediction, manifest.thresholds, keep_own_word
        ),
        "numbers decided for an arch as a whole": lambda prediction: find_teeth(prediction, manifest.thresholds),
    }
    agreements = {
        name: [match_teeth(read(one), truth) for one, truth in zip(predictions, truths, strict=True)]
        for name, read in ways.items()
    }
    f1 = {name: f1_figures([score.teeth for score in scores]) for name, scores in agreements.items()}
    first = next(iter(f1.values()))
    rows = [
        {
            "way": name,
            "tooth_f1": round(f1[name].mean, 4),
            "gain": [round(end, 4) for end in bootstrap_difference(f1[name], first, _SEED)],
            "tooth_dice": round(sum(scores, ToothAgreement()).mean_dice, 4),
        }
        for name, scores in agreements.items()
    ]
    result = {
        "command": "python -m benchmarks.reading",
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor_name(),
        "sha256": session.file.sha256,
        "pictures": len(pictures),
        "rows": rows,
    }
    OUT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    Console().print(rows)


if __name__ == "__main__":
    main()
