"""A server that does nothing with a request but read its body, and answers with as many bytes as it is asked for.

    uvicorn benchmarks.exchange:app

What a caller waits for it is what the bytes themselves cost on this machine, whatever is done with them.
"""

from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers any path; `?bytes=N` says how many."""
    if scope["type"] != "http":
        return
    chunks, more = [], True
    while more:
        message = await receive()
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    b"".join(chunks)
    (size,) = parse_qs(scope["query_string"]).get(b"bytes", [b"0"])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", size)]})
    await send({"type": "http.response.body", "body": bytes(int(size))})
