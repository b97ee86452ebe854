"""Answers what an operator asks: who is up, what is served, why a thing is as it is. Any node answers for all."""

from collections.abc import Iterable

import msgspec
import trio

from consensus.clocks.model import ClockSight
from consensus.disks.links import LogEnd
from consensus.liveness.links import Watch
from consensus.liveness.model import State
from consensus.members.model import ClusterFacts, Node
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import NotFound, Unavailable
from noded.core.ids import NodeId
from noded.core.record import Record
from noded.core.route import Allow, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler
from noded.core.times import zulu
from noded.inspection.links import Registry, VitalsReader
from noded.inspection.model import ClusterStatus, ExplainCall, NodeStatus, Vitals
from noded.inspection.views import hints, replicas_by_node, route_lines, unknown

VITALS_S_MAX = 2.0  # a node that has not answered by then is shown without figures


async def show_status(request: Request) -> Response:
    """GET /noded/v1/status: the cluster and the figures of every node that answers."""
    registry = request.driver(Registry)
    return Response(body=await cluster_status(request.cluster, registry, request.driver(Watch)))


async def list_routes(request: Request) -> Response:
    """GET /noded/v1/routes: every route, its handler, and who may use it."""
    return Response(body={"routes": route_lines(request.driver(Registry).services)})


async def explain(request: Request) -> Response:
    """GET /noded/v1/explain/{noun}/{id}: what is wanted, what is, and what is still to do."""
    call = ExplainCall(noun=request.params["noun"], id=request.params["id"])
    answer = await request.cluster.call(request.cluster.node_id, "inspection.explain", msgspec.msgpack.encode(call))
    return Response(body=msgspec.msgpack.decode(answer))


async def cluster_status(cluster: Cluster, registry: Registry, watch: Watch) -> ClusterStatus:
    """Ask every node that can be reached for its figures, all at once."""
    view = cluster.view()
    sights, outlook = watch.sights(), watch.outlook()
    able = watch.usable() | cluster.reachable()
    vitals = await _all_vitals(cluster, [node.id for node in view.all(Node) if node.id in able])
    names = {node.id: node.name for node in view.all(Node)}
    replicas, behind = replicas_by_node(view)
    nodes = []
    for node in sorted(view.all(Node), key=lambda node: node.name):
        sight = sights.get(node.id) or unknown(node.id, node.admitted_at_ms)
        nodes.append(
            NodeStatus(
                id=node.id,
                name=node.name,
                addresses=tuple(node.addresses),
                up=sight.state in (State.UP, State.PARTLY),
                state=sight.state,
                since=zulu(sight.since_ms),
                seen_by=tuple(sorted(names.get(each, each) for each in sight.seen_by)),
                missed_by=tuple(sorted(names.get(each, each) for each in sight.missed_by)),
                leader=node.id == cluster.leader_id,
                voter=node.id in outlook.voters,
                release=node.release,
                replicas=replicas[node.id],
                replicas_behind=behind[node.id],
                vitals=vitals.get(node.id),
            )
        )
    return ClusterStatus(
        cluster=next((record.name for record in view.all(ClusterFacts)), ""),
        answered_by=cluster.node_id,
        leader=cluster.leader_id,
        revision=view.revision,
        outlook=outlook,
        nodes=tuple(nodes),
        hints=tuple(hints(nodes)),
        counts={kind.NOUN: view.count(kind) for kind in _counted(registry)},
    )


async def _all_vitals(cluster: Cluster, node_ids: Iterable[NodeId]) -> dict[NodeId, Vitals]:
    vitals: dict[NodeId, Vitals] = {}

    async def ask(node_id: NodeId) -> None:
        with trio.move_on_after(VITALS_S_MAX):
            try:
                answer = await cluster.call(node_id, "inspection.vitals", b"")
            except Unavailable:
                return  # it has just gone: shown without figures
            vitals[node_id] = msgspec.msgpack.decode(answer, type=Vitals)

    async with trio.open_nursery() as nursery:
        for node_id in node_ids:
            nursery.start_soon(ask, node_id)
    return vitals


def _counted(registry: Registry) -> list[type[Record]]:
    return [record for service in registry.services for record in service.records]


async def _vitals(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    vitals, room = context.drivers.get(VitalsReader).read(), context.drivers.get(LogEnd).room
    ahead_ms = context.drivers.get(ClockSight).ahead_ms(now_ms(), trio.current_time())
    revision = context.cluster.view().revision
    known = msgspec.structs.replace(vitals, revision=revision, log=room, clock_ahead_ms=ahead_ms)
    return msgspec.msgpack.encode(known)


async def _digest(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(context.drivers.get(Registry).digest())


async def _status(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    registry, watch = context.drivers.get(Registry), context.drivers.get(Watch)
    return msgspec.msgpack.encode(await cluster_status(context.cluster, registry, watch))


async def _routes(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(route_lines(context.drivers.get(Registry).services))


async def _explain(context: PeerContext, payload: bytes) -> bytes:
    call = msgspec.msgpack.decode(payload, type=ExplainCall)
    for service in context.drivers.get(Registry).services:
        if call.noun in service.explain:
            return msgspec.msgpack.encode(await service.explain[call.noun](context, call.id))
    nouns = sorted(noun for service in context.drivers.get(Registry).services for noun in service.explain)
    raise NotFound(f"Nothing explains a {call.noun[:50]!r}; what can be explained: {', '.join(nouns)}.")


PEER_CALLS: dict[str, PeerHandler] = {
    "inspection.vitals": _vitals,
    "inspection.digest": _digest,
    "inspection.status": _status,
    "inspection.routes": _routes,
    "inspection.explain": _explain,
}

ROUTES = (
    Route(verb="GET", path="/status", handler=show_status, allow=Allow.ADMIN),
    Route(verb="GET", path="/routes", handler=list_routes, allow=Allow.ADMIN),
    Route(verb="GET", path="/explain/{noun}/{id}", handler=explain, allow=Allow.ADMIN),
)
