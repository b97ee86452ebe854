"""What the cluster knows of the disks that make up its pool."""

from enum import StrEnum
from typing import ClassVar, Final

from noded.core.ids import DiskId, NodeId
from noded.core.record import Record
from noded.core.store import View
from noded.core.units import GIB, MIB

MOVES: Final = "moves"  # the id of the one policy
POOL: Final = "pool"  # and of the other
OVERCOMMIT_MAX: Final = 1000.0


class DiskState(StrEnum):
    """Whether a disk takes new replicas."""

    IN_USE = "in_use"
    FULL = "full"  # what it holds stays readable and writable; nothing new is placed on it
    FAILED = "failed"  # its directory or its extent server can't be used; `fault` says why


class Disk(Record, frozen=True, kw_only=True, tag="disk.1"):
    """One disk of one node. Desired: that it serves. Observed: where, how large, how full."""

    INDEXED: ClassVar[tuple[str, ...]] = ("node_id",)
    NOUN: ClassVar[str] = "disk"

    node_id: NodeId
    name: str  # as the node's configuration names it
    size_bytes: int
    reserve_bytes: int  # kept free, so that journals and repairs never find a full disk
    host: str  # where its extent server answers, as the other nodes reach it
    port: int
    registered_at_ms: int
    state: DiskState = DiskState.IN_USE
    fault: str = ""
    used_bytes: int = 0  # reported in steps, not at each write
    weight: float = 1.0  # its share of the data, against what its size alone would give it; 0: none
    draining: bool = False  # it gets nothing new, and what it holds moves to other disks
    failed_since_ms: int = 0  # 0: it has not failed
    scrub_asked_ms: int = 0  # when an operator last wanted all that it holds to be checked; 0: never
    # Blocks that a check found: rotten on the disk, and not what the other replicas had. All of them were mended.
    rotten_blocks: int = 0
    different_blocks: int = 0
    moved_in_bytes: int = 0  # what was copied to it from other disks since it came, to restore or to balance

    @property
    def disk_id(self) -> DiskId:
        """The id in its own kind."""
        return DiskId(self.id)

    @property
    def free_bytes(self) -> int:
        """What new data may still take, the reserve left out."""
        return max(0, self.size_bytes - self.used_bytes - self.reserve_bytes)

    @property
    def takes_replicas(self) -> bool:
        """Whether new replicas may be placed on it, as far as the disk is asked."""
        return self.state is DiskState.IN_USE and self.weight > 0 and not self.draining

    @property
    def share(self) -> float:
        """How much of the data it should have, in proportion to the others."""
        return self.weight * self.size_bytes / GIB


class MovePolicy(Record, frozen=True, kw_only=True, tag="move_policy.1"):
    """How replicas are moved from disk to disk, and checked. There is one of it, or none: then this is how."""

    NOUN: ClassVar[str] = "move policy"

    id: str = MOVES
    patience_s: int = 600  # a node or disk that is away for longer loses its replicas to others
    at_once: int = 8  # replicas of extents that are being made at the same time, in the whole cluster
    per_disk: int = 2  # the same on one disk
    bytes_s: int = 64 * MIB  # how fast one volume is copied
    balances: bool = True  # whether replicas move to disks that have less than their share
    scrub_days: int = 7  # each volume's replicas are read and compared this often; 0: only when somebody asks
    scrub_bytes_s: int = 16 * MIB  # how fast each replica is read then; a quarter of it while guests use the volume


class GivenDisk(Record, frozen=True, kw_only=True, tag="given_disk.1"):
    """A directory that an operator gave to the pool while the cluster ran: no configuration need name it."""

    INDEXED: ClassVar[tuple[str, ...]] = ("node_id",)
    NOUN: ClassVar[str] = "given disk"

    node_id: NodeId
    name: str  # the directory
    uuid: str = ""  # of the file system that belongs there; empty: whatever is mounted there
    given_at_ms: int


def given_id(node_id: NodeId, name: str) -> str:
    """The id of the record that gives a node's directory to the pool."""
    return f"{node_id}:{name}"


class PoolPolicy(Record, frozen=True, kw_only=True, tag="pool_policy.1"):
    """What the pool may promise. There is one of it, or none: then anything."""

    NOUN: ClassVar[str] = "pool policy"

    id: str = POOL
    overcommit: float = 0.0  # so many times the size of all disks may be promised to thin volumes; 0: without limit


def pool_policy(view: View) -> PoolPolicy:
    """What the pool may promise now."""
    return view.get(PoolPolicy, POOL) or PoolPolicy()


def policy(view: View) -> MovePolicy:
    """How replicas are moved now."""
    return view.get(MovePolicy, MOVES) or MovePolicy()


def reserve_of(size_bytes: int) -> int:
    """How much of a disk stays free: a twentieth, but no more than 16 GiB."""
    return min(size_bytes // 20, 16 * GIB)
