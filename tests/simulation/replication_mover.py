"""What changes a volume's layout in the simulated log: replicas join, leave and are removed, whatever else goes wrong.

It stands for the commands of `storage/volumes/moving.py`, which check the same, and for the nodes that carry out what
the record says: a step is one entry of the log, applied at once; who owns the volume is told of it, or is not.
"""

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from noded.core.ids import DiskId
from storage.extents.authority import Adopt, Joiner, VolumeMap
from storage.extents.messages import volume_key

if TYPE_CHECKING:
    from tests.simulation.replication_world import World

STEP_S = 0.5
JOINING_MAX = 3


class Leftover(NamedTuple):
    """What is still on a disk that left an extent at the given change of the record."""

    disk_id: DiskId
    extent: int
    changes: int


class Mover:
    """Moves replicas to and fro; none when the weather says so."""

    def __init__(self, world: "World") -> None:
        self.world = world
        # The replicas that are to go when what joins in their stead has been adopted.
        self.leaving: set[tuple[int, DiskId]] = set()
        self.leftovers: list[Leftover] = []
        self.moved = 0

    def step(self) -> None:
        """What the planner and the nodes do now and then."""
        world = self.world
        if not world.calm and world.dice.random() < STEP_S / world.weather.move:
            self._join()
        if not world.calm and world.dice.random() < 0.02:
            self._cancel()
        self._leave()
        self._remove()
        if world.calm or world.dice.random() < 0.5:
            for server in world.servers:
                if server.alive and hasattr(server, "owner"):
                    server.owner.in_sync.look_again()
        world.later(STEP_S, self.step)

    def adopted(self, volume: VolumeMap, request: Adopt) -> VolumeMap | None:
        """The map after an adoption, or None where it is refused."""
        joiners = {Joiner(extent, request.disk_id) for extent in request.extents}
        holds = any(request.disk_id in disks for disks in volume.layout)
        if not joiners <= set(volume.joining) or (holds and request.disk_id not in volume.in_sync):
            return None
        self.moved += len(joiners)
        return replace(
            volume,
            layout=tuple(
                (*disks, request.disk_id) if extent in request.extents else disks
                for extent, disks in enumerate(volume.layout)
            ),
            joining=tuple(joiner for joiner in volume.joining if joiner not in joiners),
            in_sync=volume.in_sync if holds else (*volume.in_sync, request.disk_id),
            changes=volume.changes + 1,
        )

    def _join(self) -> None:
        dice, log = self.world.dice, self.world.log
        volume = log.volume
        if len(volume.joining) >= JOINING_MAX:
            return
        extent = dice.randrange(len(volume.layout))
        disk_id = dice.choice(sorted(self.world.disks))
        there = {*volume.layout[extent], *(each.disk_id for each in volume.joining if each.extent == extent)}
        if disk_id in there or any((each.extent, each.disk_id) == (extent, disk_id) for each in self.leftovers):
            return
        stays = [disk for disk in volume.layout[extent] if (extent, disk) not in self.leaving]
        self.leaving.add((extent, dice.choice(stays)))
        log.volume = replace(volume, joining=(*volume.joining, Joiner(extent, disk_id)))

    def _cancel(self) -> None:
        volume = self.world.log.volume
        if volume.joining:
            joiner = self.world.dice.choice(volume.joining)
            rest = tuple(each for each in volume.joining if each != joiner)
            self.world.log.volume = replace(volume, joining=rest, changes=volume.changes + 1)
            self.leftovers.append(Leftover(joiner.disk_id, joiner.extent, volume.changes + 1))
            self.leaving = {each for each in self.leaving if each[0] != joiner.extent}

    def _leave(self) -> None:
        for extent, disk_id in sorted(self.leaving):
            volume = self.world.log.volume
            others = [disk for disk in volume.layout[extent] if disk != disk_id]
            stays = [disk for disk in others if (extent, disk) not in self.leaving]
            filled = not any(joiner.extent == extent for joiner in volume.joining)
            careless = self.world.is_broken("replicas leave before the others are in sync")
            if careless or (filled and stays and all(disk in volume.in_sync for disk in stays)):
                self._left(volume, extent, disk_id)

    def _left(self, volume: VolumeMap, extent: int, disk_id: DiskId) -> None:
        layout = list(volume.layout)
        layout[extent] = tuple(disk for disk in layout[extent] if disk != disk_id)
        still = any(disk_id in disks for disks in layout)
        self.world.log.volume = replace(
            volume,
            layout=tuple(layout),
            in_sync=tuple(disk for disk in volume.in_sync if still or disk != disk_id),
            changes=volume.changes + 1,
        )
        self.leaving.discard((extent, disk_id))
        self.leftovers.append(Leftover(disk_id, extent, volume.changes + 1))

    def _remove(self) -> None:
        waits: set[DiskId] = set()
        for leftover in tuple(self.leftovers):
            disk = self.world.disks[leftover.disk_id]
            if disk.disk_id in waits:
                continue  # in the order of the changes: a disk takes an older one for one that it has carried out
            waits.add(disk.disk_id)
            if disk.up and (self.world.calm or self.world.dice.random() < 0.3):
                disk.store.drop(self.world.log.volume.volume_id, [leftover.extent], leftover.changes)
                self.leftovers.remove(leftover)

    def check(self) -> None:
        """Nothing is left half done, and what was removed did not come back."""
        volume = self.world.log.volume
        assert not volume.joining, f"still joining: {volume.joining}"
        assert not self.leaving, f"still leaving: {self.leaving}"
        assert not self.leftovers
        for disk_id, disk in self.world.disks.items():
            for extent, disks in enumerate(volume.layout):
                if disk_id not in disks:
                    left = disk.content(volume_key(volume.volume_id), extent)
                    assert not left, f"extent {extent} is still, or again, on {disk_id}"
