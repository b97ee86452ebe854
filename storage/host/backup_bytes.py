"""How do volumes' bytes get into backups and out of them? Region by region, each in a worker thread.

Between two regions the work can be cut off. Made again it finds what was written whole, and goes on behind it.
"""

import errno
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import trio

from noded.core.errors import Invalid, Unavailable
from noded.core.units import MIB
from storage.backups.chunks import (
    CHUNK_BYTES,
    REGION_BYTES,
    Damaged,
    Manifest,
    Object,
    Region,
    Seal,
    chunks_of,
    decode_manifest,
    digests_of,
    encode,
    encode_manifest,
    region_count,
)
from storage.backups.links import Copied, DirectoryPlace, Place, PoolPlace, S3Place, Stored
from storage.host.backup_objects import DirectoryObjects, Objects, VolumeObjects, locations_in, mark_directory
from storage.host.s3 import Bucket, S3Objects

T = TypeVar("T")

THREADS_MAX: Final = 2  # regions under way on this node; each takes about 100 MiB
PIECE_BYTES: Final = MIB


class HostBackups:
    """Implements `storage.backups.links.BackupBytes`."""

    def __init__(self) -> None:
        self._threads = trio.CapacityLimiter(THREADS_MAX)

    async def copy(self, source: Path, size_bytes: int, volume_id: str, chain: Sequence[Stored]) -> Copied:
        """See `BackupBytes.copy`."""
        with _Reading.opened(source) as file, _Chain.opened(chain, writable=True) as backups:
            kinds, objects, stored = bytearray(), 0, 0
            await self._run(backups.load_parents)
            for region in range(region_count(size_bytes)):
                kind, length = await self._run(backups.copy_region, file, region, size_bytes)
                kinds.append(kind)
                objects, stored = objects + (kind is Region.HERE), stored + length
            manifest = Manifest(
                location=chain[0].location,
                volume_id=volume_id,
                size_bytes=size_bytes,
                parent_location=chain[1].location if len(chain) > 1 else None,
                regions=zlib.compress(bytes(kinds)),
                object_count=objects + 1,
                stored_bytes=stored,
            )
            await self._run(backups.finish, manifest)
            return Copied(object_count=manifest.object_count, stored_bytes=stored)

    async def restore(self, chain: Sequence[Stored], size_bytes: int, volume: Path, *, blank: bool) -> None:
        """See `BackupBytes.restore`."""
        with _Reading.opened(volume, writable=True) as file, _Chain.opened(chain, writable=False) as backups:
            await self._run(backups.load_all)
            for region in range(region_count(size_bytes)):
                await self._run(backups.restore_region, file, region, size_bytes, blank)
            await self._run(file.sync)

    async def check(self, stored: Stored) -> Copied:
        """See `BackupBytes.check`."""
        with _Chain.opened([stored], writable=False) as backups:
            await self._run(backups.load_all)
            manifest = backups.manifests[0]
            return Copied(object_count=manifest.object_count, stored_bytes=manifest.stored_bytes)

    async def remove(self, stored: Stored) -> None:
        """See `BackupBytes.remove`."""
        with _Chain.opened([stored], writable=True) as backups:
            await self._run(backups.objects[0].clear)

    async def locations(self, place: DirectoryPlace) -> Sequence[str]:
        """See `BackupBytes.locations`."""
        return await self._run(locations_in, place)

    async def mark(self, place: Place) -> None:
        """See `BackupBytes.mark`."""
        await self._run(_mark, place)

    async def _run(self, call: Callable[..., T], *arguments: object) -> T:
        return await trio.to_thread.run_sync(call, *arguments, limiter=self._threads)


class _Reading:
    """A volume's file, read and written in whole regions."""

    def __init__(self, file: int) -> None:
        self._file = file

    @classmethod
    @contextmanager
    def opened(cls, path: Path, *, writable: bool = False) -> "Iterator[_Reading]":
        """The file, while the context lasts."""
        with _volume_faults():
            file = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        try:
            yield cls(file)
        finally:
            os.close(file)

    def read(self, start: int, length: int) -> bytearray:
        """Exactly these bytes."""
        content = bytearray(length)
        view, done = memoryview(content), 0
        with _volume_faults():
            if self._is_hole(start, length):
                return content
            while done < length:
                count = os.preadv(self._file, [view[done : done + PIECE_BYTES]], start + done)
                if not count:
                    raise Unavailable(f"The volume ends at {start + done}, before {start + length}.")
                done += count
        return content

    def _is_hole(self, start: int, length: int) -> bool:
        """Whether nothing was ever written there, as far as the file system can say."""
        try:
            return os.lseek(self._file, start, os.SEEK_DATA) >= start + length
        except OSError as error:
            if error.errno == errno.ENXIO:  # there is no more data behind
                return start + length <= os.fstat(self._file).st_size
            if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
                return False
            raise

    def write(self, start: int, content: bytes) -> None:
        """All of these bytes."""
        done = 0
        with _volume_faults():
            while done < len(content):
                done += os.pwrite(self._file, memoryview(content)[done : done + PIECE_BYTES], start + done)

    def sync(self) -> None:
        """Durable when it returns."""
        with _volume_faults():
            os.fsync(self._file)


class _Chain:
    """A backup and those on which it builds, newest first."""

    def __init__(self, chain: Sequence[Stored], objects: Sequence[Objects]) -> None:
        self._chain = chain
        self.objects = objects
        self._seals = [Seal(stored.key, stored.location) for stored in chain]
        self.manifests: list[Manifest] = []
        self._kinds: list[bytes] = []

    @classmethod
    @contextmanager
    def opened(cls, chain: Sequence[Stored], *, writable: bool) -> "Iterator[_Chain]":
        """The chain; `writable`: its newest is written."""
        with ExitStack() as stack:
            opened: list[Objects] = []
            for number, stored in enumerate(chain):
                objects = _objects(stored, writable=writable and not number)
                if isinstance(objects, VolumeObjects | S3Objects):
                    stack.callback(objects.close)
                opened.append(objects)
            yield cls(chain, opened)

    def load_all(self) -> None:
        """Read every manifest. Raises `Invalid` where a backup is not whole."""
        self._load(0)

    def load_parents(self) -> None:
        """Read the manifests of those on which the newest builds."""
        self._load(1)

    def _load(self, first: int) -> None:
        for number, stored in enumerate(self._chain):
            if number < first:
                self._kinds.append(b"")
                continue
            with _damage():
                manifest = decode_manifest(self.objects[number].get(0) or b"", stored.location, self._seals[number])
            self.manifests.append(manifest)
            self._kinds.append(manifest.kinds())

    def copy_region(self, file: _Reading, region: int, size_bytes: int) -> tuple[Region, int]:
        """Write one region, unless it is there; what it became and how long."""
        index, location = region + 1, self._chain[0].location
        there = self.objects[0].get(index)
        if there is not None:
            try:
                Object(there, location, index, self._seals[0])
            except Damaged:
                there = None  # cut off while it was written: it is written anew
            else:
                return Region.HERE, len(there)
        start = region * REGION_BYTES
        data = file.read(start, min(REGION_BYTES, size_bytes - start))
        before = None
        if len(self._chain) > 1:
            chunks = -(-len(data) // CHUNK_BYTES)
            with _damage():
                before = digests_of(self._region(region, first=1), chunks)
                before += (digests_of([Region.ZERO], chunks))[len(before) :]  # the volume has grown since
        content = encode(location, index, data, before, self._seals[0])
        if isinstance(content, Region):
            return content, 0
        self.objects[0].put(index, content)
        return Region.HERE, len(content)

    def finish(self, manifest: Manifest) -> None:
        """The backup is whole."""
        self.objects[0].put(0, encode_manifest(manifest, self._seals[0]))

    def restore_region(self, file: _Reading, region: int, size_bytes: int, blank: bool) -> None:
        """Make one region of the volume what the backup says."""
        with _damage():
            found = list(self._region(region, first=0))
            for number, chunk in enumerate(chunks_of(found)):
                start = region * REGION_BYTES + number * CHUNK_BYTES
                length = min(CHUNK_BYTES, size_bytes - start)
                if length <= 0:
                    break
                if chunk is None and blank:
                    continue
                wanted = bytes(length) if chunk is None else chunk[:length]
                if blank or file.read(start, length) != wanted:
                    file.write(start, wanted)

    def _region(self, region: int, *, first: int) -> Iterator[Object | Region]:
        """The region in each backup from `first` on, as far as one may need it."""
        for number in range(first, len(self._chain)):
            kinds = self._kinds[number]
            kind = Region(kinds[region]) if region < len(kinds) else Region.ZERO  # the volume has grown since
            if kind is not Region.HERE:
                yield kind
                if kind is Region.ZERO:
                    return
                continue
            content = self.objects[number].get(region + 1)
            if content is None:
                raise Damaged(f"object {region + 1} of backup {self._chain[number].location} is missing")
            found = Object(content, self._chain[number].location, region + 1, self._seals[number])
            yield found
            if found.is_complete:
                return


def _objects(stored: Stored, *, writable: bool) -> Objects:
    if isinstance(stored.place, PoolPlace):
        return VolumeObjects(stored.place.path, writable=writable)
    if isinstance(stored.place, DirectoryPlace):
        return DirectoryObjects(stored.place, stored.location)
    return S3Objects(stored.place, stored.location)


def _mark(place: Place) -> None:
    if isinstance(place, DirectoryPlace):
        mark_directory(place)
    if isinstance(place, S3Place):
        bucket, key = Bucket(place), f"{place.container}/noded-trial"
        try:
            bucket.put(key, b"noded")
            if bucket.get(key) != b"noded":
                raise Invalid(f"The object store at {place.url} does not give back what was written to it.")
            bucket.delete(key)
        finally:
            bucket.close()


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except Damaged as damage:
        raise Invalid(f"The backup can't be read: {damage}.") from damage


@contextmanager
def _volume_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"The volume can't be used: {error.strerror}.") from error
