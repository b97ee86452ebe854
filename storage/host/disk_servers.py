"""How do the disks that a node was given come to serve? Implements `storage.pools.links.DiskServers` on this machine.

Each disk has an extent server (`extent_server.py`), found again by its lock. Beside the lock a small file says under
which address it was started, so that a daemon that comes later asks at the right door.
"""

import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import trio

from noded.core.errors import Refused, Unavailable
from noded.core.ids import DiskId, VolumeId
from noded.core.unreadable import UNREADABLE
from storage.devices import why_not_empty
from storage.extents.authority import VolumeMap
from storage.host import disk_client
from storage.host.detached import POLL_S, last_words, start_detached, until_ended, until_one_ended
from storage.host.disk_directory import FORMAT, FORMATS, DiskIdentity
from storage.host.hardware import mount_given
from storage.host.lock import holder, send_signal
from storage.host.paths import extent_lock, extent_socket
from storage.pools.links import FoundDisk, Given, ReplicaDigest, ServedDisk

FIRST_PORT = 7410
START_S_MAX = 30.0
END_S_MAX = 30.0


class Door(msgspec.Struct, frozen=True):
    """Where an extent server was told to listen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDisks:
    """The configured disk directories of this node. `address` is where the other nodes reach it."""

    directories: Sequence[str]
    address: str
    tls: Path
    run: Path
    logs: Path

    async def mount(self, given: Given) -> None:
        """See `DiskServers.mount`."""
        await trio.to_thread.run_sync(mount_given, given)

    async def find(self, more: Sequence[str] = ()) -> tuple[FoundDisk, ...]:
        """See `DiskServers.find`. A disk's name is its directory."""
        names = dict.fromkeys((*self.directories, *more))
        return tuple([await trio.to_thread.run_sync(_look_at, directory) for directory in names])

    async def end(self, disk_id: DiskId) -> None:
        """See `DiskServers.end`."""
        await self._end(disk_id)
        self._door_file(disk_id).unlink(missing_ok=True)

    async def serve(self, name: str, disk_id: DiskId) -> ServedDisk:
        """See `DiskServers.serve`."""
        door = self._door(disk_id)
        if holder(extent_lock(self.run, disk_id)) is not None and (door is None or door.host != self.address):
            # The node's address has changed: the others must be let in at the new one.
            await self._end(disk_id)
            door = None
        if door is None:
            door = Door(self.address, self._free_port(disk_id))
            self._door_file(disk_id).parent.mkdir(parents=True, exist_ok=True)
            self._door_file(disk_id).write_bytes(msgspec.json.encode(door))
        if holder(extent_lock(self.run, disk_id)) is None:
            await self._start(name, disk_id, door)
        used = await disk_client.usage(extent_socket(self.run, disk_id))
        return ServedDisk(
            host=door.host,
            port=door.port,
            size_bytes=used.bytes_total,
            used_bytes=used.bytes_total - used.bytes_free,
        )

    async def running(self) -> Collection[DiskId]:
        """See `DiskServers.running`."""
        locks = sorted((self.run / "extents").glob("*.lock"))
        return [DiskId(lock.stem) for lock in locks if holder(lock) is not None]

    async def ended(self, disk_ids: Collection[DiskId]) -> None:
        """See `DiskServers.ended`."""
        await until_one_ended([extent_lock(self.run, disk_id) for disk_id in disk_ids])

    async def end_all(self) -> None:
        """See `DiskServers.end_all`."""
        for lock in sorted((self.run / "extents").glob("*.lock")):
            await self._end(DiskId(lock.stem))

    async def volumes(self, disk_id: DiskId) -> Collection[VolumeId]:
        """See `DiskServers.volumes`."""
        used = await disk_client.usage(extent_socket(self.run, disk_id))
        return [VolumeId(volume_id) for volume_id in used.volumes]

    async def remove(self, disk_id: DiskId, volume_id: VolumeId) -> None:
        """See `DiskServers.remove`."""
        await disk_client.remove(extent_socket(self.run, disk_id), volume_id)

    async def drop(self, disk_id: DiskId, volume_id: VolumeId, extents: Sequence[int], changes: int) -> None:
        """See `DiskServers.drop`."""
        await disk_client.drop(extent_socket(self.run, disk_id), volume_id, extents, changes)

    async def digest(self, disk_id: DiskId, volume: VolumeMap) -> ReplicaDigest:
        """See `DiskServers.digest`."""
        extents = [number for number, disks in enumerate(volume.layout) if disk_id in disks]
        return await disk_client.digest(extent_socket(self.run, disk_id), volume, extents)

    async def _start(self, directory: str, disk_id: DiskId, door: Door) -> None:
        log_file = self.logs / f"extents-{disk_id}.log"
        address = f"[{door.host}]:{door.port}" if ":" in door.host else f"{door.host}:{door.port}"
        arguments = ["--disk", directory, "--disk-id", disk_id, "--listen", address]
        arguments += ["--tls", str(self.tls), "--run", str(self.run)]
        await start_detached("storage.host.extent_server", arguments, log_file)
        with trio.move_on_after(START_S_MAX):
            while not await self._answers(disk_id):  # noqa: ASYNC110  # another process has no event to wait for
                await trio.sleep(POLL_S)
            return
        raise Unavailable(f"The extent server of {directory} does not start: {last_words(log_file)}")

    async def _answers(self, disk_id: DiskId) -> bool:
        try:
            await disk_client.usage(extent_socket(self.run, disk_id))
        except Refused:
            return False
        return True

    async def _end(self, disk_id: DiskId) -> None:
        lock = extent_lock(self.run, disk_id)
        send_signal(lock, signal.SIGTERM)
        await until_ended(lock, END_S_MAX)

    def _door_file(self, disk_id: DiskId) -> Path:
        return self.run / "extents" / f"{disk_id}.door"

    def _door(self, disk_id: DiskId) -> Door | None:
        try:
            return msgspec.json.decode(self._door_file(disk_id).read_bytes(), type=Door)
        except (FileNotFoundError, *UNREADABLE):
            return None

    def _free_port(self, disk_id: DiskId) -> int:
        """The first port that no other disk of this node has."""
        taken = set()
        for file in self._door_file(disk_id).parent.glob("*.door"):
            if file.stem != disk_id and (door := self._door(DiskId(file.stem))) is not None:
                taken.add(door.port)
        return next(port for port in range(FIRST_PORT, FIRST_PORT + len(taken) + 1) if port not in taken)


def _look_at(directory: str) -> FoundDisk:
    try:
        identity = msgspec.json.decode((Path(directory) / "disk.json").read_bytes(), type=DiskIdentity)
    except FileNotFoundError:
        return _look_at_new(directory)
    except (OSError, *UNREADABLE) as error:
        return FoundDisk(name=directory, fault=f"{directory}/disk.json can't be read: {error}")
    if identity.format not in FORMATS:
        fault = f"{directory} has format {identity.format}; this release knows format {FORMAT}"
        return FoundDisk(name=directory, disk_id=DiskId(identity.disk_id), fault=fault)
    return FoundDisk(name=directory, disk_id=DiskId(identity.disk_id))


def _look_at_new(directory: str) -> FoundDisk:
    try:
        names = [path.name for path in Path(directory).iterdir()]
    except OSError as error:
        return FoundDisk(name=directory, fault=f"{directory} can't be used: {error.strerror}")
    return FoundDisk(name=directory, fault=why_not_empty(directory, names))
