"""Keeps memory that was freed, as each request needs as much again: pages given back are costly to get anew."""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MOST_ARENAS = -1, -2, -3, -8
"""Parameters of `mallopt` (glibc, malloc.h)."""

_LARGEST_KEPT: Final = 32 << 20
"""Bytes of a block that is kept; the most that glibc allows."""

_MOST_KEPT: Final = 128 << 20
"""Bytes at the end of a heap beyond which they are given back: some requests' worth of large pictures."""

_ARENAS: Final = 2

_HEAP: Final = 64 << 20
"""Bytes of each of the heaps that a thread's arena is made of; glibc's own, on 64 bits."""


def keep_freed_memory() -> None:
    """Tell glibc to keep freed blocks for the next request; other C libraries are left as they are."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        # One for each thread, as glibc would have it, would keep its own share.
        mallopt(_MOST_ARENAS, _ARENAS)
        mallopt(_TRIM_THRESHOLD, _MOST_KEPT)
        # No threshold counts for a heap that is all free: it goes unless the one before it has less free than this.
        mallopt(_TOP_PAD, _HEAP)
