"""The running service keeps to its own OpenAPI description, whatever is sent to it."""

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
