"""Answers `noded doctor` for servers: those that don't get where they should, and guests that no record names."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from compute.hypervisor import Guest, GuestState, Hypervisor, HypervisorDown
from compute.servers.model import Phase, Server, phase_of
from net.ports.model import COMPUTE_OWNER, Port
from noded.core.finding import Finding
from noded.core.ids import NodeId, ServerId
from noded.core.service import PeerContext
from noded.core.store import View
from storage.volumes.model import Purpose, Volume

PATIENCE_S: Final = 60.0
RESTING: Final = (Phase.RUNNING, Phase.STOPPED)
EXPLAIN: Final = "`noded explain server {id}` says what its node has and which step comes next."


def examine_records(view: View) -> Iterable[Finding]:
    """Servers beside their volumes and ports, both ways."""
    servers = {server.id: server for server in view.all(Server)}
    for server in servers.values():
        yield from _phase(server)
        if not server.deleting:
            yield from _volumes(view, server)
    for volume in view.all(Volume):
        user = servers.get(ServerId(volume.server_id)) if volume.server_id is not None else None
        if volume.server_id is not None and (
            user is None or all(each.volume_id != volume.id for each in user.attachments)
        ):
            yield _contradiction(
                volume.id, f"volume {volume.id} belongs to server {volume.server_id}, which does not have it"
            )
        elif volume.purpose is Purpose.ROOT and volume.server_id is None and not volume.deleting:
            yield _contradiction(volume.id, f"root disk {volume.id} belongs to no server")
    for port in view.all(Port):
        if port.device_owner.startswith(COMPUTE_OWNER) and port.device_id and port.device_id not in servers:
            yield _contradiction(port.id, f"port {port.id} belongs to server {port.device_id}, which is not there")


def _phase(server: Server) -> Iterable[Finding]:
    phase = phase_of(server)
    if phase not in RESTING:
        fault = server.observed.fault
        yield Finding(
            kind="stuck server",
            subject=server.id,
            what=f"server {server.name} ({server.id}) is {phase.value.replace('_', ' ')}",
            why=fault.message if fault is not None else "its node has not reported that it is done",
            mend=EXPLAIN.format(id=server.id),
            patience_s=PATIENCE_S,
        )
    for attachment in server.attachments:
        if not attachment.settled and not server.deleting:
            doing = "detaching" if attachment.detaching else "attaching"
            yield Finding(
                kind="stuck volume",
                subject=f"{server.id}/{attachment.volume_id}",
                what=f"server {server.name} ({server.id}) is {doing} volume {attachment.volume_id}",
                why=attachment.fault or "its node has not seen the guest do it",
                mend=EXPLAIN.format(id=server.id),
                patience_s=PATIENCE_S,
            )


def _volumes(view: View, server: Server) -> Iterable[Finding]:
    for attachment in server.attachments:
        volume = view.get(Volume, attachment.volume_id)
        if volume is None or volume.deleting or (volume.server_id, volume.node_id) != (server.id, server.node_id):
            yield _contradiction(
                server.id, f"server {server.id} has volume {attachment.volume_id}, which does not belong to it"
            )


def _contradiction(subject: str, what: str) -> Finding:
    return Finding(
        kind="contradiction",
        subject=subject,
        what=what,
        why="a fault of noded: both are set by one change",
        mend="Report it, with `noded history`.",
    )


async def examine_guests(context: PeerContext) -> list[Finding]:
    """This node's guests, beside the servers that name the node."""
    node_id = context.cluster.node_id
    hypervisor = context.drivers.get(Hypervisor)
    try:
        guests = await hypervisor.guests()
        logs = await hypervisor.logs()
    except HypervisorDown as fault:
        return [
            Finding(
                kind="hypervisor down",
                subject=node_id,
                what="the hypervisor can't be asked",
                why=fault.message,
                mend="Start the service libvirtd on that node; its guests run on meanwhile.",
                node_id=node_id,
            )
        ]
    view = await context.cluster.fresh_view()
    return compare_guests(node_id, {server.id: server for server in view.all(Server)}, guests, logs)


def compare_guests(
    node_id: NodeId, servers: Mapping[ServerId, Server], guests: Mapping[ServerId, Guest], logs: Collection[ServerId]
) -> list[Finding]:
    """What is on a machine, beside what should be."""
    found = []
    for server_id, guest in sorted(guests.items()):
        server = servers.get(server_id)
        if server is None or server.node_id != node_id:
            found.append(_orphan_guest(node_id, guest, server))
        elif guest.state is GuestState.PAUSED:
            what, why = f"the guest of server {server.name} waits for its disk", guest.trouble
            found.append(_of_guest("paused guest", server, what, why))
    for server in servers.values():
        runs = guests.get(server.id)
        wanted = server.node_id == node_id and phase_of(server) is Phase.RUNNING
        if wanted and (runs is None or runs.state not in (GuestState.RUNNING, GuestState.PAUSED)):
            what = f"the guest of server {server.name} does not run here"
            found.append(_of_guest("missing guest", server, what, "it has ended, or its machine lost power"))
    found += [_orphan_log(node_id, each) for each in sorted(logs) if each not in servers and each not in guests]
    return found


def _of_guest(kind: str, server: Server, what: str, why: str) -> Finding:
    return Finding(
        kind=kind,
        subject=server.id,
        what=what,
        why=why,
        mend="It goes on by itself once its volumes can be used. " + EXPLAIN.format(id=server.id),
        node_id=server.node_id,
    )


def _orphan_guest(node_id: NodeId, guest: Guest, server: Server | None) -> Finding:
    return Finding(
        kind="orphan guest",
        subject=guest.server_id,
        what=f"a domain of noded's is {guest.state.value} here",
        why="no record names it" if server is None else f"its server is node {server.node_id}'s",
        mend=f"See that nobody misses it, then `virsh destroy {guest.server_id}; virsh undefine {guest.server_id}`.",
        node_id=node_id,
    )


def _orphan_log(node_id: NodeId, server_id: ServerId) -> Finding:
    return Finding(
        kind="orphan file",
        subject=server_id,
        what=f"the console log of server {server_id} lies here",
        why="the server is not there any more",
        mend="Remove it from the state directory, under `consoles`.",
        node_id=node_id,
    )
