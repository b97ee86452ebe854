"""What may be raised when bytes that somebody else wrote are decoded? More than msgspec's own errors."""

from typing import Final

import msgspec

# A text that is no UTF-8, and nesting without end, are told by Python's errors: who catches `DecodeError` alone lets
# one frame of a stranger end the daemon.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
