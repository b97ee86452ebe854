"""What a life of the cluster's log that began anew says first: that it did, how, and who this node is."""

from typing import ClassVar, Final

from msgspec.structs import replace

from consensus.members.model import GoneNode, Node
from consensus.recovery.model import Life
from noded.core.command import Command
from noded.core.store import Transaction

NAME_KEPT_CHARS: Final = 50  # of a namesake's name, which gets its id's beginning behind it


class BeginLife(Command, frozen=True, kw_only=True, tag="recovery.begin_life.1"):
    """Keeps how this life began. The node on which it did may be none that the state knows: a restore on a blank one.

    Proposed until it is confirmed, so it may come twice.
    """

    TOLD: ClassVar[str] = "began another life of the cluster: {life[beginning]}"

    life: Life
    node: Node

    def apply(self, tx: Transaction) -> None:
        if tx.get(Life, self.life.id) is not None:
            return
        tx.put(self.life)
        if tx.get(Node, self.node.id) is not None:
            return
        if tx.get(GoneNode, self.node.id) is not None:
            tx.delete(GoneNode, self.node.id)  # gone from a cluster that now goes on upon this very node
        for namesake in tx.find(Node, "name", self.node.name):
            # It stays until somebody says that it is gone: its disks may hold what nothing else does.
            tx.put(replace(namesake, name=f"{namesake.name[:NAME_KEPT_CHARS]}-{namesake.id[:6]}"))
        tx.put(self.node)
