"""What becomes of the ports on a node that goes for good: nobody carries them until their device is elsewhere."""

from typing import ClassVar

import msgspec

from net.ports.model import Port
from noded.core.command import Command
from noded.core.departure import Departure, Hold, Leaver
from noded.core.ids import NodeId
from noded.core.store import Transaction, View


class ReleasePorts(Command, frozen=True, kw_only=True, tag="port.release.1"):
    """A node carries nothing any more. Its ports keep device and addresses; who moves the device binds them."""

    TOLD: ClassVar[str] = "took all ports from node {node_id}"

    node_id: NodeId

    def apply(self, tx: Transaction) -> None:
        for port in tx.find(Port, "node_id", self.node_id):
            tx.put(msgspec.structs.replace(port, node_id=None, up=False, generation=port.generation + 1))


def departure(view: View, leaver: Leaver) -> Departure:
    """The ports, and the command that releases them."""
    ports = view.find(Port, "node_id", leaver.node_id)
    if not ports:
        return Departure()
    fate = "goes where its server goes"
    return Departure(
        holds=tuple(Hold(noun=Port.NOUN, id=port.id, name=port.name, fate=fate) for port in ports),
        commands=(ReleasePorts(node_id=leaver.node_id),),
    )
