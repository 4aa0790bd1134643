"""The loops that the benchmark of training speed times: each one trains, on pictures of any make."""

import cv2
import numpy as np
import pytest

from benchmarks.training_loops import measure
from benchmarks.training_speed import arms
from training.config import Config

CONFIG = Config.model_validate(
    {
        "name": "tiny",
        "data": {"kind": "phantom", "train": 4, "val": 1, "test": 1},
        "network": {"encoder": "timm-regnetx_002", "decoder_channels": [32, 16, 16, 8, 8]},
        "phases": [{"height": 64, "width": 64, "epochs": 1, "batch": 2}],
        "optimiser": {"name": "adamw", "learning_rate": 0.001, "gradient_clip": 1.0},
        "scheduler": {"name": "one-cycle"},
        "augmentation": {"mirror": 0.5},
        "average_decay": 0.9,
        "precision": "fp32",
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two batches of pictures: fewer than a loop goes through."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(1)
    for number in range(4):
        cv2.imwrite(str(folder / f"{number:04}.jpg"), generator.integers(0, 256, (128, 160), np.uint8))
        labels = np.zeros((128, 160), np.uint8)
        labels[40:80, 20:60] = 11
        cv2.imwrite(str(folder / f"{number:04}.png"), labels)
    return folder


@pytest.mark.parametrize("arm", arms(bf16=True), ids=lambda arm: arm.name)
def test_every_arm_trains_and_is_timed(arm, folder):
    assert measure(arm.setting, CONFIG, folder, steps=1) > 0


def test_where_the_hardware_has_no_bf16_no_arm_uses_it():
    assert all(arm.setting.precision == "fp32" for arm in arms(bf16=False))
