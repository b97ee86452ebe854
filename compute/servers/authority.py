"""What this node answers to other nodes about its guests: the one thing of a server that no record holds."""

import msgspec

from compute.hypervisor import Hypervisor
from compute.servers.console import LINES_BYTES_MAX, ConsoleQuestion
from compute.servers.model import Server
from noded.core.service import PeerContext


async def tell_console(context: PeerContext, payload: bytes) -> bytes:
    """Answer the peer call `server.console` from this node's console logs."""
    question = msgspec.msgpack.decode(payload, type=ConsoleQuestion)
    context.cluster.view().need(Server, question.server_id)
    bytes_max = min(question.bytes_max, LINES_BYTES_MAX)
    return await context.drivers.get(Hypervisor).console(question.server_id, bytes_max)
