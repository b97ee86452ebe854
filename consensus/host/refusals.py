"""Where does this node write down whom it turned away? One book for all its ports, and a rationed line in the log."""

from typing import Final

import structlog

from consensus.refusals import Refusal, RefusalKind, RefusalLines
from noded.core.clock import now_ms

log: Final = structlog.get_logger(__name__)


class RefusalBook:
    """Implements `consensus.doors.links.Refusals`."""

    def __init__(self) -> None:
        self._lines = RefusalLines()

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
        return self._lines.lines()
