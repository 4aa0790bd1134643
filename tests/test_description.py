"""The running service keeps to its own OpenAPI description, whatever is sent to it."""

import asyncio

import httpx
import schemathesis
from hypothesis import settings
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
)

from service.api.app import create_app
from service.settings import Settings

schema = schemathesis.openapi.from_dict(create_app(Settings()).openapi())


@schema.parametrize()
@settings(max_examples=10)
def test_every_route_answers_as_described(case: schemathesis.Case, service_url: str) -> None:
    # Random bytes are a valid upload by the description and no radiograph, and the other way round.
    unknowable = [positive_data_acceptance, negative_data_rejection, unsupported_method]
    case.call_and_validate(base_url=service_url, excluded_checks=unknowable)


def test_a_fault_that_nobody_foresaw_is_answered_as_a_problem_and_counted() -> None:
    app = create_app(Settings())

    @app.get("/faulty")
    async def faulty() -> None:
        raise ValueError("Mueller")

    async def ask() -> tuple[httpx.Response, httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get("/faulty"), await client.get("/metrics")

    answer, metrics = asyncio.run(ask())
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["type"] == "urn:panoseg:problem:internal-error"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "Mueller" not in answer.text
    assert "panoseg_faults_total 1.0" in metrics.text
