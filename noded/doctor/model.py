"""What the doctor asks of each node and makes of the answers. Never stored, never in the log."""

from collections.abc import Iterable, Mapping

import msgspec

from noded.core.finding import Finding
from noded.core.ids import NodeId, Revision

Key = tuple[str, str, str]


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one node says of itself."""

    now_ms: int
    findings: tuple[Finding, ...]


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What the doctor found: nothing, if the cloud is as its records say."""

    answered_by: NodeId
    revision: Revision  # of the records that were compared last
    nodes: tuple[str, ...]  # the names of those that were asked and answered
    looks: int  # what is found counts if it is there at two looks
    findings: tuple[Finding, ...]


class FirstSeen:
    """Since when this daemon has seen in the records what is allowed to take a while."""

    def __init__(self) -> None:
        self._since: dict[Key, float] = {}

    def note(self, findings: Iterable[Finding], now_s: float) -> None:
        """What is found now. What was found before and is not any more begins anew if it comes again."""
        keys = {finding.key for finding in findings if finding.patience_s}
        self._since = {key: self._since.get(key, now_s) for key in keys}

    def counts(self, finding: Finding, now_s: float) -> bool:
        """Whether it has stood for longer than it may."""
        return not finding.patience_s or now_s - self._since.get(finding.key, now_s) >= finding.patience_s


def lasting(before: Iterable[Finding], now: Iterable[Finding]) -> tuple[Finding, ...]:
    """What is found now and was found before: anything else was on its way."""
    seen = {finding.key for finding in before}
    return tuple(finding for finding in now if finding.key in seen)


def clocks_apart(asked_ms: int, answered_ms: int, said_ms: Mapping[str, int], limit_ms: int) -> dict[str, int]:
    """By name, how many milliseconds a node's clock is surely off from ours, where that is more than the limit."""
    ahead = {name: said - answered_ms for name, said in said_ms.items() if said - answered_ms > limit_ms}
    behind = {name: said - asked_ms for name, said in said_ms.items() if asked_ms - said > limit_ms}
    return ahead | behind
