"""Who was turned away, at which port, and why? Counted in bounded memory, however many knock. The caller has the clock.

Whoever scans a network's ports, guesses secrets or shows a stranger's certificate makes one line here, with a count,
and now and then a line in the log; never one for each connection.
"""

from collections import OrderedDict
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

LINES_MAX: Final = 256
DETAIL_CHARS_MAX: Final = 200
LOGGED_AGAIN_MS: Final = 60_000


class RefusalKind(StrEnum):
    """What someone did that got nowhere."""

    NO_TLS = "no_tls"  # connected and spoke no TLS, or left before it was agreed: a scan looks like this
    UNKNOWN_CERTIFICATE = "unknown_certificate"  # none, or one that this cluster's authority did not sign
    REMOVED_NODE = "removed_node"  # a node that was a member once
    OTHER_CLUSTER = "other_cluster"  # a member of another cluster, or of another life of this one
    WRONG_SECRET = "wrong_secret"  # noqa: S105  # a word; seed, token or claim code was not proved to be known
    TOO_MANY = "too_many"  # more connections or attempts than one address may make
    NO_PROTOCOL = "no_protocol"  # TLS was agreed, and what came then was not understood
    NOT_ADMITTED = "not_admitted"  # proved to know a secret, and does not fit or may not come in


class TurnedAway(Exception):  # noqa: N818  # what happened to it
    """A connection that was agreed upon and is not wanted; the message says why."""

    def __init__(self, kind: RefusalKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One line: so many attempts of one kind, at one port, from one address."""

    port: int
    kind: RefusalKind
    address: str  # "elsewhere" sums up those for whom there was no line left
    count: int
    first_at_ms: int
    last_at_ms: int
    detail: str = ""  # of the newest one


class RefusalLines:
    """The counts of one node. At most `LINES_MAX` lines; the one that was quiet for longest is summed up first."""

    def __init__(self) -> None:
        self._lines: OrderedDict[tuple[int, RefusalKind, str], Refusal] = OrderedDict()
        self._elsewhere: dict[tuple[int, RefusalKind], Refusal] = {}
        self._logged_at_ms: dict[tuple[int, RefusalKind], int] = {}

    def note(self, kind: RefusalKind, port: int, address: str, now_ms: int, detail: str = "", count: int = 1) -> bool:
        """Count. Whether it is time for a line in the log: one a minute for each port and kind."""
        key = (port, kind, address)
        before = self._lines.pop(key, None)
        self._lines[key] = Refusal(
            port=port,
            kind=kind,
            address=address,
            count=count + (before.count if before else 0),
            first_at_ms=before.first_at_ms if before else now_ms,
            last_at_ms=now_ms,
            detail=detail[:DETAIL_CHARS_MAX],
        )
        if len(self._lines) > LINES_MAX:
            self._sum_up(self._lines.popitem(last=False)[1])
        due = now_ms - self._logged_at_ms.get((port, kind), -LOGGED_AGAIN_MS) >= LOGGED_AGAIN_MS
        if due:
            self._logged_at_ms[port, kind] = now_ms
        return due

    def lines(self) -> list[Refusal]:
        """All lines, the newest first."""
        every: Iterable[Refusal] = (*self._lines.values(), *self._elsewhere.values())
        return sorted(every, key=lambda line: (-line.last_at_ms, line.port, line.kind, line.address))

    def total(self) -> int:
        """How many there were since the start."""
        return sum(line.count for line in self.lines())

    def _sum_up(self, line: Refusal) -> None:
        before = self._elsewhere.get((line.port, line.kind))
        self._elsewhere[line.port, line.kind] = Refusal(
            port=line.port,
            kind=line.kind,
            address="elsewhere",
            count=line.count + (before.count if before else 0),
            first_at_ms=min(line.first_at_ms, before.first_at_ms) if before else line.first_at_ms,
            last_at_ms=max(line.last_at_ms, before.last_at_ms) if before else line.last_at_ms,
        )
