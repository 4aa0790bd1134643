"""Names for requests and answers: what the caller sent, where it is sane, or one of our own that sorts by time."""

import re
import secrets
import time
import uuid
from typing import Final

_SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def new_id() -> str:
    """A UUID of version 7 (RFC 9562 section 5.7): 48 bits of milliseconds since 1970, then random."""
    value = (
        (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64 | 0b10 << 62 | secrets.randbits(62)
    )
    return str(uuid.UUID(int=value))


def request_id(sent: str | None) -> str:
    """The caller's id where it is 1 to 64 letters, digits, dots, dashes or underscores; else a new one.

    Windows writes its ids in braces, which are left off.
    """
    bare = (sent or "").removeprefix("{").removesuffix("}")
    return bare if _SANE.fullmatch(bare) else new_id()
