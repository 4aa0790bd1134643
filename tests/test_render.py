"""Pictures of an answer, against golden ones that were looked at. `python -m tests.test_render` draws those anew."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from service.render.draw import PALETTE, Overlay, draw_mask, draw_overlay
from service.render.encode import OverlayFormat, encode_jpeg, encode_overlay, encode_png
from service.segmentation import Box, Segmentation, Tooth

GOLDEN = Path(__file__).parent / "golden"


def draw_scene() -> tuple[np.ndarray, Segmentation]:
    """Three teeth on a grey ramp: two that touch, one of two pieces."""
    pixels = np.tile(np.linspace(20, 200, 600).astype(np.uint8), (300, 1))
    labels = np.zeros((300, 600), np.uint8)
    shapes = {
        11: [[(200, 60), (270, 60), (260, 200), (235, 240), (210, 200)]],
        21: [[(271, 60), (340, 60), (330, 200), (300, 240), (280, 200)]],
        36: [[(430, 120), (520, 110), (500, 180), (440, 180)], [(450, 200), (490, 200), (470, 250)]],
    }
    teeth = []
    for fdi, rings in shapes.items():
        polygons = tuple(np.array(ring, np.int32) for ring in rings)
        cv2.fillPoly(labels, polygons, fdi)
        mask = labels == fdi
        box = Box(*cv2.boundingRect(mask.astype(np.uint8)))
        teeth.append(Tooth(fdi, 0.9, fdi == 21, int(mask.sum()), box, polygons))
    return pixels, Segmentation(labels, tuple(teeth), ())


def pictures() -> dict[str, np.ndarray]:
    pixels, segmentation = draw_scene()
    return {
        "mask": draw_mask(segmentation, "binary"),
        "mask-fdi": draw_mask(segmentation, "fdi"),
        "overlay": draw_overlay(pixels, segmentation, 0.4).to_rgb(),
        "overlay-full": draw_overlay(pixels, segmentation, 1.0).to_rgb(),
    }


@pytest.mark.parametrize("name", ["mask", "mask-fdi", "overlay", "overlay-full"])
def test_a_picture_is_the_golden_one(name: str) -> None:
    golden = np.asarray(Image.open(GOLDEN / f"{name}.png"))
    picture = pictures()[name]
    assert picture.shape == golden.shape
    # Letters are smoothed a little differently by other versions of OpenCV.
    assert np.abs(picture.astype(int) - golden.astype(int)).mean() < 0.1


def test_without_opacity_the_overlay_is_the_radiograph() -> None:
    pixels, segmentation = draw_scene()
    assert (draw_overlay(pixels, segmentation, 0.0).to_rgb() == pixels[:, :, np.newaxis]).all()


def test_sixteen_bits_are_drawn_as_the_same_grey() -> None:
    pixels, segmentation = draw_scene()
    deep = pixels.astype(np.uint16) * 257
    of_16_bits, of_8_bits = draw_overlay(deep, segmentation, 0.4), draw_overlay(pixels, segmentation, 0.4)
    assert (of_16_bits.to_rgb() == of_8_bits.to_rgb()).all()


def test_neighbours_have_colours_that_can_be_told_apart() -> None:
    assert len(set(PALETTE.values())) == 32
    for fdi in PALETTE:
        if fdi % 10 < 8:
            assert np.abs(np.subtract(PALETTE[fdi], PALETTE[fdi + 1])).sum() > 100
    for one, other in ((11, 21), (31, 41)):
        assert np.abs(np.subtract(PALETTE[one], PALETTE[other])).sum() > 100


@pytest.mark.parametrize("name", ["mask", "mask-fdi", "overlay"])
def test_a_png_holds_every_pixel(name: str) -> None:
    picture = pictures()[name]
    assert (np.asarray(Image.open(io.BytesIO(encode_png(picture)))) == picture).all()


@given(
    picture=arrays.arrays(
        np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 70)), elements=st.sampled_from([0, 11, 48, 255])
    )
)
def test_any_mask_comes_back_from_its_png(picture: np.ndarray) -> None:
    assert (np.asarray(Image.open(io.BytesIO(encode_png(picture)))) == picture).all()


@pytest.mark.parametrize("size", [(300, 600), (299, 601), (131, 128)])
@pytest.mark.parametrize("overlay_format", ["jpeg", "png"])
def test_an_overlay_s_file_holds_the_picture_in_its_colours(
    size: tuple[int, int], overlay_format: OverlayFormat
) -> None:
    pixels, segmentation = draw_scene()
    height, width = size
    pixels, labels = (
        cv2.resize(plane, (width, height), interpolation=cv2.INTER_NEAREST) for plane in (pixels, segmentation.labels)
    )
    teeth = tuple(tooth for tooth in segmentation.teeth if tooth.bbox.x + tooth.bbox.width <= width)
    overlay = draw_overlay(pixels, Segmentation(labels, teeth, ()), 0.4)
    decoded = np.asarray(Image.open(io.BytesIO(encode_overlay(overlay, overlay_format))))
    assert decoded.shape == (height, width, 3)
    assert np.abs(decoded.astype(int) - overlay.to_rgb().astype(int)).mean() < 3


@given(st.integers(1, 70), st.integers(1, 70))
def test_an_overlay_s_file_shows_the_radiograph_whatever_its_size(height: int, width: int) -> None:
    pixels = np.random.default_rng((height, width)).integers(0, 256, (height, width), np.uint8)
    overlay = draw_overlay(pixels, Segmentation(np.zeros_like(pixels), (), ()), 0.4)
    decoded = np.asarray(Image.open(io.BytesIO(encode_overlay(overlay, "jpeg"))).convert("L"))
    assert decoded.shape == pixels.shape
    assert np.abs(decoded.astype(int) - pixels).mean() < 12
    assert (overlay.to_rgb()[..., 0] == pixels).all()


def test_planes_past_whose_ends_an_encoder_would_read_are_no_overlay() -> None:
    # TurboJPEG reads the brightness of whole squares of colour; the service once died of that.
    colour = np.full((3, 4), 128, np.uint8)
    with pytest.raises(ValueError, match="planes"):
        Overlay(np.zeros((5, 8), np.uint8), colour, colour, 5, 8)


@given(st.integers(1, 150), st.integers(1, 150))
def test_an_overlay_that_is_encoded_in_two_parts_is_the_one_encoded_whole(height: int, width: int) -> None:
    generator = np.random.default_rng((height, width))
    half = ((height + 1) // 2, (width + 1) // 2)
    luma, blue, red = (generator.integers(0, 256, shape, np.uint8) for shape in ((height, width), half, half))
    even = cv2.copyMakeBorder(luma, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    whole = simplejpeg.encode_jpeg_yuv_planes(even, blue, red, quality=90)
    decoded = Image.open(io.BytesIO(encode_overlay(Overlay(even, blue, red, height, width), "jpeg")))
    assert (np.asarray(decoded) == np.asarray(Image.open(io.BytesIO(whole)))[:height, :width]).all()


def test_an_overlay_too_large_to_be_encoded_in_two_parts_is_encoded_whole() -> None:
    height, width = 4096, 8448  # half of it has more squares than a file can count
    luma = np.tile(np.arange(256, dtype=np.uint8), (height, width // 256))
    colour = np.full((height // 2, width // 2), 128, np.uint8)
    decoded = np.asarray(Image.open(io.BytesIO(encode_overlay(Overlay(luma, colour, colour, height, width), "jpeg"))))
    assert np.abs(decoded[..., 0].astype(np.int16) - luma).max() < 40


def test_a_tooth_shines_through_in_its_colour() -> None:
    pixels, segmentation = draw_scene()
    opaque = draw_overlay(pixels, segmentation, 1.0).to_rgb()
    assert np.abs(opaque[70, 250].astype(int) - PALETTE[11]).max() <= 3


def test_a_jpeg_holds_the_picture_in_its_colours() -> None:
    picture = pictures()["overlay"]
    decoded = np.asarray(Image.open(io.BytesIO(encode_jpeg(picture))))
    assert np.abs(decoded.astype(int) - picture.astype(int)).mean() < 3


def test_on_each_tooth_stands_its_own_number() -> None:
    golden = np.asarray(Image.open(GOLDEN / "overlay.png")).astype(int)
    pixels, segmentation = draw_scene()
    picture = draw_overlay(pixels, segmentation, 0.4).to_rgb()
    for tooth in segmentation.teeth:
        x, y = tooth.bbox.x + tooth.bbox.width // 2, tooth.bbox.y + tooth.bbox.height // 2
        number = np.s_[y - 9 : y + 9, x - 13 : x + 13]
        assert np.abs(picture[number] - golden[number]).mean() < 5


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        (GOLDEN / f"{name}.png").write_bytes(encode_png(picture))
