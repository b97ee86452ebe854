"""Answers /noded/v1/certificates: what the API shows beside the cluster's own certificate; installs and removes it."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from consensus.members.model import Node
from consensus.own_certificates.commands import InstallCertificate, RemoveCertificate
from consensus.own_certificates.model import EVERYWHERE, OwnCertificate
from consensus.own_certificates.reading import CHARS_MAX, expect_usable
from consensus.own_certificates.views import certificate_view
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler

Pem = Annotated[str, msgspec.Meta(max_length=CHARS_MAX)]


class NewCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`chain`: the certificate, then those that signed it. `node`: by name or id; None: every node shows it."""

    chain: Pem
    key: Pem
    node: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class CertificateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{"certificate": {...}}`."""

    certificate: NewCertificate


async def list_certificates(request: Request) -> Response:
    """GET /noded/v1/certificates: without keys."""
    return Response(body=_listed(request.cluster))


async def install_certificate(request: Request) -> Response:
    """PUT /noded/v1/certificates: on every node, or on one; no daemon restarts and no connection is cut."""
    await _install(request.cluster, (await request.json(CertificateBody)).certificate)
    return Response(body=_listed(request.cluster))


async def remove_certificate(request: Request) -> Response:
    """DELETE /noded/v1/certificates/{place}: of one node, by name or id, or `everywhere`."""
    await _remove(request.cluster, request.params["place"])
    return Response()


def _listed(cluster: Cluster) -> dict[str, object]:
    view = cluster.view()
    names: dict[str, str] = {node.id: node.name for node in view.all(Node)}
    return {"certificates": [certificate_view(each, names.get(each.id)) for each in view.all(OwnCertificate)]}


async def _install(cluster: Cluster, new: NewCertificate) -> None:
    place, where = _place(cluster, EVERYWHERE if new.node is None else new.node)
    facts = expect_usable(new.chain, new.key, datetime.now(UTC))
    names = ", ".join(facts.names[:5]) + (" and more" if len(facts.names) > 5 else "")
    await cluster.propose(
        InstallCertificate(place=place, names=names, where=where, chain_pem=new.chain, key_pem=new.key, now_ms=now_ms())
    )


async def _remove(cluster: Cluster, name: str) -> None:
    place, where = _place(cluster, name)
    cluster.view().need(OwnCertificate, place)
    await cluster.propose(RemoveCertificate(place=place, where=where))


def _place(cluster: Cluster, name: str) -> tuple[str, str]:
    """The id of a place and what it is called."""
    if name == EVERYWHERE:
        return EVERYWHERE, "every node"
    for node in cluster.view().all(Node):
        if name in (node.id, node.name):
            return node.id, f"node {node.name}"
    raise NotFound.of("node", name)


async def _list_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(_listed(context.cluster))


async def _install_at_console(context: PeerContext, payload: bytes) -> bytes:
    await _install(context.cluster, msgspec.msgpack.decode(payload, type=NewCertificate))
    return msgspec.msgpack.encode(_listed(context.cluster))


async def _remove_at_console(context: PeerContext, payload: bytes) -> bytes:
    await _remove(context.cluster, payload.decode())
    return msgspec.msgpack.encode(_listed(context.cluster))


LOCAL_CALLS: dict[str, PeerHandler] = {
    "own_certificates.list": _list_at_console,
    "own_certificates.install": _install_at_console,
    "own_certificates.remove": _remove_at_console,
}

ROUTES = (
    Route(verb="GET", path="/certificates", handler=list_certificates, allow=Allow.ADMIN),
    Route(verb="PUT", path="/certificates", handler=install_certificate, allow=Allow.ADMIN, body_max=192 * 1024),
    Route(verb="DELETE", path="/certificates/{place}", handler=remove_certificate, allow=Allow.ADMIN, done=Done.EMPTY),
)
