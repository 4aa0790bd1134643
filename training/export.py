"""Makes the model package that the service runs from a training run: graph, int8 file, thresholds, known answer."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import torch
from pydantic import TypeAdapter, ValidationError

from service.dentition.fdi import CLASSES
from service.model.check import check_known_answer
from service.model.interpret import find_teeth
from service.model.package import (
    MANIFEST,
    KnownAnswer,
    Manifest,
    ModelFile,
    Precision,
    Thresholds,
    Training,
    file_sha256,
    load_package,
    read_manifest,
)
from service.model.prediction import Prediction
from service.model.prepare import fit_to, prepare
from service.model.providers import EXECUTION_PROVIDERS
from service.model.session import open_session
from service.render.encode import encode_png
from training.calibration import CALIBRATION, calibrate, judge_teeth
from training.checkpoint import CONFIG, is_package, load_network
from training.config import Config, ConfigError, load_config
from training.data import Sample, load_splits
from training.data.loader import prepare_sample
from training.data.numbering import number_teeth
from training.data.samples import are_numbered
from training.foreign import read_foreign
from training.graph import ExportError, ServiceGraph, learn_familiarity, measure_features, write_onnx
from training.half import open_on_processor
from training.metrics_file import QUANTISATION
from training.pixels import Labels
from training.quantize import RANGE_PICTURES, quantize
from training.thresholds import agree_by_tooth, choose_thresholds, mean_dice
from training.view import learn_views, make_examples

FP32, INT8 = "model.fp32.onnx", "model.int8.onnx"

LARGEST_LOSS: Final = 0.003
"""Of mean Dice, for a package that ships."""

_SAME_LABELS: Final = 0.999
"""Share of pixels that ONNX Runtime must label as PyTorch does; the two add in another order."""

_SAME_ANSWER: Final = 0.98
"""Share of the known answer's pixels that must agree where it is served; providers round int8 differently."""

LEAKS: Final = "with splits that may share pictures or patients (--allow-leaks)"
"""Said with the data of a run that was begun so; how it reads their other pictures is not known."""

_CHECKED_PICTURES: Final = 8
_KNOWN_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a package says of where it comes from.

    Attributes:
        licence: of the weights.
        data: the training data by name, with the citation.
        data_licence: of the training data.
    """

    licence: str
    data: str
    data_licence: str


def export(
    run: Path,
    models: Path,
    name: str,
    version: str | None,
    provenance: Provenance,
    *,
    foreign: Path | None = None,
    largest_loss: float = LARGEST_LOSS,
) -> Path:
    """Write the package `models/<name>/<version>` from a run; the float32 file stays in the run's folder.

    Args:
        run: the folder `runs/<name>` that training filled; `best.ckpt` is taken, or `last.ckpt` where there is none.
        version: None takes the next whole number.
        foreign: a folder of pictures that are no panoramics, to tell from them; None leaves it to drawings.
        largest_loss: of mean Dice on the validation pictures, from the float32 file to the int8 file.

    Returns:
        The package's folder.

    Raises:
        ConfigError: the run's network does not number teeth.
        CalibrationError: teeth were found in fewer than two validation pictures.
        DataError: the run's data are broken, or `foreign` holds no picture.
        CheckpointError: the run has no checkpoint that fits it.
        ExportError: the version is there already, a file's answers differ from PyTorch's, or eight bits cost more than
            `largest_loss`.
    """
    version = version or next_version(models / name)
    folder = models / name / version
    _refuse_taken_or_unfit_names(folder, name, version)
    config = load_config(run / CONFIG)
    if config.network.classes != len(CLASSES):
        raise ConfigError(f"{run} tells tooth from background only; a package needs numbered teeth (classes: 33).")
    network = load_network(run, config)
    size = config.phases[-1]
    fit = fit_to(size.height, size.width)
    others = read_foreign(foreign, fit) if foreign else []
    splits = load_splits(config.data, names=("train", "val"))
    train_pictures, train_truths = prepare_truths(number_teeth(splits.train, config), size.height, size.width)
    pictures, truths = prepare_truths(number_teeth(splits.val, config), size.height, size.width)

    examples = make_examples(train_pictures, train_truths, config.augmentation, others)
    graph = ServiceGraph(
        network,
        learn_familiarity(measure_features(network, train_pictures)),
        learn_views(measure_features(network, examples.pictures), examples.views),
    )
    fp32, int8 = run / FP32, run / INT8
    write_onnx(graph, size.height, size.width, fp32)
    _check_against_pytorch(graph, fp32, pictures[:_CHECKED_PICTURES])
    range_pictures = train_pictures[:: max(1, len(train_pictures) // RANGE_PICTURES)]
    quantize(fp32, int8, range_pictures, seed=config.seed if config.frozen_statistics else None)
    predictions = _predict(int8, "int8", pictures)
    thresholds = choose_thresholds(predictions, truths)
    calibrated = calibrate(judge_teeth(predictions, truths, thresholds))
    loss = _measure_loss(_predict(fp32, "fp32", pictures), predictions, truths, thresholds)
    if not are_numbered(splits.val):
        # The numbers in these truths are the former model's, and say nothing of this one.
        loss = {key: figure for key, figure in loss.items() if not key.endswith("tooth_f1")}
    if loss["fp32_dice"] - loss["int8_dice"] > largest_loss:
        raise ExportError(
            f"Eight bits cost too much: mean Dice on the {len(pictures)} validation pictures falls from "
            f"{loss['fp32_dice']:.4f} to {loss['int8_dice']:.4f}, and a loss of {largest_loss} is allowed; train it "
            "longer, or allow more by --largest-loss, since on few pictures chance alone may cost as much."
        )

    manifest = Manifest(
        name=name,
        version=version,
        licence=provenance.licence,
        files=(_describe(int8, "int8"),),
        input=fit,
        classes=CLASSES,
        thresholds=thresholds,
        calibration=calibrated.calibration,
        known_answer=KnownAnswer(
            picture="known-answer.png", labels="known-answer-labels.png", min_agreement=_SAME_ANSWER
        ),
        training=Training(
            data=f"{provenance.data}, {LEAKS}" if config.allow_leaks else provenance.data,
            data_licence=provenance.data_licence,
            pictures=len(splits.train),
            recipe=config.name,
            begun_with=_begun_with(config),
        ),
    )
    # Made in the run's folder and moved when the service itself has run it, so that a package that is there is whole.
    made = run / "package"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    shutil.move(int8, made / INT8)
    (made / MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (made / QUANTISATION).write_text(json.dumps({**loss, "limit": largest_loss}, indent=1) + "\n", encoding="utf-8")
    (made / CALIBRATION).write_text(json.dumps(calibrated.summary(), indent=1) + "\n", encoding="utf-8")
    _write_known_answer(made, manifest)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.move(made, folder))


def next_version(packages: Path) -> str:
    """The number after the highest that a package has in a folder `models/<name>`."""
    taken = [int(folder.name) for folder in packages.glob("*") if folder.name.isdigit()]
    return str(max(taken, default=0) + 1)


def _begun_with(config: Config) -> str | None:
    if config.begin_with is None or not is_package(config.begin_with):
        return None
    manifest = read_manifest(config.begin_with)
    # Name and version alone would tell of another package once a version is replaced.
    return f"{manifest.name}/{manifest.version} sha256 {manifest.files[0].sha256[:12]}"


def _refuse_taken_or_unfit_names(folder: Path, name: str, version: str) -> None:
    for field, value in (("name", name), ("version", version)):
        try:
            TypeAdapter(Annotated[str, *Manifest.model_fields[field].metadata]).validate_python(value)
        except ValidationError as error:
            raise ExportError(f"{value!r} cannot be a package's {field}: {error.errors()[0]['msg']}.") from error
    if folder.exists():
        raise ExportError(f"{folder} is there already; what a version holds does not change, so give another version.")


def prepare_truths(samples: Sequence[Sample], height: int, width: int) -> tuple[npt.NDArray[np.uint8], list[Labels]]:
    """Pictures `(pictures, height, width)` and the FDI numbers of their pixels."""
    prepared = [prepare_sample(sample, height, width, len(CLASSES)) for sample in samples]
    numbers = np.array(CLASSES, np.uint8)
    return np.stack([pixels for pixels, _ in prepared]), [numbers[classes] for _, classes in prepared]


def _check_against_pytorch(graph: ServiceGraph, fp32: Path, pictures: npt.NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, pictures[:2].shape, np.uint8)
    both = np.concatenate([noise, pictures])
    with torch.inference_mode():
        tooth, foreground, _, distance, view, evidence = (output.numpy() for output in graph(torch.from_numpy(both)))
    predictions = _predict(fp32, "fp32", both)
    expected = np.where(foreground >= 128, tooth, 0)
    found = np.stack([np.where(prediction.foreground >= 128, prediction.tooth, 0) for prediction in predictions])
    agreement = float((expected == found).mean())
    if agreement < _SAME_LABELS:
        raise ExportError(f"{fp32} labels {agreement:.3%} of the pixels as PyTorch does; {_SAME_LABELS:.1%} must be.")
    if not np.allclose(distance, [prediction.distance for prediction in predictions], rtol=0.01):
        raise ExportError(f"{fp32} gives other distances from the training pictures than PyTorch does.")
    if not np.allclose(view, [prediction.view for prediction in predictions], atol=0.01):
        raise ExportError(f"{fp32} tells panoramics from other pictures in another way than PyTorch does.")
    apart = np.abs(evidence.astype(int) - np.stack([prediction.evidence for prediction in predictions]))
    if float((apart <= 2).mean()) < _SAME_LABELS:
        raise ExportError(f"{fp32} gives other evidence for the teeth's numbers than PyTorch does.")


def _measure_loss(
    fp32: Sequence[Prediction],
    int8: Sequence[Prediction],
    truths: Sequence[Labels],
    thresholds: Thresholds,
) -> dict[str, float]:
    """What eight bits cost on the validation pictures, both files read through `find_teeth` with the same thresholds.

    Returns:
        Of each file mean Dice over the pictures, tooth against background, and F1 of the teeth of all together.
    """
    return {
        "fp32_dice": mean_dice(fp32, truths, thresholds),
        "int8_dice": mean_dice(int8, truths, thresholds),
        "fp32_tooth_f1": agree_by_tooth(fp32, truths, thresholds).teeth.f1,
        "int8_tooth_f1": agree_by_tooth(int8, truths, thresholds).teeth.f1,
    }


def _write_known_answer(package: Path, manifest: Manifest) -> None:
    """Write a drawn radiograph and what the int8 file says of it, and let the package be loaded as the service does."""
    from training.phantom import draw_phantom

    known = manifest.known_answer
    picture = prepare(draw_phantom(_KNOWN_SEED).pixels, manifest.input).pixels
    (prediction,) = _predict(package / manifest.files[0].path, "int8", picture[np.newaxis])
    labels = find_teeth(prediction, manifest.thresholds)
    (package / known.picture).write_bytes(encode_png(picture))
    (package / known.labels).write_bytes(encode_png(labels))
    loaded = load_package(package)
    check_known_answer(loaded, open_session(loaded, "cpu"))


def _predict(onnx: Path, precision: Precision, pictures: npt.NDArray[np.uint8]) -> list[Prediction]:
    session = open_on_processor(onnx.parent, _describe(onnx, precision))
    return [session.run(picture[np.newaxis])[0] for picture in pictures]


def _describe(onnx: Path, precision: Precision) -> ModelFile:
    return ModelFile(
        path=onnx.name, sha256=file_sha256(onnx), precision=precision, providers=tuple(EXECUTION_PROVIDERS.values())
    )
