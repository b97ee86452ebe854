"""Answers which level of commands the cluster is at, and which nodes hold it back. Any node answers."""

import msgspec

from consensus.levels.plan import report
from consensus.levels.views import levels_view
from consensus.members.model import Node
from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler


async def show_levels(request: Request) -> Response:
    """GET /noded/v1/levels: the cluster's level and every member's."""
    return Response(body=levels_view(report(request.cluster.view())))


async def explain_level(context: PeerContext, id: str) -> dict[str, object]:
    """One node's level, by its id or name, and what it means for all."""
    found = report(context.cluster.view())
    for node in context.cluster.view().all(Node):
        if id in (node.id, node.name):
            behind = [found.names[node_id] for node_id in found.behind]
            return {
                "node": {"name": node.name, "release": node.release, "level": found.members[node.id]},
                "cluster": {"level": found.cluster, "held_back_by": behind},
            }
    raise NotFound.of("node", id)


async def _levels(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(levels_view(report(context.cluster.view())))


PEER_CALLS: dict[str, PeerHandler] = {"levels.show": _levels}

ROUTES = (Route(verb="GET", path="/levels", handler=show_levels, allow=Allow.ADMIN),)
