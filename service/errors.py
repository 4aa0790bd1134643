"""Everything that can be wrong, as one tree: with a request (`RequestError`), or with a set-up (`SetupError`).

The message of each is one sentence a technician understands: what is wrong with this input, and what
would be right. It never holds bytes, text or a name taken from an upload. `service/api/problems.py` turns
a `RequestError` into an HTTP answer; the command line prints the message and exits with code 2, or with 1 where
`panoseg segment` passed over a file.
"""

from typing import ClassVar


class PanosegError(Exception):
    """Any fault that this project foresees."""


class RequestError(PanosegError):
    """A fault of one request; `slug`, `status` and `title` are the contract's.

    Attributes:
        retry_after_s: whole seconds after which it is worth sending the same again, at least 1; None where it is not.
    """

    slug: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    retry_after_s: int | None = None


class EmptyUpload(RequestError):
    """No bytes were sent, or a form without a `file` part."""

    slug = "empty-upload"
    status = 400
    title = "Nothing was uploaded"


class DamagedImage(RequestError):
    """A format that is known, but bytes that do not decode to their end."""

    slug = "damaged-image"
    status = 400
    title = "The image is damaged"


class UnsupportedFormat(RequestError):
    """Bytes of no known image format, of one that is not taken, or of several frames."""

    slug = "unsupported-format"
    status = 415
    title = "The format is not supported"


class TooLarge(RequestError):
    """More bytes than the service takes."""

    slug = "too-large"
    status = 413
    title = "The upload is too large"


class TooManyPixels(RequestError):
    """A declared size or side above the limit, found before a pixel is decoded."""

    slug = "too-many-pixels"
    status = 413
    title = "The image has too many pixels"


class TooSmall(RequestError):
    """A side shorter than any panoramic radiograph has."""

    slug = "too-small"
    status = 422
    title = "The image is too small"


class InvalidParameter(RequestError):
    """A query value that is out of its range, or a parameter that the route does not take."""

    slug = "invalid-parameter"
    status = 422
    title = "A parameter is invalid"


class NotAPanoramic(RequestError):
    """The picture does not look like a panoramic radiograph, and the caller asked to be strict."""

    slug = "not-a-panoramic"
    status = 422
    title = "Not a panoramic radiograph"


class UnknownModel(RequestError):
    """A model was named that is not loaded."""

    slug = "unknown-model"
    status = 404
    title = "There is no such model"


class ReloadFailed(RequestError):
    """The model that was to take over cannot be served; the one that runs goes on."""

    slug = "reload-failed"
    status = 409
    title = "The model was not replaced"


class Busy(RequestError):
    """The bounded queue is full."""

    slug = "busy"
    status = 503
    title = "The service is busy"

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotReady(RequestError):
    """No model has been loaded and warmed up, or the service is stopping."""

    slug = "not-ready"
    status = 503
    title = "The service is not ready"
    retry_after_s = 5


class TimedOut(RequestError):
    """The request's deadline passed before its answer; its work is dropped."""

    slug = "timed-out"
    status = 504
    title = "The request timed out"


class SetupError(PanosegError):
    """Something that keeps the service or a command from starting."""


class ModelPackageError(SetupError):
    """A model package that is incomplete, altered, or does not give its known answer."""


class ProviderUnavailable(SetupError):
    """The provider that was asked for cannot run the model on this machine."""
