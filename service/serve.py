"""The service as a process: listens, says that it is stopping while it finishes what it has, and goes."""

import asyncio
import errno
import os
import signal
import socket
import time
from importlib.metadata import version
from typing import Any, Final

import structlog
import uvicorn

from service.api.app import create_app
from service.api.protocol import BoundedProtocol
from service.api.state import ServiceState
from service.errors import SetupError
from service.logs import configure_logs
from service.settings import Settings, unknown_variables

_GRACE_S: Final = 8
"""Seconds that requests under way get after SIGTERM; the process is gone within ten, or once a model that is being
loaded is there."""

KEEP_ALIVE_S: Final = 75
"""Seconds that a connection is kept for its next request: radiographs come minutes apart, and a client that sends on a
connection which is just being closed has to send its radiograph twice. Proxies keep theirs for 60."""

_LOOK_AGAIN_S: Final = 0.05

_log: Final = structlog.get_logger("panoseg.service")


class _Server(uvicorn.Server):
    """Says that it is stopping as soon as it is told to, and listens until the last answer, so that others hear it.

    SIGHUP, where the system has it, has the model loaded anew; until here `service.hangup` has had it ignored.
    """

    def __init__(self, config: uvicorn.Config, state: ServiceState) -> None:
        super().__init__(config)
        self._state = state

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        if hasattr(signal, "SIGHUP"):
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._state.reload_by_signal)
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ANN401 - uvicorn's own signature
        self._state.stopping = True
        # Not uvicorn's own way, which ends by raising the signal once more: being told to stop is no failure.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        begun = time.monotonic()
        _log.info("stopping", requests=self._state.under_way)
        while self._state.under_way and time.monotonic() < begun + _GRACE_S and not self.force_exit:
            await asyncio.sleep(_LOOK_AGAIN_S)
        # What is left is for answers that are being sent.
        self.config.timeout_graceful_shutdown = max(1, round(begun + _GRACE_S - time.monotonic()))
        await super().shutdown(sockets)


def serve(settings: Settings) -> str | None:
    """Run the service until it is stopped.

    Returns:
        Why it could not load its model; None where it could.

    Raises:
        SetupError: it cannot listen where it is to.
    """
    configure_logs(settings.log_level)

    def stop() -> None:
        server.should_exit = True

    app = create_app(settings, on_failure=stop)
    state: ServiceState = app.state.service
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = _Server(config, state)
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    for variable in unknown_variables():
        _log.warning("unknown setting", variable=variable, reason="nothing reads it")
    _log.info("listening", url=f"http://{host}:{port}/", version=version("panoseg"))
    server.run(sockets=[listener])
    _log.info("stopped", unfinished=state.under_way)
    if state.unfinished:
        # Python would wait for its threads, and a library that has a file with no end does not come back.
        os._exit(0)
    return state.failed


def _listen(settings: Settings) -> socket.socket:
    """A socket that takes connections, on both kinds of addresses where the host is one of the new kind.

    Raises:
        SetupError: the address is taken, or none of this machine's.
    """
    host = settings.host.strip("[]")
    address = (host, settings.port)
    try:
        if ":" not in host:
            return socket.create_server(address)
        return socket.create_server(address, family=socket.AF_INET6, dualstack_ipv6=socket.has_dualstack_ipv6())
    except OSError as error:
        advice = {
            errno.EADDRINUSE: "another program, perhaps another panoseg, has that port. Stop it, or set another port.",
            errno.EACCES: "ports below 1024 are not for everybody. Set another port.",
        }
        why = advice.get(error.errno or 0, f"{error.strerror}. Set another host or port.")
        raise SetupError(f"Cannot listen on {host}, port {settings.port}: {why}") from error
