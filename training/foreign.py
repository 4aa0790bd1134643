"""Pictures that are no panoramics, for the view to be fitted on: drawn, cut from panoramics, and read from a folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from service.errors import RequestError
from service.model.prepare import Fit, prepare
from service.radiograph import Limits, decode
from training.data import DataError
from training.pixels import Picture

_HEIGHT, _WIDTH = 256, 512
"""Of a drawing, in pixels."""


def draw_foreign(seed: int) -> Picture:
    """Draw noise, clouds, stripes, shapes, a page of text, or spots; the same seed gives the same picture.

    Returns:
        `(height, width)` `uint8`.
    """
    generator = np.random.default_rng(seed)
    drawn = _DRAWINGS[seed % len(_DRAWINGS)](generator)
    return np.asarray(255 - drawn if generator.random() < 0.3 else drawn, np.uint8)


def cut_out(pixels: Picture, generator: np.random.Generator) -> Picture:
    """A few teeth of a panoramic, as an intra-oral picture shows them; of the same size as `pixels`."""
    height, width = pixels.shape
    across, down = int(generator.uniform(0.12, 0.28) * width), int(generator.uniform(0.25, 0.5) * height)
    x = int(generator.uniform(0.15, 0.85) * (width - across))
    y = int(generator.uniform(0.3, 0.7) * (height - down))
    return np.asarray(cv2.resize(pixels[y : y + down, x : x + across], (width, height)), np.uint8)


def vary(pixels: Picture, generator: np.random.Generator) -> Picture:
    """A part of a picture, turned by quarters or mirrored, of the same size: another picture of the same kind."""
    height, width = pixels.shape
    across, down = (int(generator.uniform(0.4, 1) * side) for side in (width, height))
    x, y = int(generator.integers(0, width - across + 1)), int(generator.integers(0, height - down + 1))
    part = np.rot90(pixels[y : y + down, x : x + across], int(generator.integers(0, 4)))
    if generator.random() < 0.5:
        part = part[:, ::-1]
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def read_foreign(folder: Path, fit: Fit) -> list[Picture]:
    """The pictures of a folder and of those in it, prepared, `(height, width)` `uint8`; what is none is passed over.

    Raises:
        DataError: there are none.
    """
    pictures = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            pictures.append(prepare(decode(path.read_bytes(), Limits(min_side=32)).pixels, fit).pixels)
        except RequestError:
            continue
    if not pictures:
        raise DataError(
            f"{folder} {'holds no picture' if folder.is_dir() else 'is no folder'}; name one of pictures that are no "
            "panoramics, such as `panoseg gather` fills."
        )
    return pictures


def _noise(generator: np.random.Generator) -> Picture:
    grain = 2 ** int(generator.integers(0, 5))
    small = generator.integers(0, 256, (_HEIGHT // grain, _WIDTH // grain), np.uint8)
    return np.asarray(cv2.resize(small, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)


def _clouds(generator: np.random.Generator) -> Picture:
    """Noise whose strength falls with its frequency, as in photographs (Field 1987)."""
    frequency = np.hypot(np.fft.fftfreq(_HEIGHT)[:, None], np.fft.fftfreq(_WIDTH)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.fft2(generator.standard_normal((_HEIGHT, _WIDTH))) / frequency ** generator.uniform(0.7, 1.8)
    return _scale(np.fft.ifft2(spectrum).real)


def _stripes(generator: np.random.Generator) -> Picture:
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    turn, period = generator.uniform(0, np.pi), generator.uniform(6, 120)
    along = np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / period)
    return _scale(np.sign(along) if generator.random() < 0.5 else along)


def _ramp(generator: np.random.Generator) -> Picture:
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    centre, turn = generator.uniform(0, 1, 2) * (_HEIGHT, _WIDTH), generator.uniform(0, 2 * np.pi)
    if generator.random() < 0.5:
        return _scale(np.hypot(y - centre[0], x - centre[1]))
    return _scale(x * np.cos(turn) + y * np.sin(turn))


def _shapes(generator: np.random.Generator) -> Picture:
    drawn = np.full((_HEIGHT, _WIDTH), int(generator.integers(0, 256)), np.uint8)
    for _ in range(int(generator.integers(1, 25))):
        x, y = int(generator.integers(0, _WIDTH)), int(generator.integers(0, _HEIGHT))
        grey, size = int(generator.integers(0, 256)), int(generator.integers(8, 90))
        if generator.random() < 0.5:
            cv2.ellipse(drawn, (x, y), (size, size // 2 + 1), float(generator.uniform(0, 180)), 0, 360, grey, -1)
        else:
            cv2.rectangle(drawn, (x, y), (x + size, y + size), grey, -1 if generator.random() < 0.7 else 3)
    return _soften(drawn, generator)


def _text(generator: np.random.Generator) -> Picture:
    drawn = np.full((_HEIGHT, _WIDTH), 255, np.uint8)
    size = float(generator.uniform(0.3, 1.2))
    for line in range(int(40 * size), _HEIGHT, int(32 * size) + 4):
        words = "".join(map(chr, generator.integers(97, 123, int(generator.integers(3, 50)))))
        cv2.putText(drawn, words.replace("e", " "), (12, line), cv2.FONT_HERSHEY_SIMPLEX, size, 0, 1, cv2.LINE_AA)
    return _soften(drawn, generator)


def _spots(generator: np.random.Generator) -> Picture:
    """Light bodies on black, as slices through a patient look."""
    drawn = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    for grey in generator.integers(40, 256, int(generator.integers(1, 8))):
        centre = (int(generator.integers(60, _WIDTH - 60)), int(generator.integers(40, _HEIGHT - 40)))
        axes = (int(generator.integers(10, 160)), int(generator.integers(10, 120)))
        cv2.ellipse(drawn, centre, axes, float(generator.uniform(0, 180)), 0, 360, int(grey), -1)
    return _soften(drawn, generator)


def _blank(generator: np.random.Generator) -> Picture:
    drawn = np.zeros((_HEIGHT, _WIDTH), np.uint8)
    if generator.random() < 0.7:
        drawn[generator.random(drawn.shape) < generator.uniform(0, 0.01)] = 255
    return drawn


def _soften(drawn: Picture, generator: np.random.Generator) -> Picture:
    blurred = cv2.GaussianBlur(drawn, (0, 0), float(generator.uniform(0.5, 8)))
    noise = generator.standard_normal(drawn.shape) * generator.uniform(0, 12)
    return np.asarray(np.clip(blurred + noise, 0, 255).astype(np.uint8))


def _scale(values: npt.NDArray[np.float64]) -> Picture:
    low, high = float(values.min()), float(values.max())
    return np.asarray(np.rint((values - low) * 255 / max(high - low, 1e-9)).astype(np.uint8))


_DRAWINGS: Final[Sequence[Callable[[np.random.Generator], Picture]]] = (
    _noise,
    _clouds,
    _stripes,
    _ramp,
    _shapes,
    _text,
    _spots,
    _blank,
)
