"""What is done when an operator asks something of a disk: one way for the HTTP API, the command line, the dashboard."""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from consensus.members.model import Node
from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.service import PeerContext, PeerHandler
from noded.core.store import View
from noded.core.unreadable import UNREADABLE
from storage.disks.commands import RemoveDisk
from storage.disks.views import drain_plan, listing, policy_view
from storage.pools.commands import SetDisk, SetMovePolicy, SetPoolPolicy
from storage.pools.model import Disk

T = TypeVar("T")

ID_CHARS_MIN = 8  # so much of an id names a disk, if no other one's begins so: tables show as much


class DiskAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks. `disk` is an id, the beginning of one, or NODE:DIRECTORY."""

    disk: str = ""
    weight: float | None = None
    draining: bool | None = None
    plan: bool = False


class PolicyAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed of the policy; nothing: only tell it."""

    patience_s: int | None = None
    at_once: int | None = None
    per_disk: int | None = None
    bytes_s: int | None = None
    balances: bool | None = None
    overcommit: float | None = None


@dataclass(frozen=True)
class DiskDesk:
    """What every verb needs of this node."""

    cluster: Cluster

    def listing(self) -> dict[str, Any]:
        """Every disk, and the pool."""
        return listing(self.cluster.view(), self.cluster.reachable())

    async def set(self, asked: DiskAsked) -> dict[str, Any]:
        """Weight, or draining; with `plan`, only say what draining would do."""
        view = await self.cluster.fresh_view()
        disk = find(view, asked.disk)
        plan = drain_plan(view, disk) if asked.draining else {"disk": disk.id, "steps": [], "warnings": []}
        if not asked.plan:
            await self.cluster.propose(SetDisk(disk_id=disk.disk_id, weight=asked.weight, draining=asked.draining))
        return plan | {"done": not asked.plan}

    async def remove(self, which: str) -> dict[str, Any]:
        """Take a disk out of the pool on which nothing is any more."""
        disk = find(await self.cluster.fresh_view(), which)
        await self.cluster.propose(RemoveDisk(disk_id=disk.disk_id))
        return {"disk": disk.id, "steps": ["it is no disk of the pool any more"], "warnings": [], "done": True}

    async def policy(self, asked: PolicyAsked) -> dict[str, Any]:
        """How replicas are moved and how much is promised, after the change if one is asked for."""
        moves = {name: value for name, value in msgspec.structs.asdict(asked).items() if name != "overcommit"}
        orders: list[Command] = []
        if any(value is not None for value in moves.values()):
            orders.append(SetMovePolicy(**moves))
        if asked.overcommit is not None:
            orders.append(SetPoolPolicy(overcommit=asked.overcommit))
        if orders:
            await self.cluster.propose(*orders)
        return policy_view(self.cluster.view())


def find(view: View, which: str) -> Disk:
    """The disk of an id, of the beginning of one, or of NODE:DIRECTORY. Raises `NotFound` or `Conflict`."""
    names = {node.id: node.name for node in view.all(Node)}
    found = [
        disk
        for disk in view.all(Disk)
        if which == disk.id
        or (len(which) >= ID_CHARS_MIN and disk.id.startswith(which))
        or which in (f"{disk.node_id}:{disk.name}", f"{names.get(disk.node_id, '')}:{disk.name}")
    ]
    if not found:
        raise NotFound(f"No disk {which[:80]!r} was found. `noded disk list` names them all.")
    if len(found) > 1:
        raise Conflict(f"{which[:80]!r} stands for {len(found)} disks. Write more of the id.")
    return found[0]


def _desk(context: PeerContext) -> DiskDesk:
    return DiskDesk(context.cluster)


def _decode(payload: bytes, form: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(payload, type=form)
    except UNREADABLE as error:
        raise Invalid(f"This is not what a disk can be asked: {error}") from error


async def _list(context: PeerContext, _payload: bytes) -> bytes:
    return msgspec.msgpack.encode(_desk(context).listing())


async def _set(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await _desk(context).set(_decode(payload, DiskAsked)))


async def _remove(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await _desk(context).remove(_decode(payload, DiskAsked).disk))


async def _policy(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await _desk(context).policy(_decode(payload, PolicyAsked)))


LOCAL_CALLS: dict[str, PeerHandler] = {
    "disks.list": _list,
    "disks.set": _set,
    "disks.remove": _remove,
    "disks.policy": _policy,
}
