"""Writes one picture into every container that the service takes."""

import io
import struct
import tempfile
import zlib
from pathlib import Path

import gdcm
import numpy as np
from PIL import Image, TiffImagePlugin
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_GDCM_SYNTAXES = {
    JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    JPEGLSLossless: gdcm.TransferSyntax.JPEGLSLossless,
}


def with_pillow(pixels, container, **options):
    """A picture, or an array of one, as Pillow writes it."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    picture.save(file, container, **options)
    return file.getvalue()


def tiff_of_samples(samples, photometric, *, big_endian=False, tags=None):
    """An uncompressed TIFF of an array `(height, width)` or `(height, width, channels)`; Pillow writes few kinds."""
    order, signature = (">", b"MM\0*") if big_endian else ("<", b"II*\0")
    height, width, channels = np.atleast_3d(samples).shape
    pixels = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    directory = TiffImagePlugin.ImageFileDirectory_v2(signature + bytes(4))
    directory[256], directory[257], directory[258] = width, height, (samples.dtype.itemsize * 8,) * channels
    directory[259], directory[262], directory[277] = 1, photometric, channels
    # The strip's offset counts from the directory's end.
    directory[273], directory[278], directory[279] = 0, height, len(pixels)
    for tag, value in (tags or {}).items():
        directory[tag] = value
    return signature + struct.pack(order + "I", 8) + directory.tobytes(8) + pixels


def bmp_of_four_channels(grey, alpha):
    """8-bit grey values as a BMP of 32 bits that declares an alpha mask, which Pillow cannot write."""
    height, width = grey.shape
    pixels = np.dstack([grey, grey, grey, np.full_like(grey, alpha)])[::-1].tobytes()
    bit_fields, header_size = 3, 124
    sizes = (header_size, width, height, 1, 32, bit_fields, len(pixels), 0, 0, 0, 0)
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII4I", *sizes, *masks).ljust(header_size, b"\0")
    return struct.pack("<2sIHHI", b"BM", 14 + len(header) + len(pixels), 0, 0, 14 + len(header)) + header + pixels


def white_is_zero(tiff):
    """A little-endian TIFF with its photometric interpretation changed to `WhiteIsZero`, and nothing else."""
    entry = struct.pack("<HHIH", 262, 3, 1, 1)
    assert tiff.count(entry) == 1
    return tiff.replace(entry, struct.pack("<HHIH", 262, 3, 1, 0))


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_file(width, height, stream, *, bits=8, colour_type=0, extra=b""):
    """A PNG file of any header and any stream, fitting or not; `extra` are chunks before the picture's."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
    return PNG_SIGNATURE + header + extra + png_chunk(b"IDAT", stream) + png_chunk(b"IEND", b"")


def png_of_samples(samples, colour_type, *, extra=b""):
    """An 8- or 16-bit PNG of an array `(height, width)` or `(height, width, channels)`."""
    height, width = samples.shape[:2]
    rows = samples.astype(samples.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    stream = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    return png_file(width, height, stream, bits=samples.dtype.itemsize * 8, colour_type=colour_type, extra=extra)


def png_of_filtered_rows(samples, filters):
    """A grey PNG of 8 or 16 bits; `filters` tells of each row whether it is filtered: 0 none, 1 left, 2 above."""
    height, width = samples.shape
    rows = samples.astype(samples.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    to_the_left = np.pad(rows, ((0, 0), (samples.dtype.itemsize, 0)))[:, : rows.shape[1]]
    above = np.pad(rows, ((1, 0), (0, 0)))[:height]
    predicted = np.stack([np.zeros_like(rows), to_the_left, above])[filters, np.arange(height)]
    filtered = np.column_stack([np.array(filters, np.uint8), rows - predicted])
    return png_file(width, height, zlib.compress(filtered.tobytes()), bits=samples.dtype.itemsize * 8)


def exif(orientation):
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def dicom(pixels, *, bits=None, syntax=ExplicitVRLittleEndian, stream=None, frames=1, **attributes):
    """A secondary capture of an array; `attributes` are set last, and None takes one away.

    With `stream` the pixels are not encoded: the stream stands as the one compressed frame.
    """
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    dataset.PatientName, dataset.PatientID = "Mustermann^Erika", "4711"
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    if stream is None and syntax.is_encapsulated:
        stream = compressed(pixels, dataset.BitsStored, syntax)
    if stream is None:
        dataset.PixelData = pixels.tobytes() * frames + b"\0" * (pixels.nbytes * frames % 2)
    else:
        dataset.PixelData = encapsulate([stream])
        dataset["PixelData"].is_undefined_length = True
    for keyword, value in attributes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def compressed(pixels, bits, syntax):
    """One frame's stream, lossless but for JPEG baseline."""
    if syntax == JPEGBaseline8Bit:
        return with_pillow(pixels, "JPEG", quality=95)
    if syntax == JPEG2000Lossless:
        return with_pillow(pixels, "JPEG2000", irreversible=False, no_jp2=True)
    if syntax == RLELossless:
        return _run_length_coded(pixels)
    return _with_gdcm(pixels, bits, _GDCM_SYNTAXES[syntax])


def _run_length_coded(pixels):
    height, width = pixels.shape[:2]
    channels = pixels.reshape(height, width, -1)
    planes = channels.astype(channels.dtype.newbyteorder(">"))[..., None].view(np.uint8).reshape(height, width, -1)
    segments = []
    for plane in np.moveaxis(planes, 2, 0):
        segment = b"".join(_pack_bits(row.tobytes()) for row in plane)
        segments.append(segment + b"\0" * (len(segment) % 2))
    offsets = 64 + np.cumsum([0, *map(len, segments[:-1])])
    return struct.pack("<16I", len(segments), *offsets, *[0] * (15 - len(segments))) + b"".join(segments)


def _pack_bits(row):
    coded, position = bytearray(), 0
    while position < len(row):
        run = 1
        while run < 128 and row[position : position + 1] == row[position + run : position + run + 1]:
            run += 1
        if run > 1:
            coded += bytes((257 - run, row[position]))
        else:
            coded += bytes((0, row[position]))
        position += run
    return bytes(coded)


def _with_gdcm(pixels, bits, syntax):
    # Through files, since gdcm counts references to what its reader made, but not to what Python made.
    with tempfile.TemporaryDirectory() as folder:
        plain, coded = str(Path(folder, "plain.dcm")), str(Path(folder, "coded.dcm"))
        Path(plain).write_bytes(dicom(pixels, bits=bits))
        reader = gdcm.ImageReader()
        reader.SetFileName(plain)
        assert reader.Read()
        change = gdcm.ImageChangeTransferSyntax()
        change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer = gdcm.ImageWriter()
        writer.SetFileName(coded)
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        return get_frame(dcmread(coded).PixelData, 0, number_of_frames=1)
