"""The model package: a folder with ONNX files and a manifest that says all that serving needs to know of them."""

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from service.dentition.fdi import CLASSES
from service.errors import ModelPackageError
from service.model.prepare import Fit

MANIFEST = "manifest.json"

Precision = Literal["fp32", "fp16", "int8"]

Probability = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelFile(_Part):
    """One ONNX file: where it lies in the package, and which execution providers it is for, the best first."""

    path: str = Field(pattern=r"^[\w.-]+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    precision: Precision
    providers: tuple[str, ...] = Field(min_length=1)


class Thresholds(_Part):
    """What turns probabilities into teeth, and measurements into findings; chosen on the validation split.

    Attributes:
        foreground: probability from which a pixel is tooth.
        min_tooth_area: pixels of the model's input that a tooth has at least.
        min_share_of_typical_area: a tooth smaller than this share of the picture's median tooth, and touching another,
            is part of that one.
        uncertain: confidence, after calibration, below which a tooth is shown as uncertain.
        low_contrast: share of the grey scale between black and white percentile below which a picture is flat.
        few_teeth: number of teeth below which few is said.
        min_clearance: distance of the outermost tooth from the picture's side, as a share of its width or height, below
            which teeth are cut off.
        min_panoramic: probability of an upright panoramic below which the picture is none.
        min_certainty: mean probability of the tooth pixels' numbers below which the picture is none of ours.
        max_distance: distance of the network's features from the training pictures' above which it is none of ours.
        max_colourfulness: difference between colour channels above which a picture is a photograph.
    """

    foreground: float = Field(gt=0, lt=1)
    min_tooth_area: int = Field(ge=0)
    min_share_of_typical_area: float = Field(ge=0, lt=1)
    uncertain: Probability
    low_contrast: float = Field(ge=0, le=1)
    few_teeth: int = Field(ge=0, le=32)
    min_clearance: float = Field(ge=0, lt=0.5)
    min_panoramic: Probability
    min_certainty: Probability
    max_distance: float = Field(gt=0)
    max_colourfulness: float = Field(ge=0, le=1)


CalibrationMethod = Literal["none", "beta"]


class Calibration(_Part):
    """What turns the mean probability of a tooth into the probability that the tooth is right, as a table.

    A tooth is right where its own number stands there with an intersection over union of at least 0.5.

    Attributes:
        method: how it was fitted, on the validation split.
        raw: mean probabilities, rising from 0 to 1.
        confidence: what each stands for, never falling; what lies between two is read off the line between them.
    """

    method: CalibrationMethod
    raw: tuple[Probability, ...] = Field(min_length=2)
    confidence: tuple[Probability, ...]

    @model_validator(mode="after")
    def _is_a_rising_table(self) -> "Calibration":
        if len(self.raw) != len(self.confidence):
            raise ValueError("raw and confidence must be as long as each other")
        if any(low >= high for low, high in pairwise(self.raw)) or (self.raw[0], self.raw[-1]) != (0, 1):
            raise ValueError("raw must rise from 0 to 1")
        if any(low > high for low, high in pairwise(self.confidence)):
            raise ValueError("confidence must not fall")
        return self

    def probabilities(self, raw: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Mean probabilities to the probabilities that the teeth are right, both 0..1."""
        return np.asarray(np.interp(raw, self.raw, self.confidence), np.float64)


class KnownAnswer(_Part):
    """A picture of the package and the label map that the model gives for it.

    Attributes:
        picture, labels: PNG files of the model's input size; `labels` holds FDI numbers.
        min_agreement: share of pixels that must agree; processors round differently, so it is a little below 1.
    """

    picture: str = Field(pattern=r"^[\w.-]+$")
    labels: str = Field(pattern=r"^[\w.-]+$")
    min_agreement: float = Field(gt=0.5, le=1)


class Training(_Part):
    """What the model was made from.

    Attributes:
        begun_with: the package that it was trained further from, as `name/version sha256 …` with the first 12 digits of
            its first file's; packages made before have `name/version` alone.
    """

    data: str
    data_licence: str
    pictures: int
    recipe: str
    begun_with: str | None = None


class Manifest(_Part):
    """All that serving needs to know of a model.

    Attributes:
        classes: FDI numbers of the model's classes, for others who read its maps; the service takes one order alone.
        metrics: figures on the test split, as `panoseg evaluate` wrote them.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    version: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    licence: str
    files: tuple[ModelFile, ...] = Field(min_length=1)
    input: Fit
    classes: tuple[int, ...]
    thresholds: Thresholds
    calibration: Calibration
    known_answer: KnownAnswer
    training: Training
    metrics: dict[str, Any] = {}

    @field_validator("classes")
    @classmethod
    def _are_all_in_order(cls, classes: tuple[int, ...]) -> tuple[int, ...]:
        if classes != CLASSES:
            raise ValueError("they must be 0 (background) and then the 32 FDI numbers, in order")
        return classes


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model package on disk whose files are what its manifest says."""

    folder: Path
    manifest: Manifest

    def file_for(self, execution_provider: str) -> ModelFile | None:
        """The file that is for a provider; None where the package has none."""
        return next((file for file in self.manifest.files if execution_provider in file.providers), None)


def read_manifest(folder: Path) -> Manifest:
    """What a package says of itself.

    Raises:
        ModelPackageError: no manifest, or one that says something else than it should.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise ModelPackageError(f"{folder} holds no {MANIFEST}, so it is no model package.") from error
    except OSError as error:
        raise ModelPackageError(f"{folder / MANIFEST} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(map(str, fault["loc"])), fault["msg"]))) for fault in error.errors()
        )
        raise ModelPackageError(f"{folder / MANIFEST} cannot be used: {faults}.") from error


def load_package(folder: Path) -> ModelPackage:
    """Read a package's manifest and check every file's sha256.

    Raises:
        ModelPackageError: the manifest cannot be used, or a file is missing or altered.
    """
    manifest = read_manifest(folder)
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            raise ModelPackageError(f"{path} is missing; copy the whole model package.")
        try:
            sha256 = file_sha256(path)
        except OSError as error:
            raise ModelPackageError(f"{path} cannot be read: {error.strerror}.") from error
        if sha256 != file.sha256:
            raise ModelPackageError(
                f"{path} is not the file its manifest names (sha256 differs); copy the package again."
            )
    return ModelPackage(folder, manifest)


def find_packages(models: Path) -> list[Path]:
    """The folders `models/<name>/<version>` that hold a manifest, by name, the newest version first."""
    folders = (path.parent for path in models.glob(f"*/*/{MANIFEST}"))
    newest_first = sorted(folders, key=lambda folder: _by_age(folder.name), reverse=True)
    return sorted(newest_first, key=lambda folder: folder.parent.name)


def _by_age(version: str) -> tuple[Any, ...]:
    """What sorts versions, the oldest first: by their numbers, and of versions that begin alike the longer is newer.

    Letters behind the numbers mark what came before the release, as in Semantic Versioning: 1.0-rc1 is older than 1.0.
    """
    numbers, before_release = re.findall(r"(\D*[\d.-]*)(.*)", version)[0]
    words = [(word, int(number or 0)) for word, number in re.findall(r"(\D*)(\d*)", before_release)]
    return [int(number) for number in re.findall(r"\d+", numbers)], not before_release, words, version


def read_manifests(models: Path) -> tuple[list[tuple[Path, Manifest]], list[str]]:
    """The folder and manifest of each of `find_packages`, and what is wrong with those that cannot be read.

    One that is just being copied there is damaged for a while, which is no reason to be silent about the others.
    """
    packages, faults = [], []
    for folder in find_packages(models):
        try:
            manifest = read_manifest(folder)
            _refuse_misplaced(folder, manifest)
            packages.append((folder, manifest))
        except ModelPackageError as error:
            faults.append(str(error))
    return packages, faults


def choose_package(models: Path, wanted: str | None) -> ModelPackage:
    """Load the package that is wanted, as `name` or `name/version`; the first of `find_packages` where nothing is.

    Raises:
        ModelPackageError: there is no such package, or it must not be served.
    """
    folders = find_packages(models)
    if not folders:
        raise lack_of_packages(models)
    for folder in folders:
        if wanted in (None, folder.parent.name, f"{folder.parent.name}/{folder.name}"):
            package = load_package(folder)
            _refuse_misplaced(folder, package.manifest)
            return package
    known = ", ".join(f"{folder.parent.name}/{folder.name}" for folder in folders)
    raise ModelPackageError(f"There is no model {wanted} in {models}; there is {known}.")


def lack_of_packages(models: Path) -> ModelPackageError:
    """The error for a folder in which `find_packages` finds none: it cannot be looked into, or there is none in it."""
    try:
        for folder in (models, *models.iterdir()):
            if folder.is_dir():
                next(folder.iterdir(), None)
    except FileNotFoundError:
        pass
    except OSError as error:
        return ModelPackageError(f"{error.filename} cannot be read: {error.strerror}.")
    return ModelPackageError(f"{models} holds no model package (a folder <name>/<version> with a {MANIFEST}).")


def _refuse_misplaced(folder: Path, manifest: Manifest) -> None:
    """Refuse a package in a folder of another name or version, by which nobody could ask for it or tell what ran."""
    if (folder.parent.name, folder.name) != (manifest.name, manifest.version):
        raise ModelPackageError(
            f"{folder} holds {manifest.name}/{manifest.version} by its {MANIFEST}; name the folders so."
        )


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
