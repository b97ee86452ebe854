"""How tokens, waiting nodes and refusals are shown by noded's own API."""

from collections.abc import Iterable

from consensus.doors.model import JoinRequest, JoinToken, RefusalsAt, Unclaimed
from consensus.members.model import Node
from noded.core.store import View
from noded.core.times import zulu


def token_view(token: JoinToken, view: View, now_ms: int) -> dict[str, object]:
    """A token's JSON; nothing in it opens a door."""
    return {
        "id": token.id,
        "state": token.state_at(now_ms).value,
        "uses": token.uses,
        "used": len(token.used_by),
        "used_by": [{"id": node_id, "name": _name(view, node_id)} for node_id in token.used_by],
        "created_at": zulu(token.created_at_ms),
        "created_by": token.created_by,
        "expires_at": zulu(token.expires_at_ms),
        "addresses": list(token.addresses),
    }


def request_view(request: JoinRequest) -> dict[str, object]:
    """The JSON of a node that waits for approval."""
    return {
        "id": request.node_id,
        "name": request.name,
        "words": request.words,
        "addresses": list(request.addresses),
        "release": request.release,
        "fingerprint": request.fingerprint,
        "waits_at": request.waits_at,
        "since": zulu(request.since_ms),
        "approved": request.approved,
        "agreed": request.agreed,
        "misfit": request.misfit,
    }


def unclaimed_view(node: Unclaimed) -> dict[str, object]:
    """The JSON of a node that announces itself as unclaimed."""
    return {
        "id": node.node_id,
        "name": node.name,
        "addresses": list(node.addresses),
        "release": node.release,
        "fingerprint": node.fingerprint,
        "cluster": node.cluster,
    }


def refusal_views(found: Iterable[RefusalsAt], view: View) -> list[dict[str, object]]:
    """The JSON of every line of every node, the newest first."""
    lines: list[dict[str, object]] = [
        {
            "node": at.node_id,
            "node_name": _name(view, at.node_id),
            "port": line.port,
            "kind": line.kind.value,
            "address": line.address,
            "count": line.count,
            "first_at": zulu(line.first_at_ms),
            "last_at": zulu(line.last_at_ms),
            "detail": line.detail,
        }
        for at in found
        for line in at.lines
    ]
    return sorted(lines, key=lambda line: str(line["last_at"]), reverse=True)


def _name(view: View, node_id: str) -> str:
    node = view.get(Node, node_id)
    return node.name if node else ""
