"""When does something expire? Keystone's times as text, read to the microsecond: what a client sent it finds again."""

from datetime import UTC, datetime
from typing import Final

from noded.core.errors import Invalid

_FORMS: Final = ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")


def read_expiry(text: str | None, now_ms: int) -> int | None:
    """Microseconds since 1970. Raises `Invalid` for what is no time in UTC, and for one that has passed."""
    if text is None:
        return None
    bare = text.removesuffix("Z").removesuffix("+00:00").removesuffix("+0000")
    for form in _FORMS:
        try:
            moment = datetime.strptime(bare, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        expires_us = round(moment.timestamp()) * 1_000_000 if moment.microsecond == 0 else _micros(moment)
        if expires_us <= now_ms * 1000:
            raise Invalid(f"The 'expires_at' must not be before now. It was {text[:64]}.")
        return expires_us
    raise Invalid(f"Timestamp not in expected format: {text[:64]}. It must look like 2026-01-02T03:04:05.000000Z.")


def _micros(moment: datetime) -> int:
    whole = moment.replace(microsecond=0)
    return round(whole.timestamp()) * 1_000_000 + moment.microsecond


def naive(expires_us: int) -> str:
    """`2026-01-02T03:04:05.000006`, as application credentials have it."""
    return _moment(expires_us).strftime("%Y-%m-%dT%H:%M:%S.%f")


def zulu(expires_us: int) -> str:
    """`2026-01-02T03:04:05.000006Z`, as trusts have it."""
    return naive(expires_us) + "Z"


def _moment(expires_us: int) -> datetime:
    seconds, micros = divmod(expires_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
