"""Whatever is sent, it is a whole radiograph or an error that says what is wrong with it."""

import base64
import gzip
import io
import resource
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.uid import (
    HTJ2K,
    JPEG2000MC,
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from service.errors import (
    DamagedImage,
    EmptyUpload,
    RequestError,
    SetupError,
    TooManyPixels,
    TooSmall,
    UnsupportedFormat,
)
from service.radiograph import Limits, decode
from service.radiograph.grey import to_grey
from tests.encoders import compressed, dicom, exif, png_chunk, png_file, png_of_samples, tiff_of_samples, with_pillow

ANY_SIZE = Limits(min_side=1)

# Noise, so that no part of a file can be missed without its pixels being missed.
NOISE = np.random.default_rng(3).integers(0, 256, (130, 140)).astype(np.uint8)
DEEP_NOISE = NOISE.astype(np.uint16) * 16
COLOUR_NOISE = np.random.default_rng(4).integers(0, 256, (60, 70, 3)).astype(np.uint8)

FILES = {
    "png": with_pillow(NOISE, "PNG"),
    "png of 16 bits": png_of_samples(DEEP_NOISE, 0),
    "jpeg": with_pillow(NOISE, "JPEG", quality=90),
    "jpeg in colour": with_pillow(COLOUR_NOISE, "JPEG", quality=90),
    "jpeg progressive": with_pillow(NOISE, "JPEG", quality=90, progressive=True),
    "tiff": with_pillow(NOISE, "TIFF"),
    "tiff lzw": with_pillow(NOISE, "TIFF", compression="tiff_lzw"),
    "tiff deflate of 16 bits": with_pillow(DEEP_NOISE, "TIFF", compression="tiff_adobe_deflate"),
    "bmp": with_pillow(NOISE, "BMP"),
    "bmp in colour": with_pillow(COLOUR_NOISE, "BMP"),
    "dicom": dicom(DEEP_NOISE, bits=12),
    "dicom of odd length": dicom(NOISE[:129, :139]),
    "dicom rle": dicom(NOISE, syntax=RLELossless),
    "dicom jpeg": dicom(NOISE, syntax=JPEGBaseline8Bit),
    "dicom jpeg lossless": dicom(DEEP_NOISE, bits=12, syntax=JPEGLosslessSV1),
    "dicom jpeg-ls": dicom(DEEP_NOISE, bits=12, syntax=JPEGLSLossless),
    "dicom jpeg 2000": dicom(NOISE, syntax=JPEG2000Lossless),
}

SIGNATURES = {
    "png": b"\x89PNG\r\n\x1a\n",
    "png header": FILES["png"][:41],
    "jpeg": b"\xff\xd8\xff",
    "jpeg header": FILES["jpeg"][:30],
    "tiff": b"II*\0",
    "tiff big-endian": b"MM\0*",
    "tiff directory": b"II*\0\x08\0\0\0",
    "bmp": b"BM" + bytes(12) + b"\x28\0\0\0",
    "dicom": bytes(128) + b"DICM",
    "dicom meta": FILES["dicom"][: FILES["dicom"].index(b"\x08\x00\x16\x00")],
}


def cuts(data):
    """Lengths to cut a file to: each of the first and the last few bytes, and many between."""
    ends = {*range(1, 60), *range(len(data) - 24, len(data))}
    return sorted({*ends, *np.linspace(60, len(data) - 24, 60, dtype=int).tolist()})


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_whole_is_taken(name):
    assert decode(FILES[name], ANY_SIZE).pixels.size > 0


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_as_damaged_wherever_it_is_cut(name):
    data = FILES[name]
    # Before its prefix, nothing tells a DICOM file from anything else.
    shortest = {"dicom": 132, "bmp": 2, "jpeg": 2}.get(name.split()[0], 4)
    for length in (cut for cut in cuts(data) if cut >= shortest):
        with pytest.raises(DamagedImage):
            decode(data[:length], ANY_SIZE)


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, len(FILES["png"]) - 1), bit=st.integers(0, 7))
def test_a_png_with_any_bit_flipped_is_refused(position, bit):
    data = bytearray(FILES["png"])
    data[position] ^= 1 << bit
    with pytest.raises(RequestError):
        decode(bytes(data), ANY_SIZE)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_flipped_bytes_give_a_picture_or_an_error_of_ours(name, data):
    damaged = bytearray(FILES[name])
    for position in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[position] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(damaged), ANY_SIZE).pixels
    except RequestError:
        return
    assert pixels.ndim == 2


@pytest.mark.parametrize("name", SIGNATURES)
@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=600))
def test_random_bytes_after_a_signature_are_refused(name, noise):
    with pytest.raises(RequestError):
        decode(SIGNATURES[name] + noise, Limits())


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(min_size=1, max_size=200))
def test_random_bytes_are_refused(noise):
    with pytest.raises(RequestError):
        decode(noise, Limits())


def test_no_bytes_are_an_empty_upload():
    with pytest.raises(EmptyUpload):
        decode(b"", Limits())


@pytest.mark.parametrize(
    "data",
    [
        b"BMW and other makers of cars are no image format.",
        b"<!doctype html><title>502</title>",
        b"%PDF-1.7\n1 0 obj\n",
        b"PK\x03\x04" + bytes(60),
        b"\0" * 400,
    ],
    ids=["text", "html", "pdf", "zip", "zeros"],
)
def test_what_is_no_image_is_unsupported_and_not_echoed(data):
    with pytest.raises(UnsupportedFormat, match=r"PNG, JPEG, TIFF, BMP or DICOM\.$") as caught:
        decode(data, Limits())
    assert data[:6].decode(errors="replace") not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (with_pillow(NOISE, "GIF"), "GIF"),
        (with_pillow(COLOUR_NOISE, "WEBP"), "WebP"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        (with_pillow(NOISE, "JPEG2000"), "JPEG 2000"),
        (with_pillow(NOISE, "JPEG2000", no_jp2=True), "JPEG 2000"),
        (b"II+\0\x08\0\0\0" + bytes(40), "BigTIFF"),
        (b"%PDF-1.7" + bytes(40), "PDF is not taken"),
        (gzip.compress(b"x", mtime=0), "Gzip is not taken"),
        (b"PK\x03\x04" + bytes(60), "ZIP is not taken"),
        (base64.b64encode(with_pillow(NOISE, "PNG")), "Base64 text"),
        (base64.b64encode(with_pillow(NOISE, "JPEG")), "Base64 text"),
        (b"data:image/png;base64," + base64.b64encode(with_pillow(NOISE, "PNG")), "data: URI"),
        (dicom(NOISE)[128:], "DICOM without its preamble"),
        (dicom(NOISE)[132:], "DICOM without its preamble"),
        (b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100" + bytes(40), "DICOM without its preamble"),
        (compressed(DEEP_NOISE, 12, JPEGLosslessSV1), "more than 8 bits"),
        (compressed(DEEP_NOISE, 12, JPEGLSLossless), "JPEG-LS"),
        (with_pillow(NOISE.astype(np.float32), "TIFF"), "fractional"),
    ],
)
def test_a_known_format_that_is_not_taken_is_named(data, name):
    with pytest.raises(UnsupportedFormat, match=name):
        decode(data, Limits())


def _frames(container):
    file = io.BytesIO()
    first, second = Image.fromarray(NOISE), Image.fromarray(255 - NOISE)
    first.save(file, container, save_all=True, append_images=[second])
    return file.getvalue()


@pytest.mark.parametrize(
    "data", [_frames("TIFF"), _frames("PNG"), dicom(NOISE, frames=2)], ids=["tiff", "png", "dicom"]
)
def test_several_frames_are_unsupported(data):
    with pytest.raises(UnsupportedFormat, match="several"):
        decode(data, Limits())


def _bmp_of_size(width, height):
    return FILES["bmp"][:18] + struct.pack("<ii", width, height) + FILES["bmp"][26:]


def _jpeg_of_size(width, height):
    position = FILES["jpeg"].index(b"\xff\xc0") + 5
    return FILES["jpeg"][:position] + struct.pack(">HH", height, width) + FILES["jpeg"][position + 4 :]


def _tiff_of_size(width, height):
    data = FILES["tiff lzw"]
    for tag, old, new in ((256, NOISE.shape[1], width), (257, NOISE.shape[0], height)):
        entry = struct.pack("<HHIHH", tag, 3, 1, old, 0)
        assert entry in data
        data = data.replace(entry, struct.pack("<HHII", tag, 4, 1, new))
    return data


def _dicom_of_size(width, height):
    return dicom(NOISE, Rows=height, Columns=width)


SIZED = {
    "png": lambda width, height: png_file(width, height, zlib.compress(bytes(1000))),
    "jpeg": _jpeg_of_size,
    "tiff": _tiff_of_size,
    "bmp": _bmp_of_size,
    "dicom": _dicom_of_size,
}


@pytest.mark.parametrize("container", SIZED)
def test_a_declared_size_above_the_limit_is_refused_without_memory(container):
    data = SIZED[container](60000, 60000)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        with pytest.raises(TooManyPixels):
            decode(data, Limits())
        traced = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert traced < 2**20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 2**15  # KiB


@pytest.mark.parametrize("container", SIZED)
def test_a_declared_size_within_the_limit_that_the_data_do_not_fill_is_damaged(container):
    with pytest.raises(DamagedImage):
        decode(SIZED[container](1000, 1000), Limits())


@pytest.mark.parametrize("container", SIZED)
@pytest.mark.parametrize("size", [(0, 200), (200, 0)])
def test_a_side_of_no_pixels_is_damaged(container, size):
    with pytest.raises(DamagedImage):
        decode(SIZED[container](*size), Limits())


@pytest.mark.parametrize("container", SIZED)
@pytest.mark.parametrize("size", [(65_501, 130), (130, 65_501)])
def test_a_side_longer_than_an_overlay_can_have_is_too_many_pixels(container, size):
    with pytest.raises(TooManyPixels, match="65500"):
        decode(SIZED[container](*size), Limits())


@pytest.mark.parametrize("container", SIZED)
def test_a_short_side_is_too_small(container):
    with pytest.raises(TooSmall, match="128"):
        decode(SIZED[container](127, 300), Limits())


def test_text_that_inflates_to_gigabytes_is_never_inflated():
    deflate = zlib.compressobj(9)
    bomb = b"".join([deflate.compress(bytes(2**20)) for _ in range(256)]) + deflate.flush()
    extra = png_chunk(b"zTXt", b"Comment\0\0" + bomb) + png_chunk(b"iCCP", b"profile\0\0" + bomb)
    tracemalloc.start()
    try:
        decoded = decode(png_of_samples(NOISE, 0, extra=extra), Limits()).pixels
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert np.array_equal(decoded, NOISE)


def test_an_orientation_of_a_million_values_is_not_read():
    rational = 5
    block = (
        struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 274, rational, 300_000, 26, 0) + struct.pack("<II", 1, 3) * 300_000
    )
    tracemalloc.start()
    try:
        decoded = decode(png_of_samples(NOISE, 0, extra=png_chunk(b"eXIf", block)), Limits()).pixels
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert np.array_equal(decoded, NOISE)


def _stream(rows):
    return zlib.compress(np.pad(NOISE[:rows], ((0, 0), (1, 0))).tobytes())


@pytest.mark.parametrize(
    "stream",
    [
        _stream(129),
        _stream(60),
        _stream(130)[:-40],
        _stream(130)[:-4],
        _stream(130)[:-4] + b"abcd",
        zlib.compress(b"\x09" * 141 * 130),
        b"",
        b"no deflate stream at all",
    ],
    ids=["a row short", "half", "cut", "no checksum", "wrong checksum", "no such filter", "empty", "noise"],
)
def test_a_png_stream_that_does_not_fill_the_picture_is_damaged(stream):
    with pytest.raises(DamagedImage):
        decode(png_file(140, 130, stream), Limits())


def test_some_bytes_more_than_the_picture_in_a_png_stream_do_no_harm():
    rows = np.pad(NOISE, ((0, 0), (1, 0))).tobytes()
    assert np.array_equal(decode(png_file(140, 130, zlib.compress(rows + bytes(100))), Limits()).pixels, NOISE)


def test_a_png_of_a_million_chunks_is_refused():
    with pytest.raises(DamagedImage, match="chunks"):
        decode(png_of_samples(NOISE, 0, extra=png_chunk(b"teSt", b"") * 100_001), Limits())


def test_a_jpeg_of_a_thousand_scans_is_refused():
    data = FILES["jpeg progressive"]
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    with pytest.raises(DamagedImage, match="scans"):
        decode(data[:-2] + last_scan * 1000 + data[-2:], Limits())


def test_a_dicom_stream_of_another_size_than_declared_is_damaged():
    for syntax in (JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless):
        data = dicom(NOISE, syntax=syntax, stream=compressed(NOISE[:100, :120], 8, syntax))
        with pytest.raises(DamagedImage, match="another shape"):
            decode(data, Limits())


def test_a_deflated_dicom_file_is_refused_before_it_is_inflated():
    data = dicom(NOISE, syntax=DeflatedExplicitVRLittleEndian)
    head = data[: 144 + int.from_bytes(data[140:144], "little")]  # the file's own group, whose length comes first
    deflate = zlib.compressobj(wbits=-15)
    bomb = head + deflate.compress(bytes(2**27)) + deflate.flush()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for file in (data, bomb):
        with pytest.raises(UnsupportedFormat, match="transfer syntax"):
            decode(file, Limits())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 2**15  # KiB


@pytest.mark.parametrize("syntax", [HTJ2K, HTJ2KLossless, JPEG2000MC], ids=lambda syntax: syntax.name)
def test_a_kind_of_jpeg_2000_that_nothing_here_decodes_is_unsupported(syntax):
    stream = compressed(NOISE, 8, JPEG2000Lossless)
    with pytest.raises(UnsupportedFormat, match="transfer syntax is not taken"):
        decode(dicom(NOISE, syntax=syntax, stream=stream), Limits())


def test_a_jpeg_2000_picture_in_a_wrapper_is_damaged_whatever_the_wrapper_says():
    stream = compressed(NOISE, 8, JPEG2000Lossless)
    for wrapper in (b"", b"\xff\x4f\xff\x51"):
        wrapped = (8 + len(wrapper)).to_bytes(4) + b"free" + wrapper + stream
        with pytest.raises(DamagedImage, match="code stream"):
            decode(dicom(NOISE, syntax=JPEG2000Lossless, stream=wrapped), Limits())


def test_composing_a_transparent_picture_takes_no_more_than_some_of_its_memory():
    pixels = np.full((2000, 1500, 4), 100, np.uint8)
    tracemalloc.start()
    try:
        grey, _ = to_grey(pixels)
        traced = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.all(grey == round(100 * 100 / 255))
    assert traced < pixels.nbytes


@pytest.mark.parametrize(
    "syntax",
    [RLELossless, JPEGLosslessSV1, JPEGBaseline8Bit, ExplicitVRLittleEndian],
    ids=lambda syntax: syntax.name,
)
def test_converting_colours_of_dicom_takes_no_more_than_some_of_their_memory(syntax):
    pixels = np.full((1500, 1200, 3), 100, np.uint8)
    data = dicom(pixels, syntax=syntax, PhotometricInterpretation="YBR_FULL")
    tracemalloc.start()
    try:
        decode(data, Limits())
        traced = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert traced < 5 * pixels.nbytes


@pytest.mark.parametrize(
    "body",
    [
        b"\x08\0\x15\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0\0\0\0\0" * 20_000,
        (b"\x08\0\x15\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4) * 5_000,
        b"\x08\0\x08\0CS\0\0" * 20_000,
    ],
    ids=["items", "nested", "elements"],
)
def test_a_dicom_file_made_to_keep_a_reader_busy_is_damaged(body):
    start = FILES["dicom"].index(b"\x08\0\x16\0")
    with pytest.raises(DamagedImage):
        decode(FILES["dicom"][:start] + body, Limits())


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": [1] * 40_000, "WindowWidth": [2] * 40_000},
        {"PixelSpacing": [1] * 40_000},
        {"SpecificCharacterSet": ["ISO_IR 100"] * 6_000},
    ],
    ids=lambda attributes: next(iter(attributes)),
)
def test_a_dicom_value_far_longer_than_an_image_has_is_damaged(attributes):
    """pydicom would make an object of each of its values: some hundred times the file's size."""
    with pytest.raises(DamagedImage, match="far longer values"):
        decode(dicom(NOISE, syntax=ImplicitVRLittleEndian, **attributes), Limits())


@pytest.mark.parametrize(
    "attributes",
    [{"PixelData": None}, {"PixelData": b""}],
    ids=["none", "empty"],
)
def test_a_dicom_file_without_pixel_data_is_damaged(attributes):
    with pytest.raises(DamagedImage, match="pixel data"):
        decode(dicom(NOISE, **attributes), Limits())


@pytest.mark.parametrize(
    "keyword", ["PhotometricInterpretation", "SamplesPerPixel", "Rows", "BitsStored", "PixelRepresentation"]
)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_what_a_dicom_file_does_not_tell_of_its_picture_is_named(keyword, value):
    with pytest.raises(DamagedImage, match=f"does not tell its {keyword}"):
        decode(dicom(NOISE, **{keyword: value}), Limits())


def test_a_dicom_header_without_a_transfer_syntax_is_told():
    uid = b"\x02\0\x10\0UI\x14\0" + b"1.2.840.10008.1.2.1\0"
    assert FILES["dicom"].count(uid) == 1
    with pytest.raises(DamagedImage, match="transfer syntax"):
        decode(FILES["dicom"].replace(uid, uid[:6] + bytes(2)), Limits())


@pytest.mark.parametrize(
    "attributes",
    [{"PhotometricInterpretation": "PALETTE COLOR"}, {"BitsAllocated": 32}, {"BitsStored": 0}],
    ids=lambda attributes: next(iter(attributes)),
)
def test_a_dicom_file_of_another_kind_is_unsupported(attributes):
    with pytest.raises(UnsupportedFormat):
        decode(dicom(NOISE, **attributes), Limits())


def test_a_png_changed_by_a_transfer_in_text_mode_is_damaged():
    with pytest.raises(DamagedImage, match="binary"):
        decode(FILES["png"].replace(b"\r\n", b"\n"), Limits())


def test_no_message_tells_of_the_patient_or_of_the_file():
    broken = [
        FILES["dicom"][:-10],
        dicom(NOISE, PixelData=None),
        dicom(NOISE, frames=2),
        dicom(NOISE, PhotometricInterpretation="ERIKA"),
        dicom(NOISE, PhotometricInterpretation="RGB"),
        with_pillow(NOISE, "TIFF", tiffinfo={270: "Erika Mustermann"})[:-10],
        with_pillow(NOISE, "JPEG", comment="Erika Mustermann", exif=exif(6))[:-10],
    ]
    for data in broken:
        with pytest.raises(RequestError) as caught:
            decode(data, Limits())
        message = str(caught.value).lower()
        assert "erika" not in message
        assert "mustermann" not in message
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_stream_that_ends_its_decoders_process_is_damaged_and_leaves_ours_running():
    stream = bytearray(compressed(DEEP_NOISE, 12, JPEGLosslessSV1))
    # Without the marker of its Huffman table, GDCM 3.2.6 runs into an assertion that ends its process.
    stream[stream.index(b"\xff\xc4")] = 0xF2
    with pytest.raises(DamagedImage):
        decode(dicom(DEEP_NOISE, bits=12, syntax=JPEGLosslessSV1, stream=bytes(stream)), Limits())


@pytest.mark.parametrize(("colour_type", "bits"), [(0, 8), (0, 1), (0, 16), (2, 8), (3, 8), (6, 16)])
def test_a_png_that_holds_far_more_than_its_picture_is_refused_before_it_is_inflated(colour_type, bits):
    """libpng would inflate all of it: some minutes for a file that a form takes."""
    compressor = zlib.compressobj(9)
    stream = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(600)) + compressor.flush()
    tracemalloc.start()
    with pytest.raises(DamagedImage, match="more than the picture"):
        decode(png_file(200, 150, stream, bits=bits, colour_type=colour_type), Limits())
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


def test_pixels_in_the_upper_bits_of_their_words_are_not_read_as_noise():
    with pytest.raises(UnsupportedFormat, match="lowest bits"):
        decode(dicom(DEEP_NOISE << 4, bits=12, HighBit=15), Limits())


def test_a_machine_that_cannot_decode_is_not_told_as_a_damaged_file(monkeypatch, tmp_path):
    sound = dicom(DEEP_NOISE, bits=12, syntax=JPEGLosslessSV1)
    (tmp_path / "gdcm.py").write_text("raise ImportError('no such library')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(SetupError, match="GDCM cannot be loaded"):
        decode(sound, Limits())
    monkeypatch.setattr("sys.executable", str(tmp_path / "none"))
    with pytest.raises(SetupError, match="process of its own: No such file"):
        decode(sound, Limits())

    def run_out_of_memory(*_):
        raise MemoryError

    monkeypatch.setattr("service.radiograph.png.cv2.imdecode", run_out_of_memory)
    with pytest.raises(MemoryError):
        decode(with_pillow(COLOUR_NOISE, "PNG"), ANY_SIZE)


@pytest.mark.parametrize("place", [0, 2, 3])
@pytest.mark.parametrize("value", [3, 9, 24])
def test_a_png_of_a_depth_or_method_that_does_not_exist_is_refused(place, value):
    header = bytearray(FILES["png"][16:29])
    header[8 + place] = value
    damaged = FILES["png"][:8] + png_chunk(b"IHDR", bytes(header)) + FILES["png"][33:]
    with pytest.raises(DamagedImage):
        decode(damaged, ANY_SIZE)


def test_a_png_whose_stream_s_own_checksum_is_wrong_is_refused():
    rows = np.pad(NOISE, ((0, 0), (1, 0))).tobytes()
    stream = zlib.compress(rows)
    with pytest.raises(DamagedImage):
        decode(png_file(140, 130, stream[:-1] + bytes([stream[-1] ^ 1])), ANY_SIZE)


@pytest.mark.parametrize("kind", [BasicTextSRStorage, EncapsulatedPDFStorage, MediaStorageDirectoryStorage])
def test_a_dicom_object_that_is_whole_without_a_picture_is_no_image(kind):
    """Called damaged, it would be exported again for ever."""
    attributes = dict.fromkeys(("PhotometricInterpretation", "Rows", "Columns", "BitsStored", "PixelData"))
    with pytest.raises(UnsupportedFormat, match="no image but a report, document or directory"):
        decode(dicom(NOISE, SOPClassUID=kind, **attributes), Limits())


def test_the_directory_of_a_disc_is_no_image_though_its_data_set_does_not_say_what_it_is():
    attributes = dict.fromkeys(("PhotometricInterpretation", "Rows", "Columns", "BitsStored", "PixelData"))
    whole = dcmread(io.BytesIO(dicom(NOISE, SOPClassUID=MediaStorageDirectoryStorage, **attributes)))
    del whole.SOPClassUID
    file = io.BytesIO()
    whole.save_as(file)
    with pytest.raises(UnsupportedFormat, match="no image but a report, document or directory"):
        decode(file.getvalue(), Limits())


def test_a_tiff_of_values_that_no_radiograph_has_is_unsupported():
    data = bytearray(with_pillow(NOISE.astype(np.float32), "TIFF"))
    # Its bits a sample, 32, become 64.
    entry = data.index(struct.pack("<HHI", 258, 3, 1))
    data[entry + 8 : entry + 10] = struct.pack("<H", 64)
    with pytest.raises(UnsupportedFormat, match="TIFF"):
        decode(bytes(data), Limits())


@pytest.mark.parametrize("samples", [NOISE, DEEP_NOISE, COLOUR_NOISE], ids=["8 bits", "16 bits", "colour"])
def test_a_tiff_of_signed_values_is_unsupported(samples):
    photometric, signed = (1, 2) if samples.ndim == 2 else (2, (2, 2, 2))
    with pytest.raises(UnsupportedFormat, match="as PNG"):
        decode(tiff_of_samples(samples, photometric, tags={339: signed}), ANY_SIZE)


def test_a_tiff_of_a_compression_that_nothing_here_decodes_is_unsupported():
    jpeg_2000 = 34712
    with pytest.raises(UnsupportedFormat, match="as PNG"):
        decode(tiff_of_samples(NOISE, 1, tags={259: jpeg_2000}), Limits())


@pytest.mark.parametrize("tags", [{284: 2}, {262: 5}], ids=["planes", "CMYK"])
def test_deep_colour_that_would_be_read_as_another_picture_is_unsupported(tags):
    channels = np.dstack([DEEP_NOISE] * (4 if tags.get(262) == 5 else 3))
    with pytest.raises(UnsupportedFormat, match="as PNG"):
        decode(tiff_of_samples(channels, 2, tags=tags), Limits())


@pytest.mark.parametrize(("offset", "value"), [(30, 4), (28, 2)], ids=["JPEG inside", "2 bits"])
def test_a_bmp_of_a_kind_that_nobody_writes_is_unsupported(offset, value):
    data = bytearray(FILES["bmp"])
    data[offset] = value
    with pytest.raises(UnsupportedFormat, match="BMP"):
        decode(bytes(data), Limits())


def _tiff(entries, values=b""):
    """A grey TIFF of 200 x 150 pixels of 0; an entry of `None` stands for the place of the values."""
    plain = {256: 200, 257: 150, 258: 8, 259: 1, 262: 1, 277: 1}
    long = 4
    pixels = bytes(200 * 150)
    start = 8 + len(pixels)
    behind = start + 2 + 12 * (len(plain) + len(entries)) + 4
    directory = [(tag, long, 1, value) for tag, value in plain.items()]
    directory += [(tag, kind, count, behind if value is None else value) for tag, kind, count, value in entries]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(directory))
    head = struct.pack("<2sHI", b"II", 42, start)
    return head + pixels + struct.pack("<H", len(directory)) + packed + bytes(4) + values


@pytest.mark.parametrize(
    ("entries", "most"),
    [
        ([(278, 4, 1, 1)], 150),
        ([(278, 4, 1, 100)], 2),
        ([(278, 4, 1, 2**32 - 1)], 1),
        ([], 1),
        ([(322, 4, 1, 64), (323, 4, 1, 64)], 12),
        ([(322, 4, 1, 1), (323, 4, 1, 1)], 130),
    ],
    ids=["a row a strip", "two strips", "no end", "one strip", "tiles", "tiles of a pixel"],
)
def test_a_tiff_of_more_strips_or_tiles_than_its_size_needs_is_refused(entries, most):
    """Pillow would decode all of them, one over the other."""
    offsets, sizes = (324, 325) if entries and entries[0][0] == 322 else (273, 279)
    for pieces in (most + 1, 200_000):
        listed = [(offsets, 4, pieces, None), (sizes, 4, pieces, None)]
        with pytest.raises(DamagedImage, match="lists more"):
            decode(_tiff(entries + listed, struct.pack("<I", 8) * pieces), Limits())
    if most > 1 and offsets == 273:
        listed = [(offsets, 4, most, None), (sizes, 4, most, None)]
        assert decode(_tiff(entries + listed, struct.pack("<I", 8) * most), Limits()).pixels.shape == (150, 200)


@pytest.mark.parametrize("layout", ["planes", "tiles"])
def test_a_tiff_of_as_many_pieces_as_its_planes_or_tiles_need_is_taken(layout):
    entries = [(322, 4, 1, 64), (323, 4, 1, 64)] if layout == "tiles" else [(278, 4, 1, 50), (284, 4, 1, 2)]
    offsets, sizes, pieces = (324, 325, 12) if layout == "tiles" else (273, 279, 9)
    data = _tiff([*entries, (offsets, 4, pieces, None), (sizes, 4, pieces, None)], struct.pack("<I", 8) * pieces)
    if layout == "planes":
        for tag, old, new in ((262, 1, 2), (277, 1, 3)):
            data = data.replace(struct.pack("<HHII", tag, 4, 1, old), struct.pack("<HHII", tag, 4, 1, new))
    assert decode(data, Limits()).pixels.shape == (150, 200)


def test_a_tiff_of_a_million_values_is_refused_and_those_of_exif_are_not_read():
    values = struct.pack("<II", 1, 3) * 300_000
    strip = [(273, 4, 1, 8), (279, 4, 1, 200 * 150)]
    byte, rational = 1, 5
    for listed in ((282, rational, 300_000, None), (258, byte, 300_000, None)):
        with pytest.raises(DamagedImage, match="lists more"):
            decode(_tiff([*strip, listed], values), Limits())
    inner = _tiff([*strip, (34665, 4, 1, None)])
    exif_directory = struct.pack("<HHHIII", 1, 37380, rational, 300_000, len(inner) + 18, 0)
    tracemalloc.start()
    try:
        decode(_tiff([*strip, (34665, 4, 1, None)], exif_directory + values), Limits())
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_a_tile_far_larger_than_the_picture_is_refused_without_memory():
    short, long = 3, 4
    entries = [(256, 200), (257, 200), (258, 8), (259, 1), (262, 1), (277, 1), (322, 60000), (323, 60000)]
    directory = [(tag, short, 1, value) for tag, value in entries] + [(324, long, 1, 8), (325, long, 1, 100)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in directory)
    data = struct.pack("<2sHI", b"II", 42, 108) + bytes(100) + struct.pack("<H", len(directory)) + packed + bytes(4)
    with pytest.raises(TooManyPixels):
        decode(data, Limits())
