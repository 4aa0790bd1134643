"""Ray Serve: a FastAPI ingress with `num_replicas` replicas, `num_cpus` shared out among them, no batching.

The route is a plain function, which FastAPI runs in threads, so that a replica works on several requests at once.
"""

import os
import signal

import ray
from fastapi import FastAPI, File, Response
from ray import serve

from benchmarks.rivals.work import Work

WORKERS = int(os.environ["RIVAL_WORKERS"])

app = FastAPI()


@serve.deployment(
    num_replicas=WORKERS,
    max_ongoing_requests=16,
    ray_actor_options={"num_cpus": int(os.environ["PANOSEG_THREADS"])},
)
@serve.ingress(app)
class Panoramic:
    """A form's part `file` to the answer of /v1/segment."""

    def __init__(self) -> None:
        self._work = Work()

    @app.post("/predict")
    def predict(self, file: bytes = File()) -> Response:
        """The answer as it is; it is JSON already."""
        return Response(self._work(file), media_type="application/json")

    @app.get("/ready")
    def ready(self) -> bool:
        """Answers once the model is loaded."""
        return True


if __name__ == "__main__":
    ray.init(include_dashboard=False, object_store_memory=512_000_000, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["RIVAL_PORT"])})
    serve.run(Panoramic.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
    ray.shutdown()
