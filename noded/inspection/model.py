"""What a node says of itself when asked, and what is made of all answers. Never stored, never in the log."""

import msgspec

from consensus.liveness.model import Outlook, State
from consensus.room import LogRoom
from noded.core.ids import NodeId, Revision


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """A total and how much of it is used, in bytes."""

    total_bytes: int
    used_bytes: int


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """One node's own figures at the moment of asking."""

    cpus: int
    cpu_percent: float  # of all CPUs together, since the last asking
    load_1min: float
    memory: Space
    disks: dict[str, Space]  # by directory
    uptime_s: float
    revision: Revision = Revision(0)  # how far this node has applied the log
    log: LogRoom | None = None  # how the disk is that the log lies on
    clock_ahead_ms: int = 0  # of the other nodes' clocks; negative: behind


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One node as the answering node sees it."""

    id: NodeId
    name: str
    addresses: tuple[str, ...]
    up: bool  # whether it can be used: up, or partly reachable
    state: State
    since: str
    seen_by: tuple[str, ...]  # names
    missed_by: tuple[str, ...]  # names of who should hear it and doesn't
    leader: bool
    voter: bool
    release: str
    replicas: int  # of volumes and images, on its disks
    replicas_behind: int  # of these, how many miss something written since
    vitals: Vitals | None  # None: it did not answer


class ClusterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole cluster as one node sees it."""

    cluster: str
    answered_by: NodeId
    leader: NodeId | None
    revision: Revision  # how far the answering node has applied the log
    outlook: Outlook  # whether changes can be made through the answering node, and who is missing
    nodes: tuple[NodeStatus, ...]
    hints: tuple[str, ...]  # what an operator should know before it matters
    counts: dict[str, int]  # records by noun


class StoreDigest(msgspec.Struct, frozen=True, kw_only=True):
    """What a node's store is: equal revisions have equal digests on every node."""

    revision: Revision
    digest: str


class ExplainCall(msgspec.Struct, frozen=True, kw_only=True):
    """Which thing is to be explained."""

    noun: str
    id: str
