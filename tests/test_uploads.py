"""What is received is bounded, and a form is read whatever its maker had in mind."""

import asyncio
import threading

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from service.api.state import ServiceState
from service.api.uploads import UploadRoom, file_of, in_time, read_body
from service.errors import Busy, EmptyUpload, InvalidParameter, TimedOut, TooLarge
from service.machine import usable_cores
from service.settings import Settings

FORM = "multipart/form-data; boundary=line"


def form(*parts: tuple[str, bytes]) -> bytes:
    head = 'Content-Disposition: form-data; name="{}"; filename="x"\r\n\r\n'
    each = (b"--line\r\n" + head.format(name).encode() + content + b"\r\n" for name, content in parts)
    return b"".join(each) + b"--line--\r\n"


@given(st.binary(min_size=1, max_size=300).filter(lambda data: b"--line" not in data))
def test_a_file_comes_out_of_a_form_as_it_went_in(data: bytes) -> None:
    assert file_of(form(("note", b"n"), ("file", data)), FORM, 1) == data


def test_a_form_of_very_many_parts_is_refused_at_once() -> None:
    with pytest.raises(InvalidParameter, match="100 parts"):
        file_of(form(*[("note", b"n")] * 100, ("file", b"x")), FORM, 1)


def test_a_form_whose_boundary_is_not_told_is_told_who_sets_it() -> None:
    with pytest.raises(InvalidParameter, match="names no boundary"):
        file_of(form(("file", b"x")), "multipart/form-data", 1)


def test_what_does_not_arrive_in_time_is_told_what_helps() -> None:
    async def never() -> bytes:
        await asyncio.sleep(60)
        return b""

    with pytest.raises(TimedOut, match=r"0\.01 s: the network is slow.*PANOSEG_TIMEOUT_S"):
        asyncio.run(in_time(never(), 0.01))


def test_a_body_without_a_form_is_the_file() -> None:
    assert file_of(b"bytes", "application/octet-stream", 1) == b"bytes"
    with pytest.raises(EmptyUpload):
        file_of(b"", "", 1)
    with pytest.raises(TooLarge):
        file_of(bytes(1_000_001), "", 1)


@given(st.lists(st.integers(1, 4_000_000), min_size=1, max_size=12))
def test_room_is_given_to_eight_large_uploads_and_given_back(sizes: list[int]) -> None:
    room = UploadRoom(1)
    with room.share() as take:
        free = 8_000_000
        for size in sizes:
            if size <= free:
                take(size)
                free -= size
            else:
                with pytest.raises(Busy), room.share() as take_as_another:
                    take_as_another(size)
    with room.share() as take:
        take(8_000_000)


def test_a_body_that_nobody_waits_for_any_more_takes_room_until_its_work_has_ended() -> None:
    def upload(size: int) -> Request:
        parts = [bytes(size)]

        async def receive() -> dict[str, object]:
            if not parts:
                await asyncio.Event().wait()  # the caller stays
            return {"type": "http.request", "body": parts.pop()}

        return Request({"type": "http", "headers": [], "state": {"log": {}}}, receive)

    async def try_out() -> None:
        state = ServiceState(Settings(provider="openvino", max_upload_mb=0.001, timeout_s=0.2, max_requests=count + 1))
        await state.load(lambda: None)
        may_end = threading.Event()
        waiting = [state.answer(upload(8000 // count), lambda *_: may_end.wait()) for _ in range(count)]
        try:
            assert {type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)} == {TimedOut}
            with pytest.raises(Busy, match="large uploads"):
                await state.answer(upload(1000), lambda *_: None)
        finally:
            may_end.set()
        while state.under_way:
            await asyncio.sleep(0.01)
        with state.upload_room.share() as take:
            take(8000)
        await state.stop()

    count = max(8, usable_cores() + 4)  # more than there are threads
    asyncio.run(try_out())


@pytest.mark.parametrize(("headers", "pieces"), [([], 3), ([(b"content-length", b"5000000")], 0)])
def test_of_a_body_that_is_too_large_no_more_is_received_than_tells_so(
    headers: list[tuple[bytes, bytes]], pieces: int
) -> None:
    received = 0

    async def receive() -> dict[str, object]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": bytes(500_000), "more_body": received < 10}

    with pytest.raises(TooLarge):
        asyncio.run(read_body(Request({"type": "http", "headers": headers}, receive), 1, lambda _: None))
    assert received == pieces
