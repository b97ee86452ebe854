"""How do the storage processes say what happened? One JSON object a line on standard error, which is their log file.

The same form as the daemon's log. structlog would cost each of these processes, of which a node runs many, 8 MiB.
"""

import sys
from datetime import UTC, datetime

import msgspec


def note(message: str, **fields: object) -> None:
    """Log a constant message with fields."""
    line = {"timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": message, **fields}
    sys.stderr.write(msgspec.json.encode(line, enc_hook=str).decode() + "\n")
    sys.stderr.flush()
