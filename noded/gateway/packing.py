"""Is an answer made smaller on its way? gzip, for clients that take it and texts that are worth it."""

import re
import zlib
from typing import Final

import trio

from noded.core.units import KIB
from noded.gateway.answer import Answer

BYTES_MIN: Final = 8 * KIB  # below that a client waits longer for two CPUs than for the network
THREAD_BYTES_MIN: Final = 64 * KIB
LEVEL: Final = 1  # lists of JSON shrink to a tenth by it; level 6 takes three times as long for a fifth less
_GZIP: Final = 31  # zlib's word for a gzip head and tail
_TEXTS: Final = ("application/json", "text/", "application/javascript", "image/svg+xml", "application/yaml")
_ACCEPTED: Final = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?(?=,|$)", re.IGNORECASE)


def accepts(header: str) -> bool:
    """Whether an Accept-Encoding takes gzip (RFC 9110, 12.5.3)."""
    found = _ACCEPTED.search(header)
    return found is not None and (found[1] is None or float(found[1]) > 0)


async def packed(answer: Answer, accept_encoding: str) -> Answer:
    """The answer as it goes out: smaller, if it is a whole text and the client takes that."""
    content = answer.content
    if not isinstance(content, bytes) or len(content) < BYTES_MIN or "content-encoding" in answer.headers:
        return answer
    if not answer.headers.get("content-type", "").startswith(_TEXTS):
        return answer
    vary = answer.headers.get("vary", "")
    headers = {**answer.headers, "vary": f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"}
    if not accepts(accept_encoding):
        return Answer(answer.status, headers, content)
    if len(content) < THREAD_BYTES_MIN:
        smaller = _gzip(content)
    else:
        smaller = await trio.to_thread.run_sync(_gzip, content)
    return Answer(answer.status, {**headers, "content-encoding": "gzip"}, smaller)


def _gzip(content: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(content) + packer.flush()
