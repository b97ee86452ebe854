"""Answers how the log is on every node: how far, of which life, and how full its disk. Any node answers for all."""

import msgspec
import trio

from consensus.disks.links import LogEnd
from consensus.disks.model import LogReport, LogStatus
from consensus.disks.views import log_view
from consensus.members.model import Node
from noded.core.cluster import Cluster
from noded.core.errors import NotFound, Unavailable
from noded.core.route import Allow, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler

REPORT_S_MAX = 2.0  # a node that has not answered by then is shown without figures


async def show_log(request: Request) -> Response:
    """GET /noded/v1/log: the log's end on every node."""
    return Response(body={"nodes": [log_view(status) for status in await ask_all(request.cluster)]})


async def explain_log(context: PeerContext, id: str) -> dict[str, object]:
    """One node's end of the log, by the node's id or name."""
    for node in context.cluster.view().all(Node):
        if id in (node.id, node.name):
            return log_view(await _ask(context.cluster, node))
    raise NotFound.of("node", id)


async def ask_all(cluster: Cluster) -> list[LogStatus]:
    """Every member's report, asked all at once; in the order of their names."""
    found: list[LogStatus] = []

    async def ask(node: Node) -> None:
        found.append(await _ask(cluster, node))

    async with trio.open_nursery() as nursery:
        for node in cluster.view().all(Node):
            nursery.start_soon(ask, node)
    return sorted(found, key=lambda status: (status.name, status.node_id))


async def _ask(cluster: Cluster, node: Node) -> LogStatus:
    report = None
    with trio.move_on_after(REPORT_S_MAX):
        try:
            answer = await cluster.call(node.id, "log.report", b"")
        except (Unavailable, NotFound):
            pass  # gone, or of a release that does not know the call: shown without figures
        else:
            report = msgspec.msgpack.decode(answer, type=LogReport)
    return LogStatus(node_id=node.id, name=node.name, leader=node.id == cluster.leader_id, report=report)


async def _report(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    end = context.drivers.get(LogEnd)
    report = LogReport(applied=end.applied_index, incarnation=end.incarnation, room=end.room)
    return msgspec.msgpack.encode(report)


async def _status(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(await ask_all(context.cluster))


PEER_CALLS: dict[str, PeerHandler] = {"log.report": _report, "log.status": _status}

ROUTES = (Route(verb="GET", path="/log", handler=show_log, allow=Allow.ADMIN),)
