"""What the kinds of arrays are called; those of pixels are `(height, width)`.

`Picture` and `Labels` are the service's own; in training the labels of a picture may be classes instead of FDI numbers.
"""

import numpy as np
import numpy.typing as npt

from service.segmentation import Labels, Picture

__all__ = ["Labels", "Layer", "Mask", "Picture", "Points"]

Mask = npt.NDArray[np.bool_]
"""True where something is, mostly tooth."""

Layer = npt.NDArray[np.float32]
"""Something to draw with before it is rounded to grey values, or how much of it there is in each pixel."""

Points = npt.NDArray[np.float64]
"""Places, `(…, 2)` with x before y; of what, the one who takes them says."""
