"""What makes this machine's volume servers, replicas and tombstones match the records."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

import msgspec
import structlog
import trio

from consensus.liveness.model import NodeVerdict
from consensus.members.model import Node, NodeRole
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused, Unavailable
from noded.core.ids import Revision, VolumeId
from noded.core.reconciler import Drivers
from storage.extents.authority import Mark
from storage.pools.links import DiskServers
from storage.pools.model import Disk, MovePolicy
from storage.volumes.commands import ConfirmRemoval
from storage.volumes.cuts import FREEZE, PATIENCE_MS, RELEASE, GiveUpCut, MakeCut, StandStill
from storage.volumes.links import VolumeServers
from storage.volumes.model import Cut, Volume
from storage.volumes.moves import planner, steps, waits_until_ms
from storage.volumes.moving import ConfirmDrop
from storage.volumes.plan import Drop, Removal, cuts, drops, freezer_of, layouts, removals, repairs, strays, wanted_here

log = structlog.get_logger(__name__)

T = TypeVar("T")

STARTS_AT_ONCE = 8
REPAIRS_AT_ONCE = 2  # on one node; each reads and writes whole replicas
REPAIR_CHECK_S = 5.0
RELEASE_S_MAX = 5.0
MOVES_MAX = 64  # steps of one pass


class VolumeServersReconciler:
    """The volumes of this node's servers are served here, and no others."""

    name = "volume-servers"
    watches = (Volume,)
    period_s = 10.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._servers = drivers.get(VolumeServers)
        self._watched: set[VolumeId] = set()
        self._told: dict[VolumeId, tuple[object, ...]] = {}

    async def nudged(self) -> None:
        """A volume server that should run has ended: its guest waits."""
        await self._servers.ended(self._watched)

    async def reconcile(self) -> None:
        """One pass. A volume that can't be served keeps no other from it."""
        running = set(await self._servers.running())
        wanted = wanted_here(self._cluster.view(), self._cluster.node_id)
        await _each(
            [volume_id for volume_id in wanted if volume_id not in running], self._servers.ensure, "volume not served"
        )
        if strays(running, wanted, self._servers.held()):
            await self._end_strays(running)
        await self._tidy(set(wanted))
        running = set(await self._servers.running())
        self._watched = set(wanted) & running
        await self._tell(running)

    async def _tidy(self, wanted: set[VolumeId]) -> None:
        """What servers that were killed left of volumes that nobody here needs: dead sockets and mounts, no bytes."""
        left = [each for each in await self._servers.remains() if each not in wanted]
        await _each(left, self._servers.tidy, "remains of a volume server not taken away")

    async def _tell(self, running: set[VolumeId]) -> None:
        """Who serves a volume whose replicas move must hear of it: it asks the log only when it is in doubt."""
        before, now = self._told, layouts(self._cluster.view(), running)
        self._told = {volume_id: each for volume_id, each in now.items() if before.get(volume_id) == each}

        async def tell(volume_id: VolumeId) -> None:
            try:
                await self._servers.look(volume_id)
            except Unavailable as fault:
                log.debug("volume server not told yet", volume=volume_id, why=fault.message)  # it starts, or ends
            else:
                self._told[volume_id] = now[volume_id]

        await _each([each for each in now if each not in self._told], tell, "volume server not told")

    async def _end_strays(self, running: set[VolumeId]) -> None:
        # A view that lags must not cost a guest its disk: what is ended is decided on a view that surely doesn't.
        view = await self._cluster.fresh_view()
        wanted = wanted_here(view, self._cluster.node_id)
        for volume_id in strays(running, wanted, self._servers.held()):
            log.info("volume server ended", volume=volume_id)
            await self._servers.end(volume_id)


class RemovalsReconciler:
    """Deleted volumes leave nothing on this node's disks."""

    name = "volume-removals"
    watches = (Volume, Disk)
    period_s = 10.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._disks = drivers.get(DiskServers)
        self._servers = drivers.get(VolumeServers)

    async def reconcile(self) -> None:
        """One pass."""
        held = set(self._servers.held())
        todo = removals(self._cluster.view(), self._cluster.node_id)
        await _each([removal for removal in todo if removal.volume_id not in held], self._remove, "replica not removed")
        await _each(drops(self._cluster.view(), self._cluster.node_id, now_ms()), self._drop, "extents not dropped")

    async def _drop(self, drop: Drop) -> None:
        await self._disks.drop(drop.disk_id, drop.layer, drop.extents, drop.changes)
        await self._cluster.propose(ConfirmDrop(volume_id=drop.volume_id, disk_id=drop.disk_id, changes=drop.changes))

    async def _remove(self, removal: Removal) -> None:
        # An own server of the volume would write again what was just removed.
        await self._servers.end(removal.volume_id)
        await self._disks.remove(removal.disk_id, removal.layer)
        await self._cluster.propose(ConfirmRemoval(volume_id=removal.volume_id, disk_ids=(removal.disk_id,)))


class CutsReconciler:
    """Snapshots are made: the volumes stand still, each where it is served, and the log does the rest at once."""

    name = "volume-cuts"
    watches = (Cut,)
    period_s = 2.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._servers = drivers.get(VolumeServers)

    async def reconcile(self) -> None:
        """One pass."""
        await _each(cuts(self._cluster.view(), self._cluster.node_id, self._cluster.reachable()), self._cut, "no cut")

    async def _cut(self, cut: Cut) -> None:
        view = self._cluster.view()
        volumes = [volume for part in cut.parts if (volume := view.get(Volume, part.volume_id)) is not None]
        if len(volumes) < len(cut.parts) or any(volume.deleting for volume in volumes):
            await self._cluster.propose(GiveUpCut(cut_id=cut.id, reason="a volume is gone"))
            return
        try:
            await self._stand_still_and_cut(cut, volumes)
        except Refused as refused:
            if now_ms() - cut.asked_ms > PATIENCE_MS:
                await self._cluster.propose(GiveUpCut(cut_id=cut.id, reason=refused.message))
            raise

    async def _stand_still_and_cut(self, cut: Cut, volumes: Sequence[Volume]) -> None:
        asked: list[StandStill] = []
        marks: list[Mark] = []
        async with AsyncExitStack() as stack:
            try:
                for volume in volumes:
                    node_id = freezer_of(volume, self._cluster.node_id)
                    if node_id is None:
                        marks.append(Mark(volume_id=volume.volume_id, epoch=0, changes=volume.changes))
                        continue
                    if volume.node_id is None:
                        await stack.enter_async_context(self._servers.serving(volume.volume_id))
                    asked.append(StandStill(volume_id=volume.volume_id, node_id=node_id))
                # All stand still at the same time: what was acknowledged on one before is in no snapshot without it.
                for question in asked:
                    answer = await self._cluster.call(question.node_id, FREEZE, msgspec.msgpack.encode(question))
                    marks.append(msgspec.msgpack.decode(answer, type=Mark))
                layers = tuple(dice.new_uuid() for _ in marks)
                order = MakeCut(cut_id=cut.id, marks=tuple(marks), layers=layers, now_ms=now_ms())
                await self._cluster.propose(order)
            finally:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + RELEASE_S_MAX):
                    await _each(asked, self._release, "volume not released yet")

    async def _release(self, question: StandStill) -> None:
        await self._cluster.call(question.node_id, RELEASE, msgspec.msgpack.encode(question))


class RepairsReconciler:
    """Volumes that nobody uses are made whole too, sources before their clones."""

    name = "volume-repairs"
    watches = (Volume, Disk)
    period_s = 5.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        self._cluster = cluster
        self._servers = drivers.get(VolumeServers)

    async def reconcile(self) -> None:
        """One pass; it ends when the repairs that it began have."""
        held = set(self._servers.held())
        due = [volume_id for volume_id in self._due() if volume_id not in held]
        await _each(due[:REPAIRS_AT_ONCE], self._repair, "volume not repaired")

    def _due(self) -> list[VolumeId]:
        return repairs(self._cluster.view(), self._cluster.node_id, self._cluster.reachable())

    async def _repair(self, volume_id: VolumeId) -> None:
        """Serve the volume until the records say that there is nothing more to mend, or nobody to mend it with."""
        log.info("volume repair begun", volume=volume_id)
        async with self._servers.serving(volume_id):
            seen = self._cluster.view().revision
            while volume_id in self._due() and volume_id in await self._servers.running():
                with trio.move_on_after(REPAIR_CHECK_S):
                    seen = await self._cluster.changed([Volume], seen)
        log.info("volume repair ended", volume=volume_id, behind=volume_id in self._due())


class MovesReconciler:
    """Replicas are where they should be: redundancy first, then each disk's share."""

    name = "replica-moves"
    watches = (Disk, MovePolicy, Node, NodeVerdict)
    period_s = 2.0

    def __init__(self, cluster: Cluster, drivers: Drivers) -> None:
        del drivers  # it only proposes
        self._cluster = cluster
        self._seen: tuple[Revision, bool] | None = None

    async def reconcile(self) -> None:
        """One pass; nothing where nothing has changed since the last one that found nothing to do."""
        view = self._cluster.view()
        members = [node.id for node in view.all(Node) if node.role is NodeRole.MEMBER]
        if planner(self._cluster.reachable(), members) != self._cluster.node_id:
            self._seen = None
            return
        now = now_ms()
        until = waits_until_ms(view)
        lost = until is not None and now >= until
        if (view.revision, lost) == self._seen:
            return
        todo = steps(view, now)
        for command in todo[:MOVES_MAX]:
            try:
                await self._cluster.propose(command)
            except Refused as refused:
                log.info("replica not moved", what=str(command), why=refused.message)
        self._seen = None if todo else (view.revision, lost)


async def _each(items: list[T], act: Callable[[T], Awaitable[None]], complaint: str) -> None:
    """Act on all of them, some at a time. A refusal is logged, and tried again with the next pass."""
    slots = trio.CapacityLimiter(STARTS_AT_ONCE)

    async def one(item: T) -> None:
        async with slots:
            try:
                await act(item)
            except Refused as refused:
                log.warning(complaint, what=str(item), why=refused.message)

    async with trio.open_nursery() as nursery:
        for item in items:
            nursery.start_soon(one, item)
