"""What handlers and reconcilers know of the cluster: one handle to read it, to change it, and to ask another node."""

from collections.abc import Collection
from typing import Protocol

from noded.core.command import Command
from noded.core.ids import NodeId, Revision
from noded.core.origin import Origin
from noded.core.record import Record
from noded.core.store import View
from noded.core.watch import Watched


class Cluster(Protocol):
    """The handle. Reads are local and instant; changes go through the log; calls go to one other node."""

    @property
    def node_id(self) -> NodeId:
        """This node."""

    @property
    def leader_id(self) -> NodeId | None:
        """The node that leads the log, as far as this node knows."""

    @property
    def has_majority(self) -> bool:
        """Whether this node sees enough of the voters to change anything. Without, changes are refused at once."""

    @property
    def origin(self) -> Origin:
        """On whose behalf this handle acts now; what another node shall do for the same caller carries it along."""

    def acting_for(self, origin: Origin) -> "Cluster":
        """The same handle, whose changes are said to come from `origin`; without it they come from this node."""

    def view(self) -> View:
        """The newest picture that this node has applied."""

    async def propose(self, *commands: Command) -> Revision:
        """Apply all commands or none, durably, on this node too when it returns (so a following `view()` shows them).

        Raises the `Refused` of the first command that is refused; `Unavailable` at once where a majority has been out
        of reach for a while; `OutcomeUnknown` when the time limit passes and it can't be said whether the entry was
        applied.
        """

    async def fresh_view(self) -> View:
        """A picture that has every change acknowledged anywhere before the call; raises `Unavailable`."""

    async def changed(self, kinds: Collection[type[Record]], after: Revision) -> Revision:
        """Wait until a record of one of `kinds` changed later than `after`; the revision now applied."""

    async def watch(self, kinds: Collection[type[Record]], after: Revision) -> Watched:
        """Wait as `changed` does, and say which records changed; a watcher that lags too far must list again."""

    def reachable(self) -> frozenset[NodeId]:
        """The nodes, this one included, that this node heard from within the last seconds."""

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        """Ask one node (this one too) for `method`; raises what it refused, or `Unavailable` if it can't be reached."""
