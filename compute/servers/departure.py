"""What becomes of the servers on a node that goes for good: others carry them, and start them anew from their disks.

The disks are safe whatever the old node does: the volume is claimed anew, and replicas refuse the older claim.
"""

from typing import ClassVar

from msgspec.structs import replace

from compute.placement.commands import RemoveComputeNode, Terms, claim, free, resettle
from compute.placement.model import ComputeNode, Demand
from compute.servers.commands import finish_deletion
from compute.servers.model import Observed, Power, Restart, Server
from net.ports.commands import bind_port
from net.ports.model import Port
from noded.core.command import Command
from noded.core.departure import Departure, Hold, Leaver
from noded.core.errors import Conflict
from noded.core.ids import NodeId, ServerId
from noded.core.store import Transaction, View
from storage.attachments.commands import detach_from_server, move_to_node
from storage.volumes.model import Volume


class MoveServers(Command, frozen=True, kw_only=True, tag="server.move.1"):
    """A node gives its servers away, each to the node chosen for it. Those that were being deleted are gone."""

    TOLD: ClassVar[str] = "moved the servers of node {node_id} to other nodes"

    node_id: NodeId
    moves: dict[ServerId, NodeId]
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        for server in tx.find(Server, "node_id", self.node_id):
            if server.deleting:
                finish_deletion(tx, server)
            elif server.id in self.moves:
                self._move(tx, server, self.moves[server.id])
            else:
                raise Conflict(f"Server {server.id} has come to node {self.node_id} meanwhile. Try again.")

    def _move(self, tx: Transaction, server: Server, node_id: NodeId) -> None:
        free(tx, server.id)
        claim(tx, server.id, node_id, demand_of(server))
        for port_id in server.ports:
            if tx.get(Port, port_id) is not None:
                bind_port(tx, port_id, node_id, server.id)
        node = tx.get(ComputeNode, node_id)
        host = node_id if node is None else node.name
        for attachment in server.attachments:
            if attachment.detaching:
                detach_from_server(tx, attachment.volume_id, server.id)  # with its node went the guest that had it
            elif tx.get(Volume, attachment.volume_id) is not None:
                move_to_node(tx, attachment.volume_id, server.id, node_id, host)
        runs = server.power is Power.ON
        tx.put(
            replace(
                server,
                node_id=node_id,
                attachments=tuple(each for each in server.attachments if not each.detaching),
                run=server.run + 1 if runs else server.run,
                restart=Restart.START,
                observed=Observed(run=server.observed.run, launched_ms=server.observed.launched_ms),
                updated_ms=self.now_ms,
                generation=server.generation + 1,
            )
        )


def demand_of(server: Server) -> Demand:
    """What a server needs of its node."""
    return Demand(vcpus=server.flavor.vcpus, memory_mib=server.flavor.memory_mib)


def departure(view: View, leaver: Leaver) -> Departure:
    """The servers, where each goes, and the commands that move them."""
    servers = view.find(Server, "node_id", leaver.node_id)
    staying = {server.id: server for server in servers if not server.deleting}
    others = leaver.reachable - {leaver.node_id}
    demands = {str(server.id): demand_of(server) for server in staying.values()}
    chosen = resettle(view, demands, Terms(reachable=others))
    names = {node.id: node.name for node in view.all(ComputeNode)}
    holds, losses, obstacles = [], [], []
    for server in staying.values():
        new = chosen[server.id]
        if new is None:
            fate = "no other node has room for it"
            obstacles.append(f"no other node has room for server {server.name}: delete it, or add a node")
        else:
            fate = f"goes to {names[new]}" + (" and is started there" if server.power is Power.ON else "")
            if leaver.answers and server.power is Power.ON:
                losses.append(f"server {server.name} runs there and would be started anew on {names[new]}")
        holds.append(Hold(noun=Server.NOUN, id=server.id, name=server.name, fate=fate))
    moves = {ServerId(server_id): new for server_id, new in chosen.items() if new is not None}
    commands: list[Command] = []
    if servers:
        commands.append(MoveServers(node_id=leaver.node_id, moves=moves, now_ms=leaver.now_ms))
    if view.get(ComputeNode, leaver.node_id) is not None:
        commands.append(RemoveComputeNode(node_id=leaver.node_id))
    return Departure(holds=tuple(holds), losses=tuple(losses), obstacles=tuple(obstacles), commands=tuple(commands))
