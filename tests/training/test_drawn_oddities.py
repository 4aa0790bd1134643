"""What has no class is drawn on a radiograph that is otherwise the same."""

import numpy as np
import pytest

from training.drawn_oddities import ODDITIES, draw_oddity
from training.phantom import draw_phantom


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.name)
def test_it_is_seen_on_the_picture_and_is_no_tooth_in_the_truth(oddity):
    drawn, plain = draw_oddity(oddity, 11), draw_phantom(11, missing=oddity.missing)
    assert np.array_equal(drawn.labels, plain.labels)
    changed = np.abs(drawn.pixels.astype(int) - plain.pixels) > 20
    assert 0.003 < changed.mean() < 0.05
