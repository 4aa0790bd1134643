"""Logs as JSON lines on standard error; they hold no pixels, no file names and no attribute of a patient."""

import logging
import os
import sys
from contextlib import suppress

import structlog
from structlog.tracebacks import ExceptionDictTransformer

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _StandardError:
    """Takes whole lines; one that cannot be written is lost, since the service does not end for its log.

    Past Python's own buffer, which would keep it, and end the process with a code of its own in the end.
    """

    def write(self, text: str) -> int:
        if sys.stderr is not None:  # closed before the start: its number may be that of a connection by now
            with suppress(OSError):
                os.write(sys.stderr.fileno(), text.encode())
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""


def configure_logs(level: str) -> None:
    """Send the service's own lines, and those of the libraries below it, to standard error in one shape."""
    shape: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,  # the id of the request under way
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without the frames' variables, which hold pixels, the file's bytes and the request's headers.
        structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
    ]
    structlog.configure(
        processors=[*shape, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(_StandardError()),  # type: ignore[arg-type]
    )
    handler = logging.StreamHandler(_StandardError())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shape,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("panoseg").setLevel(_LEVELS[level])
