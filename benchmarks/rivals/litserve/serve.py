"""LitServe: `LitServer` with `workers_per_device` workers, no batching (its docs advise batches for GPUs).

A worker handles one request at a time; decoding, model and encoding are its work, as in the examples of its docs.
"""

import os
from typing import Any

import litserve
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.rivals.work import Work


class Panoramic(litserve.LitAPI):
    """A form's part `file` to the answer of /v1/segment."""

    def setup(self, device: str) -> None:
        """Load the model, in each worker."""
        self._work = Work()

    def decode_request(self, request: Request) -> bytes:
        """The bytes of the picture."""
        form: Any = request
        return form["file"].file.read()

    def predict(self, upload: bytes) -> Any:  # noqa: ANN401 - LitServe's own
        """The answer."""
        return self._work(upload)

    def encode_response(self, output: Any) -> Response:  # noqa: ANN401 - LitServe's own
        """The answer as it is; it is JSON already."""
        return Response(output, media_type="application/json")


if __name__ == "__main__":
    server = litserve.LitServer(
        Panoramic(), accelerator="cpu", workers_per_device=int(os.environ["RIVAL_WORKERS"]), timeout=120
    )
    server.run(host="127.0.0.1", port=int(os.environ["RIVAL_PORT"]), generate_client_file=False, log_level="error")
