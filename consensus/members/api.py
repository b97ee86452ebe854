"""Answers who the cluster's nodes are, and takes what an administrator asks of one. Any node answers for all."""

import msgspec

from consensus.members.authority import Asked, Desk, leave_from
from consensus.members.links import Dependants, Electorate, Exit
from noded.core.route import Allow, Request, Response, Route


class _Removal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a node is to go. `plan`: only say what would happen; `force`: what would be lost may be lost."""

    plan: bool = False
    force: bool = False


class _NewName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node is to be called."""

    name: str


class _Labels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Labels to set; null takes one away."""

    labels: dict[str, str | None]


async def list_nodes(request: Request) -> Response:
    """GET /noded/v1/nodes: every member, as this node sees it; former ones; what is worth knowing."""
    return Response(body=await _desk(request).listing())


async def show_node(request: Request) -> Response:
    """GET /noded/v1/nodes/{id}: one member and what it holds."""
    return Response(body=await _desk(request).show(request.params["node_id"]))


async def drain_node(request: Request) -> Response:
    """POST /noded/v1/nodes/{id}/drain: nothing new comes to it; what still holds it is in the answer."""
    return Response(body=await _desk(request).drain(request.params["node_id"], draining=True))


async def undrain_node(request: Request) -> Response:
    """POST /noded/v1/nodes/{id}/undrain: it takes part again."""
    return Response(body=await _desk(request).drain(request.params["node_id"], draining=False))


async def rename_node(request: Request) -> Response:
    """POST /noded/v1/nodes/{id}/rename: another name."""
    body = await request.json(_NewName)
    return Response(body=await _desk(request).rename(request.params["node_id"], body.name))


async def label_node(request: Request) -> Response:
    """POST /noded/v1/nodes/{id}/label: labels set or taken away."""
    body = await request.json(_Labels)
    return Response(body=await _desk(request).label(request.params["node_id"], body.labels))


async def leave_node(request: Request) -> Response:
    """POST /noded/v1/nodes/{id}/leave: a node that answers goes for good."""
    body = await request.json(_Removal)
    asked = Asked(node=request.params["node_id"], forced=body.force, plan=body.plan, origin=request.cluster.origin)
    return Response(body=await leave_from(_desk(request), asked))


async def forget_node(request: Request) -> Response:
    """POST /noded/v1/nodes/{id}/forget: a node that does not answer any more is removed."""
    body = await request.json(_Removal)
    return Response(body=await _desk(request).forget(request.params["node_id"], forced=body.force, plan=body.plan))


def _desk(request: Request) -> Desk:
    return Desk(request.cluster, request.driver(Electorate), request.driver(Dependants), request.driver(Exit))


ROUTES = (
    Route(verb="GET", path="/nodes", handler=list_nodes, allow=Allow.ADMIN),
    Route(verb="GET", path="/nodes/{node_id}", handler=show_node, allow=Allow.ADMIN),
    Route(verb="POST", path="/nodes/{node_id}/drain", handler=drain_node, allow=Allow.ADMIN),
    Route(verb="POST", path="/nodes/{node_id}/undrain", handler=undrain_node, allow=Allow.ADMIN),
    Route(verb="POST", path="/nodes/{node_id}/rename", handler=rename_node, allow=Allow.ADMIN),
    Route(verb="POST", path="/nodes/{node_id}/label", handler=label_node, allow=Allow.ADMIN),
    Route(verb="POST", path="/nodes/{node_id}/leave", handler=leave_node, allow=Allow.ADMIN),
    Route(verb="POST", path="/nodes/{node_id}/forget", handler=forget_node, allow=Allow.ADMIN),
)
