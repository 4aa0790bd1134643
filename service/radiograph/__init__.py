"""From a file's bytes to a radiograph's grey values."""

from service.radiograph.decode import decode
from service.radiograph.radiograph import Format, Limits, Radiograph

__all__ = ["Format", "Limits", "Radiograph", "decode"]
