"""A part of one request's work done beside the rest, where a core is free for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_First = TypeVar("_First")
_Second = TypeVar("_Second")

_HELPER: Final = ThreadPoolExecutor(1, "helper")


def beside(work: Callable[[], _First]) -> Callable[[], _First]:
    """Hand a piece of work to a thread that all requests share; what comes back gives its result.

    Where that thread has not come to it by the time when the result is asked for, as when many requests are under way,
    who asks does it, as if there were no such thread: nobody waits for somebody else's work.
    """
    handed = _HELPER.submit(work)
    return lambda: work() if handed.cancel() else handed.result()


def both(first: Callable[[], _First], second: Callable[[], _Second]) -> tuple[_First, _Second]:
    """What two pieces of work give, the second done `beside` the first."""
    result = beside(second)
    return first(), result()
