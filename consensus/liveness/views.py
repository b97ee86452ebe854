"""How sights and outlook are shown by noded's own API. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from consensus.liveness.model import Change, NodeVerdict, Outlook, Sight
from noded.core.ids import NodeId
from noded.core.times import zulu

Names = Mapping[NodeId, str]


def sight_view(sight: Sight, names: Names, verdict: NodeVerdict | None) -> dict[str, object]:
    """One node's JSON."""
    return {
        "id": sight.node_id,
        "name": names.get(sight.node_id, sight.node_id[:12]),
        "state": sight.state,
        "since": zulu(sight.since_ms),
        "seen_by": _named(sight.seen_by, names),
        "missed_by": _named(sight.missed_by, names),
        "declared_down_at": None if verdict is None else zulu(verdict.declared_at_ms),
        "flaps": sight.flaps,
        "steady_s": sight.steady_s,
    }


def outlook_view(outlook: Outlook) -> dict[str, object]:
    """What the answering node may do, as JSON."""
    since_ms = outlook.minority_since_ms
    return {
        "has_majority": outlook.has_majority,
        "minority_since": None if since_ms is None else zulu(since_ms),
        "voters": len(outlook.voters),
        "voters_seen": len(outlook.voters_seen),
        "lost": [{"id": lost.node_id, "name": lost.name, "since": zulu(lost.since_ms)} for lost in outlook.lost],
    }


def changes_view(changes: Sequence[Change], names: Names) -> list[str]:
    """What a node became lately, a line each."""
    return [
        f"{zulu(change.at_ms)} {change.state}"
        + (f", not heard by {', '.join(_named(change.missed_by, names))}" if change.missed_by else "")
        for change in changes
    ]


def _named(node_ids: Iterable[NodeId], names: Names) -> list[str]:
    return sorted(names.get(node_id, node_id[:12]) for node_id in node_ids)
