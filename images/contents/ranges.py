"""Which bytes does a request ask for, or bring? One range of bytes, as RFC 9110 (14) writes it. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from images.catalog.model import IMAGE_BYTES_MAX
from noded.core.errors import Invalid, Kind, Refused, TooLarge

_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_SENT: Final = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19}|\*)", re.ASCII)


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


@dataclass(frozen=True, slots=True)
class Part:
    """Which bytes of a file a request brings: from `start` to before `end`, of `total` where that is known."""

    start: int
    end: int
    total: int | None

    @property
    def is_last(self) -> bool:
        """Whether the file is whole with it."""
        return self.end == self.total


def sent_part(header: str) -> Part:
    """What `Content-Range` says that a body is (RFC 9110, 14.4): `bytes FIRST-LAST/TOTAL`, `bytes FIRST-LAST/*`.

    `bytes */TOTAL` is a last part without bytes. Raises `Invalid` for anything else.
    """
    match = _SENT.fullmatch(header.strip())
    if match is None:
        raise Invalid(f"Content-Range must be like bytes 0-1048575/3000000, not {header[:64]}.")
    first, last, whole = match.groups()
    total = None if whole == "*" else int(whole)
    if first is None:
        if total is None:
            raise Invalid("Content-Range names neither bytes nor their total.")
        return Part(total, total, total)
    start, end = int(first), int(last) + 1
    if start >= end or end > (IMAGE_BYTES_MAX if total is None else total):
        raise Invalid(f"The bytes {first}-{last} are not in a file of {whole} bytes.")
    if total is not None and total > IMAGE_BYTES_MAX:
        raise TooLarge(f"An image may have at most {IMAGE_BYTES_MAX} bytes.")
    return Part(start, end, total)
