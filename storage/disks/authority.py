"""What is done when an operator asks something of a disk: one way for the HTTP API, the command line, the dashboard."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import trio

from consensus.members.model import Node
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NotFound, Refused
from noded.core.ids import DiskId, NodeId
from noded.core.service import PeerContext, PeerHandler
from noded.core.store import View
from noded.core.units import GIB
from noded.core.unreadable import UNREADABLE
from storage.disks.commands import RemoveDisk
from storage.disks.forecast import Sample, forecast
from storage.disks.views import drain_plan, listing, policy_view, scrub_plan, unsettled
from storage.pools.commands import GiveDisk, ScrubDisk, SetDisk, SetMovePolicy, SetPoolPolicy
from storage.pools.links import Candidate, DiskHardware, DiskServers, Given
from storage.pools.model import Disk
from storage.volumes.model import places_of_layers

T = TypeVar("T")

# What is asked of the node that has the disk.
LOOK_AT, PREPARE, DESCRIBE, LIGHT, SWEEP = (
    f"disk.{verb}" for verb in ("look_at", "prepare", "describe", "light", "sweep")
)
HEALTH_S_MAX = 10.0
UNSETTLED_MAX = 50
SERVED_CALL = "volume.served"  # what a volume's own server says of it; `storage.volumes` answers it
ID_CHARS_MIN = 8  # so much of an id names a disk, if no other one's begins so: tables show as much


class DiskAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What a call asks. `disk` is an id, the beginning of one, or NODE:DIRECTORY."""

    disk: str = ""
    weight: float | None = None
    draining: bool | None = None
    plan: bool = False
    scrub: bool = False


class PolicyAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be changed of the policy; nothing: only tell it."""

    patience_s: int | None = None
    at_once: int | None = None
    per_disk: int | None = None
    bytes_s: int | None = None
    balances: bool | None = None
    overcommit: float | None = None
    scrub_days: int | None = None
    scrub_bytes_s: int | None = None


class DiskGiven(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be given to the pool: a directory or a block device of a node; `node` is its name or id."""

    path: str
    node: str = ""
    format: bool = False
    plan: bool = False


class LightAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the light at the drive of a directory shall shine."""

    name: str
    lit: bool


class SweepAsked(msgspec.Struct, frozen=True, kw_only=True):
    """From which of its disks a node shall remove what no record names; `plan`: only say what."""

    disk_id: DiskId
    plan: bool


@dataclass(frozen=True)
class DiskDesk:
    """What every verb needs of this node."""

    cluster: Cluster

    def listing(self) -> dict[str, Any]:
        """Every disk, and the pool."""
        return listing(self.cluster.view(), self.cluster.reachable())

    async def set(self, asked: DiskAsked) -> dict[str, Any]:
        """Weight, or draining, or a check of all that is on it; with `plan`, only say what draining would do."""
        view = await self.cluster.fresh_view()
        disk = find(view, asked.disk)
        if asked.scrub:
            await self.cluster.propose(ScrubDisk(disk_id=disk.disk_id, now_ms=now_ms()))
            return scrub_plan(view, disk) | {"done": True}
        plan = drain_plan(view, disk) if asked.draining else {"disk": disk.id, "steps": [], "warnings": []}
        if not asked.plan:
            await self.cluster.propose(SetDisk(disk_id=disk.disk_id, weight=asked.weight, draining=asked.draining))
        return plan | {"done": not asked.plan}

    async def remove(self, which: str) -> dict[str, Any]:
        """Take a disk out of the pool on which nothing is any more."""
        disk = find(await self.cluster.fresh_view(), which)
        await self.cluster.propose(RemoveDisk(disk_id=disk.disk_id))
        return {"disk": disk.id, "steps": ["it is no disk of the pool any more"], "warnings": [], "done": True}

    async def add(self, asked: DiskGiven) -> dict[str, Any]:
        """Give a directory or a device of a node to the pool, once its node has found nothing against it."""
        node_id, name = self._node(asked.node)
        looked = await self.cluster.call(node_id, LOOK_AT, asked.path.encode())
        found = msgspec.msgpack.decode(looked, type=Candidate)
        if found.fault:
            raise Invalid(found.fault)
        if found.blank and not asked.format:
            raise Invalid(
                f"{asked.path} is a blank device of {found.size_bytes / GIB:.0f} GiB. To make a file system (ext4) on"
                " it, say so: --format."
            )
        made = "a file system is made on it, and mounted, now and at each boot" if found.blank else ""
        steps = [step for step in (made, f"{name} gives {asked.path} to the pool, and replicas move to it") if step]
        if not asked.plan:
            given = Given(name=asked.path)
            if found.blank or found.device:
                answer = await self.cluster.call(node_id, PREPARE, asked.path.encode())
                given = msgspec.msgpack.decode(answer, type=Given)
            order = GiveDisk(node_id=node_id, name=given.name, uuid=given.uuid, now_ms=now_ms())
            await self.cluster.propose(order)
        return {"disk": asked.path, "steps": steps, "warnings": [], "done": not asked.plan}

    def _node(self, which: str) -> tuple[NodeId, str]:
        """The node of an id or a name; this one where none is named."""
        which = which or self.cluster.node_id
        for node in self.cluster.view().all(Node):
            if which in (node.id, node.name):
                return NodeId(node.id), node.name
        raise NotFound(f"No node {which[:80]!r} was found. `noded status` names them all.")

    async def locate(self, which: str, *, lit: bool) -> dict[str, Any]:
        """Let the light at a disk's slot shine; where none can, say which drive it is."""
        disk = find(self.cluster.view(), which)
        question = LightAsked(name=disk.name, lit=lit)
        answer = await self.cluster.call(disk.node_id, LIGHT, msgspec.msgpack.encode(question))
        drive = msgspec.msgpack.decode(answer, type=dict[str, Any])
        return {"disk": disk.id, "name": disk.name} | drive

    async def health(self) -> dict[str, Any]:
        """What the drive behind every disk says of itself, asked of all nodes at once."""
        lines: dict[str, Any] = {}

        async def ask(disk: Disk) -> None:
            try:
                with trio.fail_after(HEALTH_S_MAX):
                    answer = await self.cluster.call(disk.node_id, DESCRIBE, disk.name.encode())
            except (Refused, trio.TooSlowError) as fault:
                lines[disk.id] = {"lacks": [str(fault) or f"no answer within {HEALTH_S_MAX:.0f} s"]}
            else:
                lines[disk.id] = msgspec.msgpack.decode(answer)

        async with trio.open_nursery() as nursery:
            for disk in self.cluster.view().all(Disk):
                nursery.start_soon(ask, disk)
        return {"drives": lines}

    async def progress(self, samples: Sequence[Sample]) -> dict[str, Any]:
        """Which volumes are not where they should be, how far each has come, and when the pool will be full."""
        lines = unsettled(self.cluster.view())
        shown = lines[:UNSETTLED_MAX]

        async def ask(line: dict[str, Any]) -> None:
            with trio.move_on_after(HEALTH_S_MAX):
                try:
                    answer = await self.cluster.call(line["node_id"], SERVED_CALL, line["id"].encode())
                except Refused:
                    return  # it is told of without how far it is
                served = msgspec.msgpack.decode(answer)
                if isinstance(served, dict):
                    line |= {"resyncs": served["resyncs"], "joins": served["joins"]}

        async with trio.open_nursery() as nursery:
            for line in shown:
                line |= {"resyncs": {}, "joins": {}}
                if line["node_id"] is not None:
                    nursery.start_soon(ask, line)
        return {"volumes": shown, "more": len(lines) - len(shown), "forecast": forecast(samples)}

    async def sweep(self, asked: DiskAsked) -> dict[str, Any]:
        """Remove what lies on a disk and no record names."""
        disk = find(await self.cluster.fresh_view(), asked.disk)
        question = SweepAsked(disk_id=disk.disk_id, plan=asked.plan)
        answer = await self.cluster.call(disk.node_id, SWEEP, msgspec.msgpack.encode(question))
        layers = msgspec.msgpack.decode(answer, type=list[str])
        steps = [f"remove what is there of {layer}" for layer in layers] or ["nothing: records name all that is there"]
        return {"disk": disk.id, "steps": steps, "warnings": [], "done": not asked.plan}

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


async def _look_at(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await context.drivers.get(DiskHardware).look_at(payload.decode()))


async def _prepare(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await context.drivers.get(DiskHardware).prepare(payload.decode()))


async def _describe(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await context.drivers.get(DiskHardware).describe(payload.decode()))


async def _light(context: PeerContext, payload: bytes) -> bytes:
    asked = _decode(payload, LightAsked)
    return msgspec.msgpack.encode(await context.drivers.get(DiskHardware).locate(asked.name, lit=asked.lit))


async def _sweep_here(context: PeerContext, payload: bytes) -> bytes:
    """Clones' remains before their sources': a disk keeps what another layer on it shows."""
    asked, servers = _decode(payload, SweepAsked), context.drivers.get(DiskServers)
    there = await servers.volumes(asked.disk_id)
    # After the disk was looked at: whatever came to it meanwhile has a record.
    places = places_of_layers(await context.cluster.fresh_view())
    strangers = sorted(layer for layer in there if asked.disk_id not in places.get(layer, ()))
    left = [] if asked.plan else list(strangers)
    while left:
        kept = []
        for layer in left:
            try:
                await servers.remove(asked.disk_id, layer)
            except Refused:
                kept.append(layer)
        if len(kept) == len(left):
            raise Conflict(f"Other layers on disk {asked.disk_id} still show blocks of {', '.join(kept[:9])}.")
        left = kept
    return msgspec.msgpack.encode(strangers)


async def _add(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await _desk(context).add(_decode(payload, DiskGiven)))


async def _locate(context: PeerContext, payload: bytes) -> bytes:
    asked = _decode(payload, LightAsked)
    return msgspec.msgpack.encode(await _desk(context).locate(asked.name, lit=asked.lit))


async def _health(context: PeerContext, _payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await _desk(context).health())


async def _sweep(context: PeerContext, payload: bytes) -> bytes:
    return msgspec.msgpack.encode(await _desk(context).sweep(_decode(payload, DiskAsked)))


PEER_CALLS: dict[str, PeerHandler] = {
    LOOK_AT: _look_at,
    PREPARE: _prepare,
    DESCRIBE: _describe,
    LIGHT: _light,
    SWEEP: _sweep_here,
}
LOCAL_CALLS: dict[str, PeerHandler] = {
    "disks.list": _list,
    "disks.set": _set,
    "disks.remove": _remove,
    "disks.policy": _policy,
    "disks.add": _add,
    "disks.locate": _locate,
    "disks.health": _health,
    "disks.sweep": _sweep,
}
