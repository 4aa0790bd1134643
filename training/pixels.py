"""What the kinds of pixel arrays are called; each is `(height, width)`."""

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""Grey values, 0 black."""

Labels = npt.NDArray[np.uint8]
"""The FDI number or the class of each pixel's tooth, 0 where there is none."""

Mask = npt.NDArray[np.bool_]
"""True where something is, mostly tooth."""

Layer = npt.NDArray[np.float32]
"""Something to draw with before it is rounded to grey values, or how much of it there is in each pixel."""
