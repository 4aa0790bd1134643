"""Bounds what a caller may send before its request is known: uvicorn itself takes headers without end."""

from typing import Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST: Final = 1_000_000
"""Bytes of a request's line and headers; some pieces more than any program sends, since a piece counts as a whole."""


class BoundedProtocol(HttpToolsProtocol):
    """Refuses a request whose headers go on and on, of which the parser makes copies that grow with them."""

    _in_head = False
    _head_bytes = 0

    @override
    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > _MOST:
                self.send_400_response("The request's headers do not end; send the radiograph as its body.")
