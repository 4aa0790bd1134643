"""Where training pictures come from, and the checks that they are what they should be."""

from training.data.samples import DataError, Sample
from training.data.splits import Splits, load_split, load_splits

__all__ = ["DataError", "Sample", "Splits", "load_split", "load_splits"]
