"""What the kinds of pixel arrays are called; each is `(height, width)`.

`Picture` and `Labels` are the service's own; in training the labels of a picture may be classes instead of FDI numbers.
"""

import numpy as np
import numpy.typing as npt

from service.segmentation import Labels, Picture

__all__ = ["Labels", "Layer", "Mask", "Picture"]

Mask = npt.NDArray[np.bool_]
"""True where something is, mostly tooth."""

Layer = npt.NDArray[np.float32]
"""Something to draw with before it is rounded to grey values, or how much of it there is in each pixel."""
