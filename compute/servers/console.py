"""How a guest's console log travels from its node to whichever node was asked for it, and how lines are cut from it."""

import msgspec

from noded.core.ids import ServerId
from noded.core.units import KIB

CONSOLE_CALL = "server.console"
LINES_BYTES_MAX = 100 * KIB  # as much as Nova gives


class ConsoleQuestion(msgspec.Struct, frozen=True):
    """The payload of the peer call; the answer is the bytes."""

    server_id: ServerId
    bytes_max: int


def last_lines(written: bytes, lines: int | None) -> str:
    """The last `lines` lines of a console log as text; None: all of it."""
    # What is not UTF-8, or may not stand in JSON as text, is shown as a question mark, as terminals do.
    text = written.decode(errors="replace").replace("\0", "")
    if lines is None:
        return text
    if lines == 0:
        return ""
    kept = text.split("\n")
    tail = kept[-lines - 1 :] if text.endswith("\n") else kept[-lines:]
    return "\n".join(tail)
