"""Which moment does an operator mean by `2026-11-28`, `2026-11-28T05:30` or `2h`? Pure."""

import re
from datetime import datetime
from typing import Final

import msgspec

from noded.core.errors import Invalid

_BACK: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGO: Final = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


def moment_ms(text: str, now_ms: int) -> int:
    """Milliseconds since 1970. Times without a zone are UTC; `2h` is two hours ago. Raises `Invalid`."""
    if ago := _AGO.fullmatch(text):
        return now_ms - int(ago[1]) * _BACK[ago[2]] * 1000
    if _DATE.fullmatch(text):
        text = f"{text}T00:00"
    if time := _TIME.fullmatch(text):
        try:
            found = msgspec.convert(f"{time[1]}T{time[2]}{time[3] or ':00'}{time[4] or 'Z'}", type=datetime)
        except msgspec.ValidationError:
            pass
        else:
            return int(found.timestamp() * 1000)
    raise Invalid(
        f"{text[:50]!r} is no time. Write 2026-11-28, 2026-11-28T05:30 or 2026-11-28T05:30:00+01:00 (UTC without a"
        " zone), or how long ago: 90s, 30m, 2h, 7d, 4w."
    )
