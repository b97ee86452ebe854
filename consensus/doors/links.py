"""What the doors' API asks of this node: who waits outside, and who was turned away."""

from typing import Protocol

from consensus.doors.model import LetIn, Waiting
from consensus.refusals import Refusal, RefusalKind
from noded.core.ids import NodeId
from noded.core.origin import Origin


class Porch(Protocol):
    """This member's side of the doors. `consensus.host.doorkeeper.Doorkeeper` is one."""

    def waiting(self) -> Waiting:
        """Who waits here for a yes, and whom this node sees announced as unclaimed."""

    def approve(self, node_id: NodeId, words: str, origin: Origin | None) -> None:
        """A person, who acts as `origin`, compared the words and said yes. Raises `Refused`."""

    def turn_away(self, node_id: NodeId) -> None:
        """A person said no: the node's request ends here. Raises `NotFound`."""

    async def claim(self, order: LetIn) -> NodeId:
        """Fetch an unclaimed node with the claim code that it shows: admit it in one step. Raises `Refused`."""


class Refusals(Protocol):
    """Counts who got nowhere."""

    def note(self, kind: RefusalKind, port: int, address: str, detail: str = "", count: int = 1) -> None:
        """Someone got nowhere at that port, from that address."""

    def lines(self) -> list[Refusal]:
        """All counts, the newest first."""
