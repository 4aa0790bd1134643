"""The same radiograph gives the same pixels, whatever file it comes in."""

import io
import logging
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_windowing, convert_color_space
from pydicom.uid import (
    JPEG2000,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from service.radiograph import Limits, decode
from tests.encoders import (
    bmp_of_four_channels,
    dicom,
    exif,
    png_chunk,
    png_of_filtered_rows,
    png_of_samples,
    tiff_of_samples,
    white_is_zero,
    with_pillow,
)

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
COLOUR_MAP, EXTRA_SAMPLES = 320, 338
ANY_SIZE = Limits(min_side=1)
LOSSLESS_SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
)


def picture(bits=8, height=60, width=84):
    """A smooth picture that uses its whole range."""
    noise = np.random.default_rng(7).random((height, width)).astype(np.float32)
    smooth = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, (1 << bits) - 1, cv2.NORM_MINMAX)
    return np.rint(smooth).astype(np.uint8 if bits <= 8 else np.uint16)


def spread(pixels):
    """What is promised of values deeper than 8 bits: lowest at 0, highest at 65535, evenly between."""
    values = pixels.astype(np.float64) - pixels.min()
    return np.rint(values * (65535 / max(values.max(), 1e-9))).astype(np.uint16)


def pixels_of(data):
    return decode(data, ANY_SIZE).pixels


def colours(grey):
    return np.stack([grey, grey, grey], axis=-1)


def pictures(dtype):
    sides = st.integers(1, 20)
    return arrays.arrays(dtype, st.tuples(sides, sides))


LOSSLESS_8_BIT = {
    "png": lambda pixels: with_pillow(pixels, "PNG"),
    "png as RGB": lambda pixels: with_pillow(colours(pixels), "PNG"),
    "png with opaque alpha": lambda pixels: png_of_samples(np.stack([pixels, np.full_like(pixels, 255)], -1), 4),
    "tiff": lambda pixels: with_pillow(pixels, "TIFF"),
    "tiff lzw": lambda pixels: with_pillow(pixels, "TIFF", compression="tiff_lzw"),
    "tiff deflate": lambda pixels: with_pillow(pixels, "TIFF", compression="tiff_adobe_deflate"),
    "tiff packbits": lambda pixels: with_pillow(pixels, "TIFF", compression="packbits"),
    "tiff as RGB": lambda pixels: with_pillow(colours(pixels), "TIFF", compression="tiff_lzw"),
    "tiff white is zero": lambda pixels: white_is_zero(with_pillow(255 - pixels, "TIFF")),
    "bmp": lambda pixels: with_pillow(pixels, "BMP"),
    "bmp as RGB": lambda pixels: with_pillow(colours(pixels), "BMP"),
    "dicom": dicom,
    "dicom rle": lambda pixels: dicom(pixels, syntax=RLELossless),
    "dicom as RGB": lambda pixels: dicom(colours(pixels)),
    "dicom as RGB rle": lambda pixels: dicom(colours(pixels), syntax=RLELossless),
    "dicom white is zero": lambda pixels: dicom(255 - pixels, PhotometricInterpretation="MONOCHROME1"),
    "dicom signed": lambda pixels: dicom((pixels.astype(np.int16) - 128).astype(np.int8)),
}

LOSSLESS_16_BIT = {
    "png": lambda pixels: png_of_samples(pixels, 0),
    "png as RGB": lambda pixels: png_of_samples(colours(pixels), 2),
    "tiff": lambda pixels: with_pillow(pixels, "TIFF"),
    "tiff lzw": lambda pixels: with_pillow(pixels, "TIFF", compression="tiff_lzw"),
    "tiff as RGB": lambda pixels: cv2.imencode(".tiff", colours(pixels))[1].tobytes(),
    "tiff white is zero": lambda pixels: white_is_zero(with_pillow(~pixels, "TIFF")),
    "dicom": dicom,
    "dicom rle": lambda pixels: dicom(pixels, syntax=RLELossless),
    "dicom white is zero": lambda pixels: dicom(~pixels, PhotometricInterpretation="MONOCHROME1"),
    "dicom signed": lambda pixels: dicom((pixels.astype(np.int32) - 32768).astype(np.int16)),
    "dicom rescaled": lambda pixels: dicom(pixels, RescaleSlope=0.5, RescaleIntercept=-1000),
}


@pytest.mark.parametrize("container", LOSSLESS_8_BIT)
@settings(max_examples=25, deadline=None)
@given(pixels=pictures(np.uint8))
def test_eight_bit_pixels_come_back_unchanged_from_every_lossless_container(container, pixels):
    decoded = pixels_of(LOSSLESS_8_BIT[container](pixels))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize("container", LOSSLESS_16_BIT)
@settings(max_examples=25, deadline=None)
@given(pixels=pictures(np.uint16))
def test_sixteen_bit_pixels_come_back_spread_from_every_lossless_container(container, pixels):
    decoded = pixels_of(LOSSLESS_16_BIT[container](pixels))
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded, spread(pixels))


@pytest.mark.parametrize("syntax", LOSSLESS_SYNTAXES, ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_every_lossless_transfer_syntax_gives_the_same_pixels(syntax, bits):
    pixels = picture(bits)
    radiograph = decode(dicom(pixels, bits=bits, syntax=syntax), ANY_SIZE)
    assert np.array_equal(radiograph.pixels, pixels if bits == 8 else spread(pixels))
    assert (radiograph.format, radiograph.bits_stored) == ("dicom", bits)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_gives_nearly_the_same_pixels_in_every_mode(mode, progressive):
    pixels = picture()
    data = with_pillow(Image.fromarray(pixels).convert(mode), "JPEG", quality=95, progressive=progressive)
    radiograph = decode(data, ANY_SIZE)
    assert np.abs(radiograph.pixels.astype(int) - pixels).max() <= 6
    assert radiograph.colourfulness == 0


@pytest.mark.parametrize("samples", ["grey", "colour"])
def test_a_jpeg_in_dicom_gives_nearly_the_same_pixels(samples):
    pixels = picture()
    if samples == "grey":
        data = dicom(pixels, syntax=JPEGBaseline8Bit)
    else:
        data = dicom(colours(pixels), syntax=JPEGBaseline8Bit, PhotometricInterpretation="YBR_FULL_422")
    assert np.abs(pixels_of(data).astype(int) - pixels).max() <= 6


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLosslessSV1, ExplicitVRLittleEndian], ids=lambda syntax: syntax.name
)
def test_colours_that_are_converted_in_bands_are_those_of_the_whole_picture(syntax):
    stored = np.random.default_rng(5).integers(0, 256, (200, 150, 3)).astype(np.uint8)
    rgb = convert_color_space(stored, "YBR_FULL", "RGB")
    converted = decode(dicom(stored, syntax=syntax, PhotometricInterpretation="YBR_FULL"), ANY_SIZE)
    assert np.array_equal(converted.pixels, pixels_of(dicom(rgb)))
    assert converted.colourfulness == decode(dicom(rgb), ANY_SIZE).colourfulness


@pytest.mark.parametrize("container", ["JPEG", "PNG", "TIFF", "TIFF of 16-bit colour"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_picture_stands_as_its_orientation_says(container, orientation):
    upright = np.zeros((32, 48), np.uint8)
    upright[:16, :16] = 255
    upright[16:, 32:] = 128
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
    stored = Image.fromarray(upright)
    if orientation > 1:
        stored = stored.transpose(Image.Transpose(turns[undo[orientation]]))
    if container == "TIFF of 16-bit colour":
        deep = colours(np.asarray(stored)).astype(np.uint16) * 257
        decoded = pixels_of(tiff_of_samples(deep, RGB, tags={274: orientation})) / 257
    else:
        tag = {"tiffinfo": {274: orientation}} if container == "TIFF" else {"exif": exif(orientation)}
        decoded = pixels_of(with_pillow(stored, container, **tag))
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).max() <= 3


def test_a_broken_exif_block_leaves_the_picture_as_it_is():
    pixels = picture()
    data = png_of_samples(pixels, 0, extra=png_chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"))
    assert np.array_equal(pixels_of(data), pixels)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_grey_picture_stored_as_rgb_gives_exactly_its_grey_values(bits):
    ramp = np.arange(1 << bits).astype(np.uint8 if bits == 8 else np.uint16).reshape(1 << bits // 2, -1)
    radiograph = decode(png_of_samples(colours(ramp), 2), ANY_SIZE)
    assert np.array_equal(radiograph.pixels, ramp)
    assert radiograph.colourfulness == 0


def test_colourfulness_is_the_mean_spread_of_channels_that_are_alike_on_the_whole():
    pixels = np.zeros((48, 48, 3), np.uint8)
    pixels[:16], pixels[16:32], pixels[32:] = (120, 0, 0), (0, 120, 0), (0, 0, 120)
    share = pytest.approx(120 / 255, abs=1e-6)
    assert decode(with_pillow(pixels, "PNG"), ANY_SIZE).colourfulness == share
    assert decode(dicom(pixels), ANY_SIZE).colourfulness == share
    assert decode(with_pillow(pixels, "JPEG", quality=95), ANY_SIZE).colourfulness == pytest.approx(120 / 255, abs=0.05)


def test_a_tint_all_over_is_no_colour():
    """As film on a light box and a photo of a monitor have."""
    ramp = np.tile(np.arange(200, dtype=np.float32), (60, 1))
    pixels = np.rint(ramp[..., np.newaxis] * np.array([1.0, 0.85, 0.65], np.float32)).astype(np.uint8)
    assert decode(with_pillow(pixels, "PNG"), ANY_SIZE).colourfulness < 0.005


@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_is_composed_over_black(bits):
    full = (1 << bits) - 1
    dtype = np.uint8 if bits == 8 else np.uint16
    grey_and_alpha = np.array([[[full, full], [full, full // 2 + 1], [full, 0]]], dtype)
    decoded = pixels_of(png_of_samples(grey_and_alpha, 4))
    assert decoded.tolist() == [[full, full // 2 + 1, 0]]


@pytest.mark.parametrize("kind", [0, 1, 2, None], ids=["unspecified", "multiplied already", "alpha", "not told"])
def test_a_fourth_sample_of_deep_colour_is_alpha_where_the_tiff_says_so(kind):
    grey = np.tile(np.arange(0, 65_536, 5, dtype=np.uint16), (4, 1))
    opaque = np.arange(grey.shape[1]) % 3 != 1
    samples = np.dstack([grey, grey, grey, np.where(opaque, 65_535, np.zeros_like(grey))])
    data = tiff_of_samples(samples, RGB, tags={} if kind is None else {EXTRA_SAMPLES: kind})
    assert np.array_equal(pixels_of(data), grey * opaque if kind == 2 else grey)


@pytest.mark.parametrize(("alpha", "opacity"), [(255, 1), (51, 0.2), (0, 1)])
def test_an_alpha_that_a_bmp_declares_and_never_fills_is_none(alpha, opacity):
    grey = np.tile(np.arange(0, 255, 5, dtype=np.uint8), (40, 1))
    assert np.array_equal(pixels_of(bmp_of_four_channels(grey, alpha)), np.rint(grey * opacity))


@pytest.mark.parametrize("full", [255, 65535], ids=["8 bits", "16 bits"])
def test_the_colours_of_a_tiff_s_palette_may_be_of_8_bits(full):
    pixels = picture()
    inverted = np.tile(np.arange(255, -1, -1) * (full // 255), 3)
    data = tiff_of_samples(255 - pixels, PALETTE, tags={COLOUR_MAP: inverted.tolist()})
    assert np.array_equal(pixels_of(data), pixels)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_bits_spans_the_eight_bit_range(bits):
    levels = 1 << bits
    ramp = np.tile(np.arange(levels, dtype=np.uint8), (4, 4))
    grey = Image.fromarray(np.rint(ramp * (255 / (levels - 1))).astype(np.uint8))
    palette = grey.quantize(levels)
    assert np.array_equal(pixels_of(with_pillow(palette, "PNG", bits=bits)), np.asarray(grey))
    if bits == 1:
        radiograph = decode(with_pillow(grey.convert("1"), "PNG"), ANY_SIZE)
        assert np.array_equal(radiograph.pixels, np.asarray(grey))
        assert radiograph.bits_stored == 1


def test_a_window_shows_what_lies_in_it_and_clips_the_rest():
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    decoded = pixels_of(dicom(pixels, bits=12, WindowCenter=2048, WindowWidth=1024)).ravel()
    assert decoded[:1536].max() == 0
    assert decoded[2560:].min() == 65535
    assert np.all(np.diff(decoded[1536:2559].astype(int)) > 0)


@pytest.mark.parametrize("pixels", [picture(8), picture(12)], ids=["8 bits", "12 bits"])
def test_a_window_as_wide_as_the_range_changes_nothing(pixels):
    bits = 8 if pixels.dtype == np.uint8 else 12
    windowed = dicom(pixels, bits=bits, WindowCenter=1 << (bits - 1), WindowWidth=1 << bits)
    assert np.array_equal(pixels_of(windowed), pixels_of(dicom(pixels, bits=bits)))


@pytest.mark.parametrize("window", [(100, 0), (100, -5), (1e6, 10)])
def test_a_window_that_shows_nothing_is_as_good_as_none(window):
    pixels = picture()
    assert np.array_equal(pixels_of(dicom(pixels, WindowCenter=window[0], WindowWidth=window[1])), pixels)


def test_a_voi_look_up_table_is_applied():
    pixels = picture()
    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTData = np.arange(65280, -1, -256).astype("<u2").tobytes()
    assert np.array_equal(pixels_of(dicom(pixels, VOILUTSequence=[table])), 255 - pixels)


def look_up_table(entries, depth, first=0):
    """A table of a DICOM file; entries given as bytes are packed two to a word."""
    table = Dataset()
    count = len(entries) if isinstance(entries, bytes) else entries.size
    table.add_new("LUTDescriptor", "SS" if first < 0 else "US", [count, first, depth])
    table.add_new("LUTData", "OW", entries if isinstance(entries, bytes) else entries.astype("<u2").tobytes())
    return [table]


@pytest.mark.parametrize("keyword", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize("depth", [8, 12, 16])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda syntax: syntax.name)
def test_a_table_is_looked_up_by_all_the_grey_values_however_few_its_own_are(keyword, depth, syntax):
    pixels = picture(12)
    entries = np.arange(4095, -1, -1) * ((1 << depth) - 1) // 4095
    data = dicom(pixels, bits=12, syntax=syntax, **{keyword: look_up_table(entries, depth)})
    assert np.array_equal(pixels_of(data), spread(entries[pixels]))


def test_a_table_may_be_packed_and_may_begin_below_zero():
    pixels, entries = picture(12), np.arange(4095, -1, -1) >> 4
    packed = dicom(pixels, bits=12, VOILUTSequence=look_up_table(entries.astype(np.uint8).tobytes(), 8))
    assert np.array_equal(pixels_of(packed), spread(entries[pixels]))
    signed = (pixels.astype(np.int32) - 2048).astype(np.int16)
    below_zero = dicom(signed, bits=12, VOILUTSequence=look_up_table(entries, 8, first=-2048))
    assert np.array_equal(pixels_of(below_zero), spread(entries[pixels]))


@pytest.mark.parametrize(
    "attributes",
    [
        {"RescaleSlope": 0, "RescaleIntercept": 0},
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": 1, "RescaleIntercept": ""},
        {"ModalityLUTSequence": []},
        {"ModalityLUTSequence": [Dataset()]},
        {"ModalityLUTSequence": look_up_table(bytes(1), 16)},
        {"VOILUTSequence": [Dataset()]},
        {"VOILUTFunction": ""},
        {"VOILUTFunction": "CUBIC"},
        {"HighBit": ""},
    ],
    ids=", ".join,
)
def test_what_a_broken_attribute_says_of_grey_values_is_passed_over_and_the_window_still_counts(attributes):
    window = {"WindowCenter": 2048, "WindowWidth": 1024}
    windowed = pixels_of(dicom(picture(12), bits=12, **window))
    assert np.array_equal(pixels_of(dicom(picture(12), bits=12, **window, **attributes)), windowed)


def test_a_window_does_not_turn_back_what_a_negative_slope_has_turned():
    pixels = picture(12)
    slope = {"RescaleSlope": -1, "RescaleIntercept": 4095}
    window = {"WindowCenter": 2048, "WindowWidth": 1024}
    turned = pixels_of(dicom(pixels, bits=12, **slope, **window))
    assert np.array_equal(turned, pixels_of(dicom(4095 - pixels, bits=12, **window)))


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_are_those_of_pydicom(function):
    pixels = picture(12)
    data = dicom(pixels, bits=12, WindowCenter=[2000, 1], WindowWidth=[1000, 1], VOILUTFunction=function)
    assert np.array_equal(pixels_of(data), spread(apply_windowing(pixels, dcmread(io.BytesIO(data)))))


@pytest.mark.parametrize("padding", [65535, -32768], ids=["unsigned", "signed"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda syntax: syntax.name)
def test_padding_beside_a_picture_does_not_take_its_range_of_grey_values(padding, syntax):
    content = picture(12)
    kind = np.uint16 if padding > 0 else np.int16
    padded = np.pad(content.astype(kind), 10, constant_values=padding)
    data = dicom(padded, syntax=syntax, PixelPaddingValue=padding)
    assert np.array_equal(pixels_of(data)[10:-10, 10:-10], spread(content))


def test_a_picture_of_nothing_but_padding_is_black():
    assert not pixels_of(dicom(np.full((60, 84), 7, np.uint16), PixelPaddingValue=7)).any()


def test_overlays_in_the_bits_above_are_not_part_of_the_picture():
    pixels = picture(12)
    assert np.array_equal(pixels_of(dicom(pixels | 0xF000, bits=12)), spread(pixels))


def test_what_lossy_compression_shoots_over_white_stays_white():
    pixels = (picture(12) > 2048) * np.uint16(4095)
    options = {"irreversible": True, "quality_mode": "rates", "quality_layers": [40]}
    stream = with_pillow(pixels, "JPEG2000", no_jp2=True, **options)
    assert np.asarray(Image.open(io.BytesIO(stream))).max() > 4095
    decoded = pixels_of(dicom(pixels, bits=12, syntax=JPEG2000, stream=stream))
    # The middle of what is white, away from its blurred edge.
    white = cv2.erode((pixels > 0).astype(np.uint8), np.ones((9, 9))) > 0
    assert white.any()
    assert decoded[white].min() > 40_000


def test_pixel_spacing_is_read_from_the_image_or_else_its_detector():
    pixels = picture()
    assert decode(dicom(pixels), ANY_SIZE).pixel_spacing_mm is None
    detector = dicom(pixels, ImagerPixelSpacing=[0.1, 0.2])
    assert decode(detector, ANY_SIZE).pixel_spacing_mm == (0.1, 0.2)
    both = dicom(pixels, ImagerPixelSpacing=[0.1, 0.2], PixelSpacing=[0.08, 0.09])
    assert decode(both, ANY_SIZE).pixel_spacing_mm == (0.08, 0.09)
    for senseless in ([0, 0], [0.1, 0], [0.1, -0.1], ["1e999", 0.1], [0.1, "1e999"], [0.1]):
        assert decode(dicom(pixels, PixelSpacing=senseless), ANY_SIZE).pixel_spacing_mm is None
        detector = dicom(pixels, PixelSpacing=senseless, ImagerPixelSpacing=[0.1, 0.2])
        assert decode(detector, ANY_SIZE).pixel_spacing_mm == (0.1, 0.2)


@pytest.mark.parametrize(
    ("data", "photometric"),
    [
        (with_pillow(picture(), "PNG"), "MONOCHROME2"),
        (with_pillow(colours(picture()), "PNG"), "RGB"),
        (with_pillow(Image.fromarray(picture()).convert("P"), "PNG"), "PALETTE COLOR"),
        (with_pillow(picture(), "JPEG"), "MONOCHROME2"),
        (with_pillow(colours(picture()), "JPEG"), "YBR_FULL"),
        (white_is_zero(with_pillow(picture(), "TIFF")), "MONOCHROME1"),
        (with_pillow(colours(picture()), "BMP"), "RGB"),
        (dicom(picture(), PhotometricInterpretation="MONOCHROME1"), "MONOCHROME1"),
    ],
)
def test_the_photometric_interpretation_is_that_of_the_file(data, photometric):
    assert decode(data, ANY_SIZE).photometric_interpretation == photometric


def test_several_threads_get_what_one_gets():
    pixels, deep = picture(), picture(12)
    files = [with_pillow(pixels, "PNG"), with_pillow(pixels, "TIFF", compression="tiff_lzw"), dicom(pixels)]
    files += [dicom(deep, bits=12, syntax=syntax) for syntax in (JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless)]
    expected = [pixels_of(file) for file in files]
    with ThreadPoolExecutor(8) as threads:
        for found, wanted in zip(threads.map(pixels_of, files * 4), expected * 4, strict=True):
            assert np.array_equal(found, wanted)


def test_nothing_of_the_patient_reaches_a_log_or_a_warning(caplog, recwarn, capfd):
    caplog.set_level(logging.DEBUG)
    data = dicom(picture(), PatientBirthDate="19700101")
    name, birthday = b"Mustermann^Erika", b"19700101"
    for broken in (data, data.replace(birthday, b"Erika=\\*"), data.replace(name, b"\xffust\x00rmann^Erika")):
        assert dcmread(io.BytesIO(broken)).Rows == 60
        caplog.clear()
        recwarn.clear()
        decode(broken, ANY_SIZE)
        written = capfd.readouterr()
        told = [caplog.text, written.out, written.err, *(str(warning.message) for warning in recwarn.list)]
        assert not any("Erika" in text or "ermann" in text for text in told)


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 90)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    kinds=st.sampled_from([(0,), (1,), (0, 1), (0, 1, 2)]),
    data=st.data(),
)
def test_a_png_is_the_same_picture_however_its_rows_are_filtered(size, dtype, kinds, data):
    samples = data.draw(arrays.arrays(dtype, size))
    filters = data.draw(st.lists(st.sampled_from(kinds), min_size=size[0], max_size=size[0]))
    plain = decode(png_of_samples(samples, 0), ANY_SIZE)
    assert (decode(png_of_filtered_rows(samples, filters), ANY_SIZE).pixels == plain.pixels).all()
    if dtype == np.uint8:
        assert (plain.pixels == samples).all()


@pytest.mark.parametrize("height", [1, 127, 1435])
def test_a_large_png_s_differences_add_up(height):
    samples = np.random.default_rng(height).integers(0, 256, (height, 2943)).astype(np.uint8)
    assert (decode(png_of_filtered_rows(samples, [1] * height), ANY_SIZE).pixels == samples).all()


def test_the_bits_of_a_grey_value_are_told_whatever_the_container():
    for container in ("PNG", "TIFF"):
        assert decode(with_pillow(picture(16), container), ANY_SIZE).bits_stored == 16
        assert decode(with_pillow(picture(8), container), ANY_SIZE).bits_stored == 8


def test_colourfulness_is_a_share_of_the_range_however_deep_the_picture():
    pixels = np.zeros((48, 48, 3), np.uint16)
    for third in range(3):
        pixels[16 * third : 16 * third + 16, :, third] = 120 * 257
    assert decode(png_of_samples(pixels, 2), ANY_SIZE).colourfulness == pytest.approx(120 / 255, abs=1e-6)


def test_a_window_is_of_the_stored_values_also_where_white_is_zero():
    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    window = {"WindowCenter": 1024, "WindowWidth": 512, "PhotometricInterpretation": "MONOCHROME1"}
    decoded = pixels_of(dicom(pixels, bits=12, **window)).ravel()
    assert decoded[:768].min() == 65535
    assert decoded[1280:].max() == 0


@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, RLELossless], ids=lambda syntax: syntax.name)
def test_signed_values_are_read_as_signed_from_compressed_frames_too(syntax):
    pixels = picture(16)
    signed = (pixels.astype(np.int32) - 32768).astype(np.int16)
    assert np.array_equal(pixels_of(dicom(signed, syntax=syntax)), spread(pixels))


def test_a_signed_jpeg_in_dicom_gives_nearly_the_same_pixels():
    stored = 136 + picture() // 3  # -120 and more
    shown = pixels_of(dicom(stored, syntax=JPEGBaseline8Bit, PixelRepresentation=1))
    assert np.abs(shown.astype(int) - (stored - 128)).max() <= 6
