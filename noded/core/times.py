"""How a record's time (milliseconds since 1970, UTC) is written in each API. Pure."""

from datetime import UTC, datetime


def _utc(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def zulu(ms: int) -> str:
    """`2026-01-02T03:04:05Z`: Nova, Neutron and Glance."""
    return _utc(ms).strftime("%Y-%m-%dT%H:%M:%SZ")


def zulu_micro(ms: int) -> str:
    """`2026-01-02T03:04:05.000000Z`: Keystone."""
    return _utc(ms).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def naive_micro(ms: int) -> str:
    """`2026-01-02T03:04:05.000000`: Cinder, and Nova's OS-SRV-USG fields."""
    return _utc(ms).strftime("%Y-%m-%dT%H:%M:%S.%f")


def parsed_ms(text: str) -> int | None:
    """A moment as ISO 8601 writes it, UTC unless it says otherwise; None for what is none."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() * 1000)
