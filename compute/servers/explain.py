"""Answers `noded explain server ID`: what its owner wants, what its node has, and which step comes next."""

from dataclasses import replace

import msgspec

from compute.hypervisor import Hypervisor, HypervisorDown
from compute.placement.model import ComputeNode
from compute.servers.model import Attachment, Server
from compute.servers.plan import asks_for_disks, step_for
from noded.core.errors import NotFound, Unavailable
from noded.core.ids import NodeId, ServerId
from noded.core.service import Explainer, PeerContext, PeerHandler
from noded.core.store import View

LOOK_CALL = "server.look"

Section = dict[str, object]


async def explain_server(context: PeerContext, asked: str) -> Section:
    """The sections; what is observed comes from the server's node. `asked`: its id, or its name if only one has it."""
    view = context.cluster.view()
    server = _found(view, asked)
    answer: Section = {"desired": _desired(view, server), "reported": msgspec.to_builtins(server.observed)}
    try:
        looked = await context.cluster.call(server.node_id, LOOK_CALL, server.id.encode())
    except Unavailable as fault:
        return answer | {"observed": None, "steps": [], "why": fault.message}
    return answer | msgspec.msgpack.decode(looked, type=Section)


def _found(view: View, asked: str) -> Server:
    server = view.get(Server, asked)
    if server is not None:
        return server
    named = [each for each in view.all(Server) if each.name == asked]
    if len(named) == 1:
        return named[0]
    if named:
        raise NotFound(
            f"{len(named)} servers are called {asked[:255]}; use an id: {', '.join(s.id for s in named[:9])}"
        )
    raise NotFound.of("server", asked)


def _desired(view: View, server: Server) -> Section:
    node = view.get(ComputeNode, NodeId(server.node_id))
    return {
        "id": server.id,
        "name": server.name,
        "node": node.name if node is not None else server.node_id,
        "power": server.power.value,
        "run": server.run,
        "deleting": server.deleting,
        "generation": server.generation,
        "vcpus": server.flavor.vcpus,
        "memory_mib": server.flavor.memory_mib,
        "root_volume": server.attachments[0].volume_id if server.attachments else None,
        "volumes": [_volume(attachment) for attachment in server.attachments],
        "ports": list(server.ports),
    }


def _volume(attachment: Attachment) -> Section:
    state = "detaching" if attachment.detaching else "attached" if attachment.attached else "attaching"
    return {
        "volume": attachment.volume_id,
        "device": attachment.device,
        "state": state,
        "goes_with_server": attachment.delete_on_termination,
        "fault": attachment.fault,
    }


async def look(context: PeerContext, payload: bytes) -> bytes:
    """Answer the peer call `server.look`: this node's guest, and the step that it would take now."""
    server = context.cluster.view().need(Server, payload.decode())
    try:
        guests = await context.drivers.get(Hypervisor).guests()
    except HypervisorDown as fault:
        return msgspec.msgpack.encode({"observed": None, "steps": [], "why": f"The hypervisor can't be asked: {fault}"})
    guest = guests.get(ServerId(server.id))
    if guest is not None and asks_for_disks(server, guest):
        guest = replace(guest, disks=await context.drivers.get(Hypervisor).disks(server.id))
    step = step_for(server, guest, None)
    reported = server.observed.fault
    return msgspec.msgpack.encode(
        {
            "observed": msgspec.to_builtins(guest) if guest is not None else None,
            "steps": [type(step).__name__] if step is not None else [],
            "why": reported.message if reported is not None else "",
        }
    )


EXPLAIN: dict[str, Explainer] = {"server": explain_server}
PEER_CALLS: dict[str, PeerHandler] = {LOOK_CALL: look}
