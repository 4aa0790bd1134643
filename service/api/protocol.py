"""Bounds what a caller may send before its request is known: uvicorn itself takes headers without end."""

import asyncio
from typing import Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST: Final = 1_000_000
"""Bytes of a request's line and headers; some pieces more than any program sends, since a piece counts as a whole."""


_PATIENCE_S: Final = 10.0
"""Seconds for a request's line and headers."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request whose headers go on and on, of which the parser makes copies that grow with them.

    A connection whose headers do not come, or not to their end, is closed: there are no more than so many.
    """

    _in_head = False
    _head_bytes = 0
    _giving_up: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    @override
    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._await_head()
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > _MOST:
                self.send_400_response("The request's headers do not end; send the radiograph as its body.")

    def _await_head(self) -> None:
        if self._giving_up is None:
            self._giving_up = self.loop.call_later(_PATIENCE_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
