"""What several tests of training stand on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.phantom import draw_samples


@pytest.fixture(scope="session")
def write_drawn_pairs() -> Callable[[Path, int, int], None]:
    """Writes a split of so many drawn radiographs, from a seed on, as pictures and masks without numbers."""

    def write(folder: Path, count: int, seed: int) -> None:
        for part in ("images", "masks"):
            (folder / part).mkdir(parents=True)
        for sample in draw_samples(count, seed):
            (folder / "images" / sample.name).write_bytes(sample.data)
            cv2.imwrite(str(folder / "masks" / sample.name), np.where(sample.labels, 255, 0).astype(np.uint8))

    return write


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Sums come out the same to the last bit only where they are split alike."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
