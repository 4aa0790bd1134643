"""Reads an upload into memory: the body itself, or the one part `file` of a form; never more than allowed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from service.errors import Busy, DamagedImage, EmptyUpload, InvalidParameter, TimedOut, TooLarge, UnsupportedFormat

_AT_ONCE: Final = 8
"""Uploads of the largest size that are held at once."""

_MOST_PARTS: Final = 100
"""Of a form; each costs the parser time, and what callers send has a few."""


class UploadRoom:
    """Memory for all requests' bodies together, from first byte to the end of their work; for the event loop alone.

    Args:
        max_mb: the largest upload.
    """

    def __init__(self, max_mb: float) -> None:
        self._free = int(_AT_ONCE * max_mb * 1e6)

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """For one request: what takes room for so many bytes more of it; given back at the end.

        Raises:
            Busy: by what is given, where there is no room left.
        """
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._free:
                raise Busy("Too many large uploads came at once; send the radiograph again in 2 s.", 2)
            self._free -= count
            taken += count

        try:
            yield take
        finally:
            self._free += taken


def file_of(body: bytes, content_type: str, max_mb: float) -> bytes:
    """The file in a request's body: the body itself, or the part `file` where it is a form.

    Not for the event loop: a form that was made to be hard to parse takes seconds.

    Raises:
        TooLarge: the file has more than `max_mb` MB.
        EmptyUpload: no bytes, or a form without a `file` part.
        DamagedImage: a form that ends early, or is none.
        InvalidParameter: a form without a boundary, or that has several `file` parts, or far too many of any.
    """
    kind, options = parse_options_header(content_type)
    data = _file_part(body, options.get(b"boundary")) if kind == b"multipart/form-data" else body
    if not data:
        raise EmptyUpload("The upload holds no bytes; send the radiograph as the body, or as the form part `file`.")
    if len(data) > max_mb * 1e6:
        raise _too_large(max_mb)
    return data


async def in_time(reading: Awaitable[bytes], timeout_s: float) -> bytes:
    """What is read, where it arrives in time.

    Raises:
        TimedOut: it does not.
    """
    try:
        async with asyncio.timeout(timeout_s):
            return await reading
    except TimeoutError:
        raise TimedOut(
            f"The upload did not arrive within {timeout_s:g} s: the network is slow. Send a smaller file, such as PNG "
            "instead of BMP, or have PANOSEG_TIMEOUT_S raised."
        ) from None


async def read_body(request: Request, max_mb: float, take: Callable[[int], None]) -> bytes:
    """A request's whole body.

    Args:
        take: what takes room for so many bytes more, as `UploadRoom.share` gives it.

    Raises:
        UnsupportedFormat: it is compressed.
        Busy: too much is being received.
        TooLarge: more than `max_mb` MB and a few lines, found from the declared length or while reading.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedFormat("Compressed requests are not taken; send the body as it is.")
    # A form's own lines come on top of the file.
    limit = int(max_mb * 1e6) + 10_000
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(max_mb)
    chunks: list[bytes] = []
    length = 0
    async for chunk in request.stream():
        take(len(chunk))
        chunks.append(chunk)
        length += len(chunk)
        if length > limit:
            raise _too_large(max_mb)
    return b"".join(chunks)


def _too_large(max_mb: float) -> TooLarge:
    return TooLarge(f"The upload is larger than the {max_mb:g} MB that this service takes; send one radiograph alone.")


class _FormReader:
    """Collects the parts named `file` of a form, each as the stretches of bytes that the parser comes upon."""

    def __init__(self) -> None:
        self.files: list[list[memoryview]] = []
        self._parts = 0
        self.ended = False
        self._name = b""
        self._value = b""
        self._is_file = False

    def callbacks(self) -> Any:  # noqa: ANN401 - the parser's own type of callbacks
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._data,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._is_file = False
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise InvalidParameter(f"The form has more than {_MOST_PARTS} parts; send the radiograph alone.")

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._is_file = options.get(b"name") == b"file"
            if self._is_file:
                self.files.append([])
        self._name = self._value = b""

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.files[-1].append(memoryview(data)[start:end])

    def _end(self) -> None:
        self.ended = True


def _file_part(body: bytes, boundary: bytes | None) -> bytes:
    damaged = "The form is damaged or ends early; send it as multipart/form-data with one part named `file`."
    if not boundary:
        raise InvalidParameter("The Content-Type names no boundary of the form's parts; let your HTTP library set it.")
    reader = _FormReader()
    try:
        MultipartParser(boundary, reader.callbacks()).write(body)
    except FormParserError as error:
        raise DamagedImage(damaged) from error
    if body and not reader.ended:
        raise DamagedImage(damaged)
    if len(reader.files) > 1:
        raise InvalidParameter("The form has several parts named `file`; send one radiograph a request.")
    if not reader.files:
        raise EmptyUpload("The form has no part named `file`; send the radiograph as that part.")
    return b"".join(reader.files[0])
