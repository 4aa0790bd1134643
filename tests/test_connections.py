"""How requests arrive: in packets, on connections that are kept, and from callers who offer HTTP/2."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPResponse, IncompleteRead
from itertools import pairwise
from urllib.parse import urlsplit

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

import service.api.protocol
from service.api.protocol import BoundedProtocol

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nHost: x\r\nHTTP2-Settings: AAEAAEAA\r\n%s: h2c\r\n"
"""As Java's HttpClient writes it, which offers HTTP/2 unless it is told not to."""


LONG = 20_000_000
"""Bytes of an answer, more than the system takes from the server for a caller who does not read."""


@pytest.fixture
def caller(service_url: str) -> Iterator[socket.socket]:
    """A connection to the service."""
    address = urlsplit(service_url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def head(route: str, length: int, name: bytes = b"Upgrade") -> bytes:
    return b"POST %s HTTP/1.1\r\n" % route.encode() + OFFER % name + b"Content-Length: %d\r\n\r\n" % length


def send(caller: socket.socket, *packets: bytes) -> None:
    """Each packet by itself: the service has read one before the next is sent."""
    for packet in packets:
        caller.sendall(packet)
        time.sleep(0.1)


def answer(caller: socket.socket) -> tuple[int, bytes]:
    response = HTTPResponse(caller)
    response.begin()
    return response.status, response.read()


def test_an_offer_of_http_2_is_passed_over_and_the_next_request_answered_too(
    caller: socket.socket, phantom_png: bytes
) -> None:
    for name in (b"Upgrade", b"upgrade", b"UPGRADE"):
        caller.sendall(head("/v1/mask", len(phantom_png), name) + phantom_png)
        status, mask = answer(caller)
        assert (status, mask[:4]) == (200, b"\x89PNG")


def test_an_offer_of_http_2_may_come_in_any_packets(caller: socket.socket, phantom_png: bytes) -> None:
    whole = head("/v1/mask", len(phantom_png))
    name = whole.index(b"Upgrade:")
    end = len(whole)
    for cuts in ((end,), (name + 3,), (name + 7,), (name + 8,), (name - 1, end - 1), (name, name + 1, end - 3)):
        edges = [0, *cuts, end + len(phantom_png)]
        sent = whole + phantom_png
        send(caller, *(sent[start:stop] for start, stop in pairwise(edges)))
        assert answer(caller)[0] == 200, cuts


def test_what_looks_like_an_offer_in_a_body_stays_as_it_is(caller: socket.socket) -> None:
    tensor = b'{"inputs": [{"name": "\r\nUpgrade: h2c\r\n\r\n\r\nUpgrade: "}]}'
    whole = head("/v2/models/radiograph/infer", len(tensor)) + tensor
    for cut in (len(whole) - len(tensor), len(whole) - len(tensor) + 30, len(whole)):
        # Had a byte been put in, the body would be longer than it was declared, and the next request damaged.
        send(caller, whole[:cut], whole[cut:])
        assert answer(caller)[0] == 422


def test_tensors_are_taken_from_a_caller_who_offers_http_2(caller: socket.socket, phantom_png: bytes) -> None:
    behind = len(phantom_png).to_bytes(4, "little") + phantom_png
    sent = {"name": "radiograph", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(behind)}}
    text = json.dumps({"inputs": [sent]}).encode()
    route = "/v2/models/radiograph/infer"
    described = head(route, len(text + behind))[:-2] + b"Inference-Header-Content-Length: %d\r\n\r\n" % len(text)
    send(caller, described, text + behind)
    status, content = answer(caller)
    assert (status, b"teeth" in content) == (200, True)


def test_an_offer_of_another_protocol_is_passed_over_where_there_is_no_body(caller: socket.socket) -> None:
    for protocol in (b"h2c", b"websocket"):
        caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % protocol)
        assert answer(caller) == (200, b'{"status":"live"}')


def test_requests_that_wait_on_one_connection_are_answered_in_turn_and_hundreds_refused(caller: socket.socket) -> None:
    ask = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    caller.sendall(ask * 20)
    answers = b""
    while answers.count(b'{"status":"live"}') < 20:
        answers += caller.recv(65536)
    caller.sendall(ask * 300)
    answers = b"".join(iter(lambda: caller.recv(65536), b""))
    assert answers.startswith(b"HTTP/1.1 400")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A connection to a server that answers before it has read, at length, and waits for nothing longer than 1 s."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": [(b"content-length", b"%d" % LONG)]})
        await send({"type": "http.response.body", "body": bytes(LONG)})

    monkeypatch.setattr(service.api.protocol, "_READING_S", 0.5)
    config = uvicorn.Config(application, http=BoundedProtocol, log_config=None, lifespan="off", timeout_keep_alive=1)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        with socket.create_connection(listener.getsockname(), timeout=30) as connection:
            yield connection
        server.should_exit = True
        thread.join()


def test_a_connection_is_closed_where_a_refused_body_does_not_come_to_its_end(
    impatient: socket.socket,
) -> None:
    impatient.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n" + bytes(10))
    assert len(answer(impatient)[1]) == LONG
    impatient.sendall(b"more")
    assert impatient.recv(1) == b""


def test_a_connection_is_closed_whose_caller_does_not_read_his_answer(impatient: socket.socket) -> None:
    impatient.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    time.sleep(3)
    with pytest.raises((IncompleteRead, ConnectionError)):
        answer(impatient)
