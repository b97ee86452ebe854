"""Which bytes does a `Range` header ask for? One range of bytes, as RFC 9110 (14.1.2) writes it. Pure."""

import re
from typing import Final

from noded.core.errors import Kind, Refused

_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for everything, also where the header can't be understood.

    Raises a refusal of the kind RANGE if nothing of the range is there.
    """
    match = _RANGE.fullmatch(header.replace(" ", "")) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    elif last:
        start, end = max(0, size - int(last)), size
    else:
        return None
    if start >= end:
        raise Refused(f"The image has {size} bytes; nothing is at {header}.", kind=Kind.RANGE)
    return start, end
