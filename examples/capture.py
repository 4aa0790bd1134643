"""What a capture program does: POST a radiograph and read the answer, with Python's standard library alone."""

import json
import urllib.error
import urllib.request
from typing import Any, Final

# Not urllib's own, which would send radiographs to the proxy that the machine may have for the internet.
OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Refused(Exception):
    """The service did not take the radiograph; the message is its own sentence where it answered."""


def segment(service_url: str, radiograph: bytes) -> dict[str, Any]:
    """Send a radiograph's bytes and wait for its teeth, mask and overlay.

    Raises:
        Refused: the service answered with a problem (RFC 9457), or not at all.
    """
    request = urllib.request.Request(
        f"{service_url.rstrip('/')}/v1/segment?include=polygons,mask,overlay",
        data=radiograph,
        headers={"Content-Type": "application/octet-stream"},
    )
    try:
        with OPENER.open(request, timeout=30) as answer:
            content: dict[str, Any] = json.load(answer)
            return content
    except urllib.error.HTTPError as error:
        try:
            problem = json.load(error)
            raise Refused(f"{problem['title']}: {problem['detail']}") from error
        except (ValueError, KeyError):  # not the service's own answer, but that of a proxy before it
            raise Refused(f"{service_url} answered {error.code} {error.reason}") from error
    except OSError as error:  # no connection, or one that ends while a far too large upload is being sent
        raise Refused(f"No answer from {service_url}: {error}") from error
