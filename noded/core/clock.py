"""What time it is, in the forms that records and APIs use. Handlers read it; a command carries what was read."""

from datetime import UTC, datetime


def now_ms() -> int:
    """Wall-clock time in milliseconds since 1970, UTC: the form in which records keep every time."""
    return int(datetime.now(UTC).timestamp() * 1000)
