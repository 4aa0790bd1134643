"""What tests share: the shipped model behind a real server, and a radiograph that it can read."""

import os
from collections.abc import Iterator
from functools import lru_cache

import hypothesis
import pytest

import training.phantom
from service.model.package import ModelPackage, choose_package
from service.segmenter import Segmenter
from service.settings import Settings
from tests.running import running_service
from training.phantom import Phantom, draw_phantom

# As many processes test as there are cores; threads of several that wait for each other awake would wait for minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Machines are shared and noisy: no test is held to a time.
hypothesis.settings.register_profile("panoseg", deadline=None, print_blob=True)
hypothesis.settings.load_profile("panoseg")

# Every run that a test trains would draw the same radiographs anew, which took minutes.
training.phantom.draw_samples = lru_cache(maxsize=16)(training.phantom.draw_samples)


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    """A drawn panoramic with its truth."""
    return draw_phantom(7)


@pytest.fixture(scope="session")
def phantom_png(phantom: Phantom) -> bytes:
    """The same as a PNG file's bytes."""
    import cv2

    return cv2.imencode(".png", phantom.pixels)[1].tobytes()


@pytest.fixture(scope="session")
def package() -> ModelPackage:
    """The model that ships."""
    return choose_package(Settings().models, None)


@pytest.fixture(scope="session")
def segmenter(package: ModelPackage) -> Iterator[Segmenter]:
    """The way through, without a server."""
    opened = Segmenter(package, Settings(provider="openvino"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def service_url() -> Iterator[str]:
    """The address of a running service."""
    # The same for all, so that answers can be held against each other bit by bit.
    with running_service("--provider", "openvino") as (url, _, _):
        yield url
