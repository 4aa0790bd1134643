"""Decodes the DICOM frames that GDCM alone can, in a process of its own, which a damaged frame may end."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
from pydicom import Dataset

from service.errors import DamagedImage, SetupError
from service.radiograph.grey import to_rgb
from service.radiograph.radiograph import Decoded

_WORKER = Path(__file__).with_name("gdcm_worker.py")

_NO_GDCM = 3
"""The worker's exit code where GDCM is not there."""

_CPU_SECONDS_FOR_A_MEGAPIXEL = 1
"""Some twenty times what GDCM takes, so that only a frame that has no end is given up, however busy the machine is."""

_LONGEST_WAIT_S = 60.0
"""Where processes have no limit of their own (Windows)."""


def decode_isolated(frame: bytes, dataset: Dataset, syntax: str, bits: int) -> Decoded:
    """The stored values of a JPEG lossless or JPEG-LS frame: `(rows, columns)`, or `(rows, columns, 3)` as RGB.

    Args:
        frame: the stream, whose declared shape is that of the data set.
        dataset: tells the shape and meaning of the pixels.
        syntax: the transfer syntax UID.
        bits: of a sample, as the stream declares them.

    Raises:
        DamagedImage: the stream does not decode.
        SetupError: GDCM cannot be run here.
    """
    rows, columns, samples = int(dataset.Rows), int(dataset.Columns), int(dataset.SamplesPerPixel)
    signed, photometric = int(dataset.PixelRepresentation), str(dataset.PhotometricInterpretation)
    width = 1 if bits <= 8 else 2
    cpu_seconds = 1 + math.ceil(_CPU_SECONDS_FOR_A_MEGAPIXEL * rows * columns / 1e6)
    numbers = (columns, rows, samples, width * 8, bits, signed, cpu_seconds)
    try:
        # Every argument is a number or one of a fixed set of words by now.
        finished = subprocess.run(  # noqa: S603
            [sys.executable, "-P", str(_WORKER), syntax, photometric, *map(str, numbers)],
            input=frame,
            capture_output=True,
            check=False,
            timeout=_LONGEST_WAIT_S,
        )
    except subprocess.TimeoutExpired:
        finished = None
    except OSError as error:
        raise SetupError(f"GDCM cannot be run in a process of its own: {error.strerror}.") from error
    if finished and finished.returncode == _NO_GDCM:
        raise SetupError("GDCM cannot be loaded; install panoseg with its dependencies (python-gdcm).")
    # Its words on stderr are dropped: they may hold the file's.
    if finished is None or finished.returncode or len(finished.stdout) != rows * columns * samples * width:
        raise DamagedImage("The DICOM file's compressed picture is damaged; send the file again.")
    stored = np.frombuffer(finished.stdout, f"{'i' if signed else 'u'}{width}")
    if samples == 1:
        return stored.reshape(rows, columns)
    colours = stored.reshape(rows, columns, samples)
    return to_rgb(colours, photometric)
