"""BentoML: a service with `workers` processes of several `threads` each; no adaptive batching, which is its default."""

import os
from pathlib import Path

import bentoml

from benchmarks.rivals.work import Work


@bentoml.service(
    workers=int(os.environ["RIVAL_WORKERS"]),
    threads=16,
    resources={"cpu": os.environ["RIVAL_CORES"]},
    traffic={"timeout": 120},
)
class Panoramic:
    """A form's part `file` to the answer of /v1/segment."""

    def __init__(self) -> None:
        self._work = Work()

    @bentoml.api(route="/predict")
    def predict(self, file: Path) -> bytes:
        """The answer as it is; it is JSON already."""
        return self._work(file.read_bytes())
