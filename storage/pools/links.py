"""What the pool asks of this machine: which disks were given to it, and a running extent server for each."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from noded.core.ids import DiskId, VolumeId
from storage.extents.authority import VolumeMap


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDisk:
    """A directory that the node's configuration gives to the pool, as it was found."""

    name: str
    disk_id: DiskId | None = None  # written on the disk; None: it is empty and nobody's yet
    fault: str = ""  # why it can't be used; nothing is ever wiped to make it fit


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedDisk:
    """A disk whose extent server runs."""

    host: str  # where the other nodes reach it
    port: int
    size_bytes: int
    used_bytes: int


class ReplicaDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A whole replica in one number, made of its blocks' stamps and hashes: equal replicas have equal ones."""

    digest: str
    damaged_blocks: int  # whose data are not what their hash says


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A directory that an operator gave to the pool while the cluster ran, and the file system that belongs there."""

    name: str
    uuid: str = ""  # of the file system, which is mounted there if it is not; empty: whatever is there


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator would give to the pool, as its node found it."""

    path: str
    fault: str = ""  # why it can't be used
    device: bool = False  # a device, and no directory
    blank: bool = False  # on which a file system must be made first
    size_bytes: int = 0


class Smart(msgspec.Struct, frozen=True, kw_only=True):
    """What a drive says of its own health."""

    passed: bool
    temperature_c: int | None = None
    power_on_hours: int | None = None
    warnings: tuple[str, ...] = ()  # what an operator should know before it fails


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """The drive behind a directory. `lacks` says what this machine would need to tell or to do more."""

    device: str
    model: str = ""
    serial: str = ""
    slot: str = ""
    smart: Smart | None = None
    lit: bool | None = None  # whether its light was told to shine, or not to; None: it can't be told
    lacks: tuple[str, ...] = ()


class DiskHardware(Protocol):
    """The drives of this machine. Each call raises `Unavailable` where the machine can't be asked."""

    async def look_at(self, path: str) -> Candidate:
        """Whether a directory or a block device may be given to the pool. Changes nothing."""

    async def prepare(self, path: str) -> Given:
        """Make a file system on a blank device, and mount it. Raises `Invalid` for anything else."""

    async def describe(self, name: str) -> Hardware:
        """The drive behind a disk's directory, and what it says of its health."""

    async def locate(self, name: str, *, lit: bool) -> Hardware:
        """Let the light of the drive's slot shine, or no longer."""


class DiskServers(Protocol):
    """The extent servers of this machine, one a disk. They outlive the daemon and are found again by it."""

    async def mount(self, given: Given) -> None:
        """See that the file system of a given disk is mounted where it belongs. Raises `Unavailable`."""

    async def find(self, more: Sequence[str] = ()) -> tuple[FoundDisk, ...]:
        """Every disk of the node's configuration, and `more`: those that operators gave. Changes nothing."""

    async def end(self, disk_id: DiskId) -> None:
        """End the extent server of a disk that is no part of the pool any more. What the disk holds stays."""

    async def serve(self, name: str, disk_id: DiskId) -> ServedDisk:
        """The disk's extent server, started where it does not run; an empty disk becomes `disk_id` for good.

        Raises `Unavailable` with the reason if it can't be served.
        """

    async def running(self) -> Collection[DiskId]:
        """The disks that have an extent server here, also one that an earlier daemon started."""

    async def ended(self, disk_ids: Collection[DiskId]) -> None:
        """Return when the extent server of one of these disks has ended, or is not there; without any, never."""

    async def end_all(self) -> None:
        """End every extent server of this machine, and give their ports back. What the disks hold stays."""

    async def volumes(self, disk_id: DiskId) -> Collection[VolumeId]:
        """The volumes of which the disk holds anything. Raises `Unavailable`."""

    async def remove(self, disk_id: DiskId, volume_id: VolumeId) -> None:
        """Remove all that the disk holds of a volume, durably. Again: nothing. Raises `Unavailable`."""

    async def drop(self, disk_id: DiskId, volume_id: VolumeId, extents: Sequence[int], changes: int) -> None:
        """Remove some extents of a volume, durably; refuse who goes by a map with fewer `changes`. Again: nothing.

        To be called in the order of the changes. Raises `Unavailable`.
        """

    async def digest(self, disk_id: DiskId, volume: VolumeMap) -> ReplicaDigest:
        """Read the volume's replica on the disk, all of it, without its parents. Raises `Unavailable`."""
