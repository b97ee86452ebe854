"""Where does this node write down whom it turned away? One book for all its ports, and a rationed line in the log."""

import ssl
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog
import trio

from consensus.refusals import Refusal, RefusalKind, RefusalLines, TurnedAway
from noded.core.clock import now_ms

log: Final = structlog.get_logger(__name__)


class Refused(Protocol):
    """What a listener calls when a connection came to nothing before the other side was known."""

    def __call__(self, address: str, fault: Exception) -> None:
        """`fault`: how its handshake ended."""


def ignored(address: str, fault: Exception) -> None:
    """For a listener whose refusals nobody counts."""


class RefusalBook:
    """Implements `consensus.doors.links.Refusals`."""

    def __init__(self, elsewhere: Callable[[], Iterable[Refusal]] = tuple) -> None:
        """`elsewhere`: what this node's other processes have counted."""
        self._lines = RefusalLines()
        self._elsewhere = elsewhere

    def note(self, kind: RefusalKind, port: int, address: str, detail: str = "", count: int = 1) -> None:
        """Someone got nowhere."""
        address = address.removeprefix("::ffff:")
        if self._lines.note(kind, port, address, now_ms(), detail, count):
            log.warning(
                "turned away", kind=kind.value, port=port, address=address, detail=detail,
                more="noded node refusals counts them all; this line comes once a minute at most",
            )  # fmt: skip

    def lines(self) -> list[Refusal]:
        """All counts, the newest first."""
        return sorted((*self._lines.lines(), *self._elsewhere()), key=lambda line: -line.last_at_ms)

    def at(self, port: int) -> Refused:
        """What the listener at that port calls."""

        def refused(address: str, fault: Exception) -> None:
            self.note(kind_of(fault), port, address, str(fault) or type(fault).__name__)

        return refused


def kind_of(fault: BaseException) -> RefusalKind:
    """What kind of refusal it is when a connection ends so before the other side is known."""
    if isinstance(fault, TurnedAway):
        return fault.kind
    cause = fault.__cause__ if isinstance(fault, trio.BrokenResourceError) and fault.__cause__ else fault
    if isinstance(cause, ssl.SSLError) and ("CERTIFICATE" in (cause.reason or "") or "certificate" in str(cause)):
        return RefusalKind.UNKNOWN_CERTIFICATE
    return RefusalKind.NO_TLS


def address_of(stream: trio.SocketStream) -> str:
    """Who is at the other end of a connection."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return "gone"
