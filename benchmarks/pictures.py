"""What the benchmarks send: full-size panoramics as PNG, JPEG and 16-bit PNG, and a mixture of sizes.

Where the radiographs are not there, drawn ones of the same size stand in for them.
"""

from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from training.phantom import draw_phantom

FULL_SIZE: Final = Path(__file__).resolve().parents[2] / "shared" / "data" / "panoramic-fullsize"

FORMATS: Final = ("png", "jpeg", "png16")

Format = Literal["png", "jpeg", "png16"]


def full_size_pictures() -> dict[str, bytes]:
    """The full-size panoramics by name, as their files have them."""
    paths = sorted(FULL_SIZE.glob("*.png"))
    if paths:
        return {path.name: path.read_bytes() for path in paths}
    return {f"phantom-{seed}.png": _encode(draw_phantom(seed, 1435, 2943).pixels, "png") for seed in range(4)}


def as_format(picture: bytes, kind: Format) -> bytes:
    """The same picture in another format.

    As 16-bit PNG it has 12 bits that count, as a sensor's has, the lowest four of them noise.
    """
    if kind == "png":
        return picture
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    if kind == "jpeg":
        return _encode(pixels, "jpeg")
    noise = np.random.default_rng(0).integers(0, 16, pixels.shape, np.uint16)
    return _encode((pixels.astype(np.uint16) << 4 | noise) << 4, "png")


def mixed_sizes(pictures: list[bytes]) -> list[bytes]:
    """The pictures in all formats, and at sides of a half and a quarter."""
    mixed = [as_format(picture, kind) for picture in pictures[:3] for kind in FORMATS]
    for picture in pictures[:4]:
        pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_GRAYSCALE)
        assert pixels is not None
        for scale in (0.5, 0.25):
            small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            mixed += [_encode(small, "png"), _encode(small, "jpeg")]
    return mixed


def _encode(pixels: npt.NDArray[np.generic], extension: str) -> bytes:
    return cv2.imencode(f".{extension}", pixels)[1].tobytes()
