"""What a server of another make does for a request: our model and our codecs, the answer that /v1/segment gives."""

from service.api.schemas import segment_answer, to_json
from service.model.package import choose_package
from service.segmenter import Segmenter, Wanted
from service.settings import Settings
from service.ticket import Ticket


class Work:
    """The loaded model, with as many threads as `PANOSEG_THREADS` says; any number of threads may call it at once."""

    def __init__(self) -> None:
        settings = Settings()
        self._timeout_s = settings.timeout_s
        self._segmenter = Segmenter(choose_package(settings.models, settings.model), settings)

    def __call__(self, upload: bytes) -> bytes:
        """JSON with polygons, mask and overlay of a radiograph's file."""
        ticket = Ticket(self._timeout_s)
        answer = self._segmenter.segment(upload, Wanted("binary", "jpeg"), ticket)
        return to_json(segment_answer(self._segmenter, answer, ticket.clock.read_ms()))
