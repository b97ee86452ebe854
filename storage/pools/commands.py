"""How disks come into the pool, and how their state is kept."""

from typing import ClassVar, Final

from msgspec.structs import asdict, replace

from consensus.members.commands import refuse_gone, takes_work
from consensus.members.model import ZONE_LABELS, Node
from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import DiskId, NodeId
from noded.core.store import Transaction, View
from noded.core.units import GIB, MIB
from storage.pools.model import (
    OVERCOMMIT_MAX,
    Disk,
    DiskState,
    GivenDisk,
    MovePolicy,
    PoolPolicy,
    given_id,
    policy,
    reserve_of,
)

WEIGHT_MAX: Final = 100.0


class RegisterDisk(Command, frozen=True, kw_only=True, tag="disk.register.1"):
    """A node found a disk of its own serving: it is new, or it answers at another address, or it was resized."""

    TOLD: ClassVar[str] = "gave the disk {name} of node {node_id} to the pool"

    disk_id: DiskId
    node_id: NodeId
    name: str
    size_bytes: int
    used_bytes: int
    host: str
    port: int
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        refuse_gone(tx, self.node_id)
        known = tx.get(Disk, self.disk_id)
        twin = next((disk for disk in tx.find(Disk, "node_id", self.node_id) if disk.name == self.name), None)
        if twin is not None and twin.id != self.disk_id:
            raise Conflict(
                f"Node {self.node_id} already has another disk called {self.name} ({twin.id}). "
                f"Mount the new disk under another name in the node's configuration."
            )
        # A disk that was moved to another node keeps its id and with it every replica that it holds.
        tx.put(
            Disk(
                id=self.disk_id,
                node_id=self.node_id,
                name=self.name,
                size_bytes=self.size_bytes,
                reserve_bytes=reserve_of(self.size_bytes),
                host=self.host,
                port=self.port,
                registered_at_ms=known.registered_at_ms if known else self.now_ms,
                used_bytes=self.used_bytes,
                state=DiskState.IN_USE if known is None or known.state is DiskState.FAILED else known.state,
                weight=known.weight if known else 1.0,
                draining=known.draining if known else False,
                moved_in_bytes=known.moved_in_bytes if known else 0,
                scrub_asked_ms=known.scrub_asked_ms if known else 0,
                rotten_blocks=known.rotten_blocks if known else 0,
                different_blocks=known.different_blocks if known else 0,
            )
        )


class ReportDisk(Command, frozen=True, kw_only=True, tag="disk.report.1"):
    """What a node observed of its disk, when it changed by a meaningful step."""

    TOLD: ClassVar[str] = "reported the disk {disk_id} as {state}"

    disk_id: DiskId
    node_id: NodeId
    state: DiskState
    fault: str = ""
    used_bytes: int
    now_ms: int = 0

    def apply(self, tx: Transaction) -> None:
        disk = tx.need(Disk, self.disk_id)
        if disk.node_id != self.node_id:
            raise Conflict(f"Disk {disk.id} is in node {disk.node_id} now, not in {self.node_id}.")
        since_ms = (disk.failed_since_ms or self.now_ms) if self.state is DiskState.FAILED else 0
        tx.put(replace(disk, state=self.state, fault=self.fault, used_bytes=self.used_bytes, failed_since_ms=since_ms))


class GiveDisk(Command, frozen=True, kw_only=True, tag="disk.give.1"):
    """A directory of a node is a disk of the pool from now on."""

    TOLD: ClassVar[str] = "gave the directory {name} of node {node_id} to the pool"

    node_id: NodeId
    name: str
    uuid: str = ""
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        refuse_gone(tx, self.node_id)
        key = given_id(self.node_id, self.name)
        if tx.get(GivenDisk, key) is None:
            tx.put(GivenDisk(id=key, node_id=self.node_id, name=self.name, uuid=self.uuid, given_at_ms=self.now_ms))


class RemoveDisks(Command, frozen=True, kw_only=True, tag="disk.remove.1"):
    """A node goes, and its disks with it. What they hold of volumes is settled by another command of the same entry."""

    TOLD: ClassVar[str] = "took the disks {disk_ids} of node {node_id} from the pool"

    node_id: NodeId
    disk_ids: tuple[DiskId, ...]

    def apply(self, tx: Transaction) -> None:
        found = {disk.id for disk in tx.find(Disk, "node_id", self.node_id)}
        if found != set(self.disk_ids):
            raise Conflict(f"The disks of node {self.node_id} have changed meanwhile. Try again.")
        for disk_id in self.disk_ids:
            tx.delete(Disk, disk_id)
        for given in tx.find(GivenDisk, "node_id", self.node_id):
            tx.delete(GivenDisk, given.id)


class SetDisk(Command, frozen=True, kw_only=True, tag="disk.set.1"):
    """What an operator wants of a disk: how much of the data it gets, and whether it is to be emptied."""

    TOLD: ClassVar[str] = "set the disk {disk_id}: weight {weight}, draining {draining}"

    disk_id: DiskId
    weight: float | None = None
    draining: bool | None = None

    def apply(self, tx: Transaction) -> None:
        disk = tx.need(Disk, self.disk_id)
        weight = disk.weight if self.weight is None else self.weight
        # NaN is in no range, and would poison every comparison.
        if not 0 <= weight <= WEIGHT_MAX:
            raise Invalid(f"A disk's weight is a number from 0 to {WEIGHT_MAX:g}, not {weight}.")
        draining = disk.draining if self.draining is None else self.draining
        tx.put(replace(disk, weight=weight, draining=draining))


class ScrubDisk(Command, frozen=True, kw_only=True, tag="disk.scrub.1"):
    """All that the disk holds is to be read and compared with the other replicas, from now on."""

    TOLD: ClassVar[str] = "had the disk {disk_id} checked"

    disk_id: DiskId
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        tx.put(replace(tx.need(Disk, self.disk_id), scrub_asked_ms=self.now_ms))


class SetMovePolicy(Command, frozen=True, kw_only=True, tag="move_policy.set.1"):
    """How patiently and fast replicas are moved, how often and fast they are checked; None leaves a part as it is."""

    TOLD: ClassVar[str] = "changed how replicas are moved"

    patience_s: int | None = None
    at_once: int | None = None
    per_disk: int | None = None
    bytes_s: int | None = None
    balances: bool | None = None
    scrub_days: int | None = None
    scrub_bytes_s: int | None = None

    def apply(self, tx: Transaction) -> None:
        before = policy(tx)
        ranges = {
            "patience_s": (self.patience_s, 0, 30 * 86_400),
            "at_once": (self.at_once, 0, 1000),
            "per_disk": (self.per_disk, 1, 100),
            "bytes_s": (self.bytes_s, MIB, 100 * GIB),
            "scrub_days": (self.scrub_days, 0, 365),
            "scrub_bytes_s": (self.scrub_bytes_s, MIB, 100 * GIB),
        }
        for name, (value, least, most) in ranges.items():
            if value is not None and not least <= value <= most:
                raise Invalid(f"{name} is a number from {least} to {most}, not {value}.")
        numbers = {name: value for name, (value, _, _) in ranges.items() if value is not None}
        balances = before.balances if self.balances is None else self.balances
        tx.put(MovePolicy(**(asdict(before) | numbers | {"balances": balances})))


class SetPoolPolicy(Command, frozen=True, kw_only=True, tag="pool_policy.set.1"):
    """How much the pool may promise to thin volumes, in sizes of all its disks; 0: without limit."""

    TOLD: ClassVar[str] = "set what the pool may promise to {overcommit} times its size"

    overcommit: float

    def apply(self, tx: Transaction) -> None:
        # NaN is in no range, and would poison every comparison.
        if not 0 <= self.overcommit <= OVERCOMMIT_MAX:
            raise Invalid(f"overcommit is a number from 0 (no limit) to {OVERCOMMIT_MAX:g}, not {self.overcommit}.")
        tx.put(PoolPolicy(overcommit=self.overcommit))


def remove_disk(tx: Transaction, disk_id: DiskId) -> None:
    """The disk is no part of the pool any more. Whoever calls has made sure that nothing is on it."""
    disk = tx.need(Disk, disk_id)
    tx.delete(Disk, disk_id)
    if tx.get(GivenDisk, key := given_id(disk.node_id, disk.name)) is not None:
        tx.delete(GivenDisk, key)


def count_moved(tx: Transaction, disk_id: DiskId, size_bytes: int) -> None:
    """So much was copied to a disk from others."""
    disk = tx.get(Disk, disk_id)
    if disk is not None and size_bytes:
        tx.put(replace(disk, moved_in_bytes=disk.moved_in_bytes + size_bytes))


def count_rotten(tx: Transaction, disk_id: DiskId, rotten: int, different: int) -> None:
    """A check has found, and mended, so many blocks of a disk."""
    disk = tx.get(Disk, disk_id)
    if disk is not None:
        rotten, different = disk.rotten_blocks + rotten, disk.different_blocks + different
        tx.put(replace(disk, rotten_blocks=rotten, different_blocks=different))


def zones_of(view: View, node_id: NodeId) -> tuple[str, ...]:
    """The failure zones of a node, the widest first, as its labels name them; "" where they name none."""
    node = view.get(Node, node_id)
    return tuple(node.labels.get(key, "") if node is not None else "" for key in ZONE_LABELS)


def disks_in_use(view: View) -> list[Disk]:
    """The disks that may take new replicas, ordered by id."""
    return [disk for disk in view.all(Disk) if disk.takes_replicas and takes_work(view, disk.node_id)]
