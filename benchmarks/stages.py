"""`python -m benchmarks.stages`: for each stage outside the network, what is used beside what could be.

The ways of one stage are timed in turn, picture by picture, in one process; what counts is the processor time of all
its threads, and its ratio to the obvious way, which stands first. Codecs that are not part of the project are timed
where they happen to be installed.
"""

import argparse
import asyncio
import base64
import importlib
import io
import json
import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import pybase64
import pydantic_core
import simplejpeg
from isal import isal_zlib
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from starlette.requests import Request

from benchmarks.load import FORM_TYPE, form
from benchmarks.pictures import full_size_pictures
from benchmarks.places import RESULTS, processor_slug
from service.api.schemas import segment_answer, to_json
from service.api.uploads import UploadRoom, file_of, read_body
from service.machine import processor_name
from service.model.package import choose_package
from service.model.prepare import prepare
from service.model.session import open_session
from service.model.shrink import shrink
from service.radiograph import Limits, decode
from service.render.draw import PALETTE, Overlay, draw_mask, draw_overlay
from service.render.encode import encode_jpeg, encode_overlay, encode_png
from service.segmentation import Segmentation
from service.segmenter import Answer, Segmenter, Wanted
from service.settings import Settings
from service.ticket import Ticket

Ways = Mapping[str, Callable[[], object]]

PICTURES: Final = 4
LIMITS: Final = Limits()

CHUNK: Final = 256_000
"""Bytes of a body that uvloop reads at once."""

_CV2_MASK: Final = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
]


def main() -> None:
    """Time every way, write the result file and show it."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5, help="times each way takes each picture")
    rounds = arguments.parse_args().rounds
    cv2.setNumThreads(1)
    settings = Settings(threads=1)
    package = choose_package(settings.models, settings.model)
    segmenter = Segmenter(package, settings)
    times: dict[tuple[str, str], list[float]] = {}
    for _, picture in track(list(full_size_pictures().items())[:PICTURES], "pictures"):
        ticket = Ticket(60)
        answer = segmenter.segment(picture, Wanted("binary", "jpeg"), ticket)
        stages = {
            **dict(_receiving(picture)),
            **dict(_decoding(picture, answer)),
            **dict(_preparing(answer, segmenter)),
            **dict(_interpreting(answer)),
            **dict(_rendering(answer)),
            **dict(_telling(segmenter, answer, ticket.clock.read_ms())),
        }
        for stage, ways in stages.items():
            for _ in range(rounds):
                for way, run in ways.items():
                    times.setdefault((stage, way), []).append(_processor_ms(run))
    session = open_session(package, "cpu", 1)
    pixels = prepare(answer.radiograph.pixels, package.manifest.input).pixels[np.newaxis]
    times["network", "ONNX Runtime, one thread"] = [
        _processor_ms(lambda: session.run(pixels)) for _ in range(3 * rounds)
    ]
    segmenter.close()
    result = _result(times)
    (RESULTS / f"stages-{processor_slug()}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    _show(result)


def _processor_ms(run: Callable[[], object]) -> float:
    begin = time.process_time()
    run()
    return 1000 * (time.process_time() - begin)


def _receiving(picture: bytes) -> Iterator[tuple[str, Ways]]:
    body = form(picture)
    chunks = [body[begin : begin + CHUNK] for begin in range(0, len(body), CHUNK)]

    def request() -> Request:
        messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
        messages.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive() -> dict[str, Any]:
            return messages.pop(0)

        return Request({"type": "http", "method": "POST", "headers": [(b"content-type", FORM_TYPE.encode())]}, receive)

    # They give sizes, as asyncio would write out the bytes that a task ends with.
    async def with_starlette() -> int:
        async with request().form() as parts:
            return len(await parts["file"].read())  # type: ignore[union-attr]

    async def as_used() -> int:
        with UploadRoom(64).share() as take:
            return len(file_of(await read_body(request(), 64, take), FORM_TYPE, 64))

    yield "read form", {"Starlette": lambda: asyncio.run(with_starlette()), "used": lambda: asyncio.run(as_used())}


def _decoding(picture: bytes, answer: Answer) -> Iterator[tuple[str, Ways]]:
    pixels = answer.radiograph.pixels
    compressed = _idat(picture)
    deep = cv2.imencode(".png", pixels.astype(np.uint16) * 257)[1].tobytes()
    paeth = io.BytesIO()
    Image.fromarray(pixels).save(paeth, "PNG")
    jpeg = simplejpeg.encode_jpeg(pixels[..., np.newaxis], quality=90, colorspace="GRAY", colorsubsampling="Gray")
    yield (
        "decode PNG",
        {
            "OpenCV (libpng)": lambda: _with_opencv(picture),
            "Pillow": lambda: np.asarray(Image.open(io.BytesIO(picture))),
            **_optional("pyspng", lambda library: library.load(picture)),
            **_optional("imagecodecs", lambda library: library.png_decode(picture)),
            "used": lambda: decode(picture, LIMITS),
        },
    )
    yield (
        "inflate PNG's stream",
        {
            "zlib": lambda: zlib.decompress(compressed),
            **_optional("zlib_ng.zlib_ng", lambda library: library.decompress(compressed)),
            "used: ISA-L": lambda: isal_zlib.decompress(compressed),
        },
    )
    yield "decode 16-bit PNG", {"OpenCV (libpng)": lambda: _with_opencv(deep), "used": lambda: decode(deep, LIMITS)}
    yield (
        "decode PNG with Paeth filters",
        {"OpenCV (libpng)": lambda: _with_opencv(paeth.getvalue()), "used": lambda: decode(paeth.getvalue(), LIMITS)},
    )
    yield (
        "decode JPEG",
        {
            "Pillow": lambda: np.asarray(Image.open(io.BytesIO(jpeg))),
            "half size, scaled DCT": lambda: simplejpeg.decode_jpeg(jpeg, "GRAY", min_height=700, min_width=1400),
            "used": lambda: decode(jpeg, LIMITS),
        },
    )


def _preparing(answer: Answer, segmenter: Segmenter) -> Iterator[tuple[str, Ways]]:
    pixels = answer.radiograph.pixels
    fit = segmenter.package.manifest.input
    yield (
        "shrink",
        {
            "OpenCV INTER_AREA": lambda: cv2.resize(pixels, (fit.width, fit.height), interpolation=cv2.INTER_AREA),
            "OpenCV INTER_LINEAR": lambda: cv2.resize(pixels, (fit.width, fit.height)),
            "used: running sums": lambda: shrink(pixels, fit.height, fit.width),
        },
    )


def _interpreting(answer: Answer) -> Iterator[tuple[str, Ways]]:
    labels, teeth = answer.segmentation.labels, answer.segmentation.teeth
    small = [(np.full((70, 25), 255, np.uint8), (tooth.bbox.width, tooth.bbox.height)) for tooth in teeth]
    step = np.array([[0.174, 0, 0], [0, 0.178, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    yield (
        "enlarge teeth",
        {
            "warpAffine": lambda: [cv2.warpAffine(cut, step, size, flags=flags) for cut, size in small],
            "used: resize": lambda: [cv2.resize(cut, size) for cut, size in small],
        },
    )
    boxes = [labels[t.bbox.index] for t in teeth]
    yield (
        "count teeth's pixels",
        {
            "histogram": lambda: cv2.calcHist([labels], [0], None, [256], [0, 256]),
            "used: box by box": lambda: [
                cv2.countNonZero((box == tooth.fdi).view(np.uint8)) for box, tooth in zip(boxes, teeth, strict=True)
            ],
        },
    )


def _rendering(answer: Answer) -> Iterator[tuple[str, Ways]]:
    pixels, segmentation = answer.radiograph.pixels, answer.segmentation
    overlay, mask = draw_overlay(pixels, segmentation, 0.4), draw_mask(segmentation, "binary")
    rgb = overlay.to_rgb()
    rows = cv2.copyMakeBorder(mask, 0, 0, 1, 0, cv2.BORDER_CONSTANT, value=0)
    yield (
        "tint overlay",
        {
            "RGB": lambda: _tint_rgb(pixels, segmentation),
            "used: YCbCr, with outlines and numbers": lambda: draw_overlay(pixels, segmentation, 0.4),
        },
    )
    yield (
        "encode overlay",
        {
            "JPEG of RGB": lambda: encode_jpeg(rgb),
            "PNG of RGB": lambda: encode_png(rgb),
            "JPEG of planes": lambda: _encode_planes(overlay),
            "used: JPEG of planes, two parts": lambda: encode_overlay(overlay, "jpeg"),
        },
    )
    yield (
        "encode mask",
        {
            "OpenCV, run lengths": lambda: cv2.imencode(".png", mask, _CV2_MASK),
            **_optional("zlib_ng.zlib_ng", lambda library: library.compress(rows.tobytes(), 2)),
            "used: ISA-L": lambda: encode_png(mask),
        },
    )


def _encode_planes(overlay: Overlay) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg_yuv_planes(overlay.luma, overlay.blue, overlay.red, quality=90)
    return encoded


def _telling(segmenter: Segmenter, answer: Answer, timings_ms: dict[str, float]) -> Iterator[tuple[str, Ways]]:
    content = segment_answer(segmenter, answer, timings_ms)
    # The other ways write no arrays.
    plain = json.loads(to_json(content))
    overlay = answer.overlay or b""
    yield (
        "base64",
        {
            "standard library": lambda: base64.b64encode(overlay).decode(),
            "used: pybase64": lambda: pybase64.b64encode_as_string(overlay),
        },
    )
    yield (
        "JSON",
        {
            "Pydantic": lambda: pydantic_core.to_json(plain),
            "standard library": lambda: json.dumps(plain).encode(),
            "used: orjson": lambda: to_json(content),
        },
    )


def _tint_rgb(pixels: npt.NDArray[Any], segmentation: Segmentation) -> npt.NDArray[np.uint8]:
    """Colours alone, as one would draw them on an RGB picture."""
    picture = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    for tooth in segmentation.teeth:
        box = tooth.bbox
        area = (slice(box.y, box.y + box.height), slice(box.x, box.x + box.width))
        inside = (segmentation.labels[area] == tooth.fdi).view(np.uint8)
        colour = np.full((*inside.shape, 3), PALETTE[tooth.fdi], np.uint8)
        cv2.copyTo(cv2.addWeighted(picture[area], 0.6, colour, 0.4, 0), inside, picture[area])
    return picture


def _with_opencv(file: bytes) -> object:
    return cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)


def _idat(file: bytes) -> bytes:
    position, found = 8, []
    while position < len(file):
        length = int.from_bytes(file[position : position + 4])
        if file[position + 4 : position + 8] == b"IDAT":
            found.append(file[position + 8 : position + 8 + length])
        position += 12 + length
    return b"".join(found)


def _optional(name: str, run: Callable[[Any], object]) -> Ways:
    if find_spec(name.split(".")[0]) is None:
        return {}
    library = importlib.import_module(name)
    return {name: lambda: run(library)}


def _result(times: Mapping[tuple[str, str], list[float]]) -> dict[str, Any]:
    stages: dict[str, dict[str, dict[str, float]]] = {}
    for (stage, way), values in times.items():
        median = statistics.median(values)
        ways = stages.setdefault(stage, {})
        first = next(iter(ways.values()))["processor_ms"] if ways else median
        ways[way] = {"processor_ms": round(median, 3), "ratio": round(median / first, 2)}
    return {
        "command": "python -m benchmarks.stages",
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor_name(),
        "versions": {
            name: version(name)
            for name in (
                "opencv-python-headless",
                "isal",
                "simplejpeg",
                "orjson",
                "pybase64",
                "pydantic",
                "onnxruntime",
            )
        },
        "pictures": PICTURES,
        "median_of": len(next(iter(times.values()))),
        "stages": stages,
    }


def _show(result: Mapping[str, Any]) -> None:
    table = Table("stage", "way", "processor ms", "to the first")
    for stage, ways in result["stages"].items():
        for way, row in ways.items():
            table.add_row(stage, way, f"{row['processor_ms']:.2f}", f"{row['ratio']:.2f}")
    console = Console()
    console.print(result["processor"])
    console.print(table)


if __name__ == "__main__":
    main()
