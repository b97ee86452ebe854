"""Answers what the cluster's authority is, and begins to rotate it."""

from datetime import UTC, datetime

import msgspec

from consensus.authority import authority_hash, found_authority
from consensus.certificates.commands import BeginRotation
from consensus.certificates.model import ROTATION, Rotation
from consensus.certificates.views import authority_view
from consensus.members.model import AUTHORITY, CLUSTER, ClusterAuthority, ClusterFacts, Node
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Unavailable
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler


async def show_authority(request: Request) -> Response:
    """GET /noded/v1/authority: its certificate, and how far a rotation has come."""
    return Response(body=_shown(request.cluster))


async def rotate_authority(request: Request) -> Response:
    """POST /noded/v1/authority/rotate: begin; it goes on by itself, whoever restarts meanwhile."""
    return Response(body=await _rotate(request.cluster))


def _shown(cluster: Cluster) -> dict[str, object]:
    view = cluster.view()
    authority = view.get(ClusterAuthority, AUTHORITY)
    if authority is None:
        raise Unavailable("This member is still learning the cluster's state; ask again in a moment.")
    mark = authority_hash(authority.certificate_pem.encode()).hex()
    return authority_view(mark, authority.certificate_pem, view.get(Rotation, ROTATION), view.all(Node))


async def _rotate(cluster: Cluster) -> dict[str, object]:
    facts = cluster.view().get(ClusterFacts, CLUSTER)
    made = found_authority(facts.name if facts else "", datetime.now(UTC))
    await cluster.propose(
        BeginRotation(certificate_pem=made.certificate_pem.decode(), key_pem=made.key_pem.decode(), now_ms=now_ms())
    )
    return _shown(cluster)


async def _show_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(_shown(context.cluster))


async def _rotate_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(await _rotate(context.cluster))


LOCAL_CALLS: dict[str, PeerHandler] = {
    "certificates.show": _show_at_console,
    "certificates.rotate": _rotate_at_console,
}

ROUTES = (
    Route(verb="GET", path="/authority", handler=show_authority, allow=Allow.ADMIN),
    Route(verb="POST", path="/authority/rotate", handler=rotate_authority, allow=Allow.ADMIN, done=Done.ACCEPTED),
)
