"""How long is `90m`? Lives of tokens as people write them."""

import re

from noded.core.errors import Invalid

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_FORM = re.compile(r"([0-9]{1,6})([smhd])")


def ttl_ms(text: str) -> int:
    """Milliseconds of a number with one of the units s, m, h, d. Raises Invalid."""
    found = _FORM.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise Invalid(f"{text[:20]!r} is no length of time: write a number and s, m, h or d, such as 30m, 1h or 7d.")
    return int(found[1]) * _UNITS_MS[found[2]]
