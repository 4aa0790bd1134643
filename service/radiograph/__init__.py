"""From a file's bytes to a radiograph's grey values."""

from service.radiograph.decode import Limits, Radiograph, decode

__all__ = ["Limits", "Radiograph", "decode"]
