"""A machine's disks and volume servers in memory and in plain files: what the services see of the block engine."""

import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from noded.core.cluster import Cluster
from noded.core.errors import Invalid, Unavailable
from noded.core.ids import DiskId, VolumeId
from noded.core.reconciler import Drivers
from noded.core.units import GIB, MIB
from storage.backups.links import BackupBytes
from storage.disks.forecast import Sample, thinned
from storage.disks.links import CapacityBook
from storage.encryption.links import LuksDisks
from storage.extents.authority import Mark
from storage.host.backup_bytes import HostBackups
from storage.host.luks import HostLuks
from storage.pools.links import (
    Candidate,
    DiskHardware,
    DiskServers,
    FoundDisk,
    Given,
    Hardware,
    ServedDisk,
    Smart,
)
from storage.volumes.claims import ClaimVolume, GrowInSync, volume_map
from storage.volumes.encrypting import KEY_BITS, luks_header_bytes
from storage.volumes.links import OpenVolume, ScrubState, ServedVolume, VolumeAttachments, VolumeFiles, VolumeServers
from storage.volumes.model import Volume, ancestors, disks_of
from storage.volumes.moving import AdoptReplicas


class SimulatedDisks:
    """Implements `DiskServers`. `disks` is what the configuration names; `held` what the disks hold."""

    def __init__(self, number: int, names: Collection[str] = ("one",)) -> None:
        self.number = number
        self.disks: dict[str, FoundDisk] = {name: FoundDisk(name=name) for name in names}
        self.held: dict[DiskId, set[VolumeId]] = {}
        self.silent: set[DiskId] = set()
        self.dropped: list[tuple[DiskId, VolumeId, tuple[int, ...], int]] = []
        self.used_bytes = 0
        self.size_bytes = 100 * GIB
        self.broken: set[str] = set()
        self.given: set[str] = set()
        self.mounted: set[str] = set()

    async def mount(self, given: Given) -> None:
        self.mounted.add(given.name)

    async def find(self, more: Sequence[str] = ()) -> tuple[FoundDisk, ...]:
        for name in more:
            self.disks.setdefault(name, FoundDisk(name=name))
        for name in self.given - set(more):
            del self.disks[name]
        self.given = set(more)
        return tuple(self.disks.values())

    async def end(self, disk_id: DiskId) -> None:
        self.silent.add(disk_id)

    async def serve(self, name: str, disk_id: DiskId) -> ServedDisk:
        if name in self.broken:
            raise Unavailable("its extent server does not start")
        self.disks[name] = FoundDisk(name=name, disk_id=disk_id)
        self.held.setdefault(disk_id, set())
        self.silent.discard(disk_id)
        return ServedDisk(
            host=f"10.77.0.{self.number}",
            port=7410 + list(self.disks).index(name),
            size_bytes=self.size_bytes,
            used_bytes=self.used_bytes,
        )

    async def running(self) -> Collection[DiskId]:
        return self.held.keys() - self.silent

    async def ended(self, disk_ids: Collection[DiskId]) -> None:
        await trio.sleep_forever()

    async def end_all(self) -> None:
        self.silent |= self.held.keys()

    async def volumes(self, disk_id: DiskId) -> Collection[VolumeId]:
        return self.held[disk_id]

    async def drop(self, disk_id: DiskId, volume_id: VolumeId, extents: Sequence[int], changes: int) -> None:
        if disk_id not in self.held or disk_id in self.silent:
            raise Unavailable("the disk does not answer")
        self.dropped.append((disk_id, volume_id, tuple(extents), changes))

    async def remove(self, disk_id: DiskId, volume_id: VolumeId) -> None:
        if disk_id not in self.held or disk_id in self.silent:
            raise Unavailable("the disk does not answer")
        self.held[disk_id].discard(volume_id)


def copy_sparsely(source: Path, target: Path) -> None:
    """Copy a file, and leave its holes holes: the volumes of tests are large and empty."""
    with source.open("rb") as old, target.open("wb") as new:
        end, offset = os.fstat(old.fileno()).st_size, 0
        new.truncate(end)
        while offset < end:
            try:
                start = os.lseek(old.fileno(), offset, os.SEEK_DATA)
            except OSError:
                break  # nothing but a hole
            offset = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            os.pwrite(new.fileno(), os.pread(old.fileno(), offset - start, start), start)


class SimulatedHardware:
    """Implements `DiskHardware`. `blank` and `taken` are devices; every other path is an empty directory."""

    def __init__(self) -> None:
        self.blank: set[str] = set()
        self.taken: set[str] = set()
        self.smart: dict[str, Smart] = {}
        self.shining: set[str] = set()
        self.has_lights = True

    async def look_at(self, path: str) -> Candidate:
        if path in self.taken:
            return Candidate(path=path, fault=f"{path} is in use", device=True)
        is_device = path in self.blank
        return Candidate(path=path, device=is_device, blank=is_device, size_bytes=100 * GIB)

    async def prepare(self, path: str) -> Given:
        if path not in self.blank:
            raise Invalid(f"{path} is not blank")
        self.blank.discard(path)
        self.taken.add(path)
        return Given(name=f"/disks/of{path}", uuid=f"uuid of {path}")

    async def describe(self, name: str) -> Hardware:
        return Hardware(device="/dev/simulated", serial="S1", slot="3", smart=self.smart.get(name))

    async def locate(self, name: str, *, lit: bool) -> Hardware:
        if not self.has_lights:
            return Hardware(device="/dev/simulated", serial="S1", lacks=("it has no lights",))
        (self.shining.add if lit else self.shining.discard)(name)
        return Hardware(device="/dev/simulated", serial="S1", slot="3", lit=lit)


class MemoryCapacity:
    """Implements `CapacityBook`."""

    def __init__(self) -> None:
        self.kept: list[Sample] = []

    def samples(self) -> Sequence[Sample]:
        return self.kept

    async def add(self, sample: Sample) -> None:
        self.kept = thinned(self.kept, sample)


class SimulatedVolumes:
    """Implements what volumes ask of one machine. A volume's bytes are a plain sparse file that all nodes share."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._directory = directory
        self.served: set[VolumeId] = set()
        self.opened: list[VolumeId] = []
        self.repaired: list[VolumeId] = []
        self.frozen: list[VolumeId] = []
        self.scrubbed: list[tuple[VolumeId, int]] = []
        self.rotten: dict[DiskId, int] = {}  # what each check finds
        self.left: set[VolumeId] = set()  # by servers that were killed

    async def attach(self, volume_id: VolumeId) -> str:
        await self.ensure(volume_id)
        return f"/run/{volume_id}.sock"

    async def detach(self, volume_id: VolumeId) -> None:
        self.served.discard(volume_id)

    @asynccontextmanager
    async def open(self, volume_id: VolumeId, *, writable: bool) -> AsyncIterator[OpenVolume]:
        found = volume_map(self._cluster.view(), volume_id)
        assert found.writable or not writable
        if writable:
            await self._claim(volume_id)
        path = self.file(volume_id)
        self.opened.append(volume_id)
        try:
            yield OpenVolume(path=path, socket=path)
        finally:
            self.opened.remove(volume_id)

    def file(self, volume_id: VolumeId) -> Path:
        """The file of the volume's layer; a new layer begins as what is below it."""
        view = self._cluster.view()
        volume = view.need(Volume, volume_id)
        path = self._directory / volume.layer
        below = next((old for each in ancestors(view, volume) if (old := self._directory / each.layer).exists()), None)
        if not path.exists() and below is not None:
            copy_sparsely(below, path)
        with path.open("ab") as file:
            file.truncate(volume.stored_bytes)
        return path

    async def running(self) -> Collection[VolumeId]:
        return self.served | set(self.opened)

    async def remains(self) -> Collection[VolumeId]:
        return self.left

    async def tidy(self, volume_id: VolumeId) -> None:
        self.left.discard(volume_id)

    def held(self) -> Collection[VolumeId]:
        return set(self.opened)

    async def ensure(self, volume_id: VolumeId) -> None:
        if volume_id not in self.served:
            await self._claim(volume_id)
            self.served.add(volume_id)

    async def ended(self, volume_ids: Collection[VolumeId]) -> None:
        await trio.sleep_forever()

    async def end(self, volume_id: VolumeId) -> None:
        self.served.discard(volume_id)

    async def freeze(self, volume_id: VolumeId) -> Mark:
        if volume_id not in await self.running():
            raise Unavailable(f"volume {volume_id} has no server here")
        volume = self._cluster.view().need(Volume, volume_id)
        self.frozen.append(volume_id)
        return Mark(volume_id=volume_id, epoch=volume.epoch, changes=volume.changes)

    async def thaw(self, volume_id: VolumeId) -> None:
        """Nothing stands still for long here."""

    @asynccontextmanager
    async def serving(self, volume_id: VolumeId) -> AsyncIterator[None]:
        await self._claim(volume_id)
        volume = self._cluster.view().need(Volume, volume_id)
        if volume.out_of_sync or volume.joining:
            self.repaired.append(volume_id)
        self.opened.append(volume_id)
        try:
            for offset, disk_id in enumerate(volume.out_of_sync):
                order = GrowInSync(
                    volume_id=volume_id, epoch=volume.epoch, changes=volume.changes + offset, disk_id=disk_id
                )
                await self._cluster.propose(order)
            await self._adopt(volume_id)
            yield
        finally:
            self.opened.remove(volume_id)

    async def report(self, volume_id: VolumeId) -> ServedVolume | None:
        if volume_id not in await self.running():
            return None
        volume = self._cluster.view().need(Volume, volume_id)
        states = {disk: "current" if disk in volume.in_sync else "away" for disk in disks_of(volume.layout)}
        return ServedVolume(
            phase="open",
            replicas=states,
            latencies_ms=dict.fromkeys(states, 0.5),
            size_bytes=volume.stored_bytes,
            io={"reads": 3, "read_bytes": 12_288},
        )

    async def scrub(self, volume_id: VolumeId, begun_ms: int, extent: int) -> ScrubState:
        if volume_id not in await self.running():
            raise Unavailable(f"volume {volume_id} has no server here")
        self.scrubbed.append((volume_id, extent))
        extents = len(self._cluster.view().need(Volume, volume_id).layout)
        return ScrubState(begun_ms=begun_ms, done=True, first=extent, extent=extents, rotten=dict(self.rotten))

    async def look(self, volume_id: VolumeId) -> None:
        if volume_id in await self.running():
            await self._adopt(volume_id)

    async def _adopt(self, volume_id: VolumeId) -> None:
        """What is joining and may is filled at once."""
        for joiner in volume_map(self._cluster.view(), volume_id).joining:
            volume = self._cluster.view().need(Volume, volume_id)
            order = AdoptReplicas(
                volume_id=volume_id,
                epoch=volume.epoch,
                changes=volume.changes,
                disk_id=joiner.disk_id,
                extents=(joiner.extent,),
                blocks=1,
            )
            await self._cluster.propose(order)

    async def _claim(self, volume_id: VolumeId) -> None:
        number = self._cluster.view().revision
        order = ClaimVolume(volume_id=volume_id, node_id=self._cluster.node_id, claim_id=f"claim at {number}")
        await self._cluster.propose(order)


class SimulatedLuks(HostLuks):
    """Headers for real. What is behind them is only turned upside down."""

    async def fill(self, source: Path, target: Path, key: bytes) -> None:
        with source.open("rb") as disk, target.open("r+b") as file:
            file.seek(luks_header_bytes(KEY_BITS))
            file.write(disk.read(MIB)[::-1])


def give_storage(drivers: Drivers, cluster: Cluster, number: int, directory: Path) -> SimulatedVolumes:
    """Register a machine's simulated disks and volumes."""
    volumes = SimulatedVolumes(cluster, directory)
    drivers.add(DiskServers, SimulatedDisks(number))
    drivers.add(DiskHardware, SimulatedHardware())
    drivers.add(CapacityBook, MemoryCapacity())
    drivers.add(BackupBytes, HostBackups())  # the real one: it needs nothing but files
    drivers.add(LuksDisks, SimulatedLuks())
    for protocol in (VolumeAttachments, VolumeFiles, VolumeServers):
        drivers.add(protocol, volumes)
    return volumes
