"""Bounds what a caller may send before its request is known, and passes over offers to speak another protocol.

uvicorn itself takes headers without end, and its parser drops the body of a request that offers HTTP/2, as Java's
HttpClient does unless told not to; whoever does not take such an offer is to ignore it (RFC 9110, 7.8).
"""

import asyncio
import re
from typing import Final

from typing_extensions import override
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_MOST: Final = 1_000_000
"""Bytes of a request's line and headers, and of what stands between the bytes of its body and behind them; some pieces
more than any program sends, since a piece counts as a whole."""

_MOST_WAITING: Final = 100
"""Requests of one connection that wait for the answer to the one before; a quarter of a MB may hold 10,000."""

_PATIENCE_S: Final = 10.0
"""Seconds for a request's line and headers."""

_READING_S: Final = 30.0
"""Seconds within which a caller takes some of an answer that waits for him, which stays in memory as long."""

_OFFER: Final = re.compile(rb"\nupgrade(?=:)", re.IGNORECASE)
"""The name of the header by which another protocol is offered."""

_OFFER_LENGTH: Final = len(b"\nupgrade:")


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request whose headers, or trailers, go on and on: the parser makes copies that grow with them.

    A connection whose headers do not come, or not to their end, is closed: there are no more than so many. So is one
    whose caller does not read his answer. The header `Upgrade` gets another name, which nothing reads.
    """

    _in_head = False
    _in_body = False
    _before = b""
    """The end of what has come of a head, in which that header's name may have begun."""
    _head_bytes = 0
    _giving_up: asyncio.TimerHandle | None = None
    _giving_up_reader: asyncio.TimerHandle | None = None
    _being_answered: RequestResponseCycle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_looking()
        if self._being_answered is not None:
            # uvicorn tells only the last request that came, and others may have come behind this one.
            self._being_answered.disconnected = True
            self._being_answered.message_event.set()
        super().connection_lost(exc)

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._being_answered = cycle
        super()._start_asgi_task(cycle, app)

    @override
    def on_message_begin(self) -> None:
        if len(self.pipeline) == _MOST_WAITING:
            raise OverflowError("too many requests wait on one connection")  # uvicorn answers 400, and closes it
        self._in_head, self._head_bytes = True, 0
        self._await_head()
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        self._stop_waiting()
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._in_body, self._before = False, b""
        super().on_message_complete()

    @override
    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:
            # Whatever came, such as an empty line or what is left of a body that has been refused, ends the time that
            # uvicorn keeps a connection for nothing.
            self._await_head(self.timeout_keep_alive if self._in_body else _PATIENCE_S)
        if not self._in_body:
            data = self._without_offer(data)
        super().data_received(data)
        if (self._in_head or self._in_body) and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > _MOST:
                self.send_400_response("The request's headers do not end; send the radiograph as its body.")

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_whether_read(0)

    @override
    def resume_writing(self) -> None:
        self._stop_looking()
        super().resume_writing()

    def _without_offer(self, data: bytes) -> bytes:
        """What came at the beginning of a request or within its head, with the offer's header, if any, renamed."""
        seen = self._before + data
        # Put in before the colon, which has only now come: what was sent on of the name cannot be changed any more.
        end = seen.find(b"\r\n\r\n")
        head = seen if end < 0 else seen[:end]
        renamed, count = _OFFER.subn(rb"\g<0>-Ignored", head)
        before, self._before = len(self._before), seen[1 - _OFFER_LENGTH :]
        return renamed[before:] + data[max(0, len(head) - before) :] if count else data

    def _await_head(self, patience_s: float = _PATIENCE_S) -> None:
        if self._giving_up is None:
            self._giving_up = self.loop.call_later(patience_s, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _look_whether_read(self, before: int) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread == before:
            self.transport.abort()
        else:
            self._giving_up_reader = self.loop.call_later(_READING_S, self._look_whether_read, unread)

    def _stop_looking(self) -> None:
        if self._giving_up_reader is not None:
            self._giving_up_reader.cancel()
            self._giving_up_reader = None
