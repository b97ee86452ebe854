"""What nodes ask each other about guests: the console that no record holds, and whether a node can carry one now."""

from collections.abc import Collection
from typing import Final

import msgspec
import trio

from compute.hypervisor import Hypervisor, HypervisorDown
from compute.servers.console import LINES_BYTES_MAX, ConsoleQuestion
from compute.servers.model import Server
from noded.core.cluster import Cluster
from noded.core.errors import Refused, Unavailable
from noded.core.ids import NodeId
from noded.core.service import PeerContext

AWAKE_CALL: Final = "placement.awake"
ANSWER_S_MAX: Final = 0.7  # a node that works answers within milliseconds


async def tell_console(context: PeerContext, payload: bytes) -> bytes:
    """Answer the peer call `server.console` from this node's console logs."""
    question = msgspec.msgpack.decode(payload, type=ConsoleQuestion)
    context.cluster.view().need(Server, question.server_id)
    bytes_max = min(question.bytes_max, LINES_BYTES_MAX)
    return await context.drivers.get(Hypervisor).console(question.server_id, bytes_max)


async def tell_awake(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    """Answer the peer call: this node is up, and its hypervisor too."""
    try:
        await context.drivers.get(Hypervisor).guests()
    except HypervisorDown as fault:
        raise Unavailable(f"The hypervisor can't be asked: {fault}") from fault
    return b""


async def silent_of(cluster: Cluster, nodes: Collection[NodeId]) -> frozenset[NodeId]:
    """Those of `nodes` that do not answer, or answer that they can carry no guest now."""
    silent = set(nodes)

    async def ask(node_id: NodeId) -> None:
        with trio.move_on_after(ANSWER_S_MAX):
            try:
                await cluster.call(node_id, AWAKE_CALL, b"")
            except Refused:
                return  # it is silent, whatever the reason
            silent.discard(node_id)

    async with trio.open_nursery() as nursery:
        for node_id in nodes:
            nursery.start_soon(ask, node_id)
    return frozenset(silent)
