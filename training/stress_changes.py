"""What may have happened to a radiograph before it reaches the service, as changes of picture and truth alike."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from training.augment import squeeze_middle
from training.pixels import Labels, Picture

Change = Callable[[Picture, Labels], tuple[bytes, Labels]]

_SQUEEZED_FROM: Final = (1127, 1991)
"""Height and width of the radiographs that the published 512 x 512 pictures were squeezed from."""

_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Stress:
    """One change, and what is asked of the answer to it.

    Attributes:
        name: for `metrics.json`.
        meaning: for people.
        change: a picture, `(height, width)` `uint8`, and its truth to the bytes of a file and the truth for them.
        largest_loss: of mean Dice, over the pictures on which nothing but `not-a-panoramic` is found that was not found
            before.
        finding: what must be found, if anything, on 95 % of the pictures; the loss is then held for all of them.
    """

    name: str
    meaning: str
    change: Change
    largest_loss: float = 0.03
    finding: str | None = None


def png(picture: npt.NDArray[np.generic]) -> bytes:
    """A picture as the bytes of a PNG file."""
    return cv2.imencode(".png", np.ascontiguousarray(picture))[1].tobytes()


def _unchanged(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    return png(picture), labels


def _gamma(exponent: float, picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    return png(_to_bytes((picture / 255.0) ** exponent * 255)), labels


def _quarter_contrast(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    return png(_to_bytes(128 + (picture - 128.0) / 4)), labels


def _noise(sigma: float, picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    grain = np.random.default_rng(_SEED).normal(0, sigma, picture.shape)
    return png(_to_bytes(picture + grain)), labels


def _blur(sigma: float, picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    """Sigma in pixels of a picture that is 512 pixels wide."""
    return png(cv2.GaussianBlur(picture, (0, 0), sigma * picture.shape[1] / 512)), labels


def _jpeg(quality: int, picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes(), labels


def _twelve_bits(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    return png(picture.astype(np.uint16) << 4), labels


def _crop(share: float, picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    height, width = picture.shape
    down, across = round(share * height), round(share * width)
    inside = np.s_[down : height - down, across : width - across]
    return png(picture[inside]), np.ascontiguousarray(labels[inside])


def _resize(width: int, picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    """A squeezed picture gets its true shape back."""
    high, wide = _true_shape(picture)
    size = (width, round(width * high / wide))
    shrinks = width < picture.shape[1]
    resized = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return png(resized), np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)


def _frame(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    down, across = round(0.08 * picture.shape[0]), round(0.08 * picture.shape[1])
    rim = ((down, down), (across, across))
    return png(np.pad(picture, rim, constant_values=255)), np.pad(labels, rim)


def _written_frame(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    """A black frame that holds a name and the marks of the patient's sides, as capture software exports it."""
    height, width = picture.shape
    down, across = round(0.25 * height), round(0.25 * width)
    rim = ((down, down), (across, across))
    framed = np.ascontiguousarray(np.pad(picture, rim))
    size = width / 700
    for text, x, y in (
        ("DOE, JANE  1970-01-01  70 kV 10 mA", 0.02, 0.06),
        ("R", 0.02, 0.5),
        ("L", 0.94, 0.5),
    ):
        corner = (round(x * framed.shape[1]), round(y * framed.shape[0]))
        cv2.putText(framed, text, corner, cv2.FONT_HERSHEY_SIMPLEX, size, 255, max(1, round(2 * size)))
    return png(framed), np.pad(labels, rim)


def _viewer(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    """A screenshot of the program that shows it: a title, buttons, a list of pictures, and black around the picture."""
    screen = np.full((1080, 1920), 45, np.uint8)
    screen[:34], screen[90:1040, 230:1910] = 120, 0
    for button in range(18):
        cv2.rectangle(screen, (10 + 50 * button, 42), (48 + 50 * button, 80), 40 + 53 * button % 190, cv2.FILLED)
    for line in range(14):
        cv2.putText(screen, f"Image {line + 1}", (10, 120 + 60 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220)
    shown = np.zeros_like(screen)
    high, wide = _true_shape(picture)
    size = (1200, min(850, round(1200 * high / wide)))
    top = 565 - size[1] // 2
    area = np.s_[top : top + size[1], 470 : 470 + size[0]]
    screen[area] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    shown[area] = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
    return png(screen), shown


def _photograph(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    """A screen taken with a phone: warm light, corners a third darker, a JPEG."""
    height, width = picture.shape
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = 1 - (down**2 + across**2) / 6
    blue_green_red = np.array([0.82, 0.93, 1.0])
    photograph = _to_bytes(picture[..., None] * light[..., None] * blue_green_red)
    return cv2.imencode(".jpg", photograph, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes(), labels


def _negative(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    return png(255 - picture), labels


def _rotate(degrees: float, picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    """About the middle, as the patient's head tilts: a squeezed picture is turned in its true shape."""
    height, width = picture.shape
    high, wide = _true_shape(picture)
    turn = np.eye(3)
    turn[:2] = cv2.getRotationMatrix2D(((wide - 1) / 2, (high - 1) / 2), degrees, 1.0)
    stretch = np.array(
        [[wide / width, 0, (wide / width - 1) / 2], [0, high / height, (high / height - 1) / 2], [0, 0, 1]]
    )
    matrix = (np.linalg.inv(stretch) @ turn @ stretch)[:2]
    turned = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)
    moved = cv2.warpAffine(labels, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return png(turned), np.asarray(moved, np.uint8)


def _ramp(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    return png(_to_bytes(picture * np.linspace(0.5, 1.4, picture.shape[1]))), labels


def _wide(picture: Picture, labels: Labels) -> tuple[bytes, Labels]:
    """Jaws of two thirds of their width and four fifths of their height, as machines with a wide field show them."""
    height, width = picture.shape
    across = squeeze_middle(np.arange(width, dtype=np.float32), width, 0.5)
    down = squeeze_middle(np.arange(height, dtype=np.float32), height, 0.25)
    places = [np.ascontiguousarray(of_one) for of_one in np.meshgrid(across, down)]
    squeezed = cv2.remap(picture, places[0], places[1], cv2.INTER_LINEAR)
    return png(squeezed), np.asarray(cv2.remap(labels, places[0], places[1], cv2.INTER_NEAREST), np.uint8)


def _true_shape(picture: Picture) -> tuple[int, int]:
    """Height and width of the radiograph that a square picture was squeezed from; of any other, its own."""
    height, width = picture.shape
    return _SQUEEZED_FROM if height == width else (height, width)


def _to_bytes(values: npt.NDArray[np.float64]) -> Picture:
    return np.rint(values).clip(0, 255).astype(np.uint8)


UNCHANGED: Final = Stress("unchanged", "as it is", _unchanged)

STRESSES: Final = (
    Stress("gamma-0.5", "gamma 0.5, much too bright", partial(_gamma, 0.5)),
    Stress("gamma-2", "gamma 2, much too dark", partial(_gamma, 2.0)),
    Stress("contrast-quarter", "a quarter of its contrast", _quarter_contrast, largest_loss=0.02),
    Stress("noise-20", "noise, sigma 20 of 255", partial(_noise, 20.0)),
    Stress("blur-2", "blur, sigma 2 px at 512 px", partial(_blur, 2.0)),
    Stress("jpeg-20", "JPEG, quality 20", partial(_jpeg, 20)),
    Stress("12-in-16", "12 bits in 16", _twelve_bits),
    Stress("crop-7.5", "7.5 % cut off on each side", partial(_crop, 0.075)),
    Stress("width-512", "resized to 512 px wide", partial(_resize, 512)),
    Stress("width-1024", "resized to 1024 px wide", partial(_resize, 1024)),
    Stress("width-3000", "resized to 3000 px wide", partial(_resize, 3000)),
    Stress("white-frame", "white frame, 8 % on each side", _frame),
    Stress("written-frame", "black frame, 25 % on each side, with a name and marks", _written_frame),
    Stress("viewer", "screenshot of a viewer's window", _viewer),
    Stress("photograph", "phone picture of a screen, warm", _photograph),
    Stress("negative", "negative", _negative, finding="inverted"),
    Stress("rotation-3", "turned by 3 degrees", partial(_rotate, 3.0)),
    Stress("rotation-5", "turned by 5 degrees", partial(_rotate, 5.0)),
    Stress("ramp", "half as bright on the left, 1.4 times on the right", _ramp),
    Stress("wide-field", "a wide field: the jaws two thirds as wide, four fifths as high", _wide),
)
"""The known changes."""
