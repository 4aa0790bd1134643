"""What is set, by the environment or as an option, holds; what makes no sense is refused."""

from contextlib import closing

import pytest
from pydantic import ValidationError

from service.errors import TooManyPixels
from service.model.package import ModelPackage
from service.segmenter import Segmenter, Wanted
from service.settings import Settings
from service.ticket import Ticket
from training.phantom import Phantom


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PANOSEG_MAX_REQUESTS", "3")
    monkeypatch.setenv("PANOSEG_PROVIDER", "cpu")
    assert (Settings().max_requests, Settings().provider) == (3, "cpu")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PANOSEG_PORT", "-1"),
        ("PANOSEG_PROVIDER", "-1"),
        ("PANOSEG_TIMEOUT_S", "-1"),
        ("PANOSEG_TIMEOUT_S", "nan"),
        ("PANOSEG_MAX_UPLOAD_MB", "inf"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError):
        Settings()


def test_a_picture_above_the_limit_that_is_set_is_refused(
    package: ModelPackage, phantom: Phantom, phantom_png: bytes
) -> None:
    opened = Segmenter(package, Settings(provider="cpu", max_megapixels=phantom.pixels.size / 2e6))
    with closing(opened), pytest.raises(TooManyPixels):
        opened.segment(phantom_png, Wanted(), Ticket(60))
