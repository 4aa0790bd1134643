"""Two halves of one request's work at once, where a core is free for the second."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

_First = TypeVar("_First")
_Second = TypeVar("_Second")

_HELPER: Final = ThreadPoolExecutor(1, "helper")


def both(first: Callable[[], _First], second: Callable[[], _Second]) -> tuple[_First, _Second]:
    """What two pieces of work give, the second done by a thread that all requests share.

    Where that thread has not come to it once the first is done, as when many requests are under way, it is done after
    the first, as if there were no such thread: nobody waits for somebody else's work.
    """
    later = _HELPER.submit(second)
    try:
        done = first()
    finally:
        not_begun = later.cancel()
    return done, second() if not_begun else later.result()
