"""What other rooms ask of this machine's volumes: a guest's disk as a socket, a volume's bytes as a file."""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from noded.core.command import Command
from noded.core.ids import DiskId, VolumeId
from noded.core.route import Caller, Request
from noded.core.store import View
from storage.extents.authority import Mark
from storage.volumes.model import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVolume:
    """A volume that is served on this machine, both ways."""

    path: Path  # a file of exactly the volume's size: any tool may open it
    socket: Path  # NBD on a unix socket: what QEMU and qemu-img use


class VolumeAttachments(Protocol):
    """A guest's disk. The log must say first that the volume is this node's (`commands.attach_volume`)."""

    async def attach(self, volume_id: VolumeId) -> str:
        """The path of the NBD socket that serves the volume here; starts its server where it does not run yet.

        Returns when the volume is open: claimed, its replicas reconciled. Raises `Refused` with the reason.
        """

    async def detach(self, volume_id: VolumeId) -> None:
        """End the volume's server on this node, once everything written is on its replicas. Again: nothing."""


class VolumeFiles(Protocol):
    """A volume's bytes, for as long as the context lasts."""

    def open(self, volume_id: VolumeId, *, writable: bool) -> AbstractAsyncContextManager[OpenVolume]:
        """The volume served on this machine. Several may read one immutable volume at once, on any nodes.

        What was written is on every in-sync replica when the context has been left without an exception.
        """


class ScrubState(msgspec.Struct, frozen=True, kw_only=True):
    """A pass over a volume's replicas, as its server tells of it: all extents before `extent` are checked."""

    begun_ms: int = 0  # which pass it is; 0: none since the server started
    running: bool = False
    done: bool = False
    first: int = 0  # the extent that it began with here
    extent: int = 0
    rotten: dict[DiskId, int] = msgspec.field(default_factory=dict)
    different: dict[DiskId, int] = msgspec.field(default_factory=dict)
    gone: int = 0


class ServedVolume(msgspec.Struct, frozen=True, kw_only=True):
    """What the server of a volume says of it, replica by replica."""

    phase: str = ""
    replicas: dict[DiskId, str] = msgspec.field(default_factory=dict)  # how far each has come
    latencies_ms: dict[DiskId, float] = msgspec.field(default_factory=dict)  # of the newest ping, sent when idle
    resyncs: dict[DiskId, float] = msgspec.field(default_factory=dict)  # the share that is done
    joins: dict[str, int] = msgspec.field(default_factory=dict)  # by "extent/disk" the blocks copied so far
    requests_under_way: int = 0
    damaged_blocks: int = 0
    io: dict[str, int] = msgspec.field(default_factory=dict)  # since it started: reads, read_bytes, and so on
    size_bytes: int = 0  # what it tells whoever connects to it
    scrub: ScrubState = ScrubState()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDisk:
    """What a volume that is made from an image begins as."""

    image_id: str
    volume_id: VolumeId  # the disk in the image; it never changes
    gib_min: int  # a volume is at least as large
    words: dict[str, str]  # what is known of the image, as Cinder's volumes tell it


class ImageDisks(Protocol):
    """The images, which are above storage: what is in them, for whom."""

    def disk(self, view: View, caller: Caller, image_id: str) -> ImageDisk:
        """The disk in the image. Raises `Refused` if the caller does not see it, or nothing can be made of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageWish:
    """What a volume's user wants of the image that is made of it."""

    name: str
    disk_format: str
    container_format: str
    visibility: str | None  # None: what images have that say nothing
    protected: bool
    force: bool  # also while a server has the volume


class ImageExports(Protocol):
    """The images, which are above storage, as what a volume may become."""

    def order(self, request: Request, volume: Volume, wish: ImageWish) -> tuple[str, Command]:
        """The id of a new image, and the command that makes it. Raises `Refused` where such an image can't be."""


class VolumeServers(Protocol):
    """The volume servers of this machine, as the reconciler sees them."""

    async def running(self) -> Collection[VolumeId]:
        """The volumes that have a server here, also one that an earlier daemon started."""

    async def remains(self) -> Collection[VolumeId]:
        """The volumes of which a server that has ended left sockets or a mount on this machine."""

    async def tidy(self, volume_id: VolumeId) -> None:
        """Take away what an ended server left. Nothing happens while one runs, or somebody waits for one."""

    def held(self) -> Collection[VolumeId]:
        """The volumes that this daemon has open as files right now."""

    async def ensure(self, volume_id: VolumeId) -> None:
        """Start the server if it does not run, and keep it."""

    async def ended(self, volume_ids: Collection[VolumeId]) -> None:
        """Return when the server of one of these volumes has ended, or is not there; without any, never."""

    async def end(self, volume_id: VolumeId) -> None:
        """End the server; what it acknowledged is on the replicas already."""

    async def freeze(self, volume_id: VolumeId) -> Mark:
        """Let the volume that is served here stand still; what it says then is what the log must know.

        Raises `Unavailable` if it does not within a few seconds. It goes on by itself when nobody lets it.
        """

    async def thaw(self, volume_id: VolumeId) -> None:
        """Let it go on. Nothing happens where it has no server, or does not stand still."""

    async def report(self, volume_id: VolumeId) -> ServedVolume | None:
        """What the volume's server on this machine says; None where it has none. Raises `Unavailable`."""

    async def look(self, volume_id: VolumeId) -> None:
        """Let the server see what the log says of the volume now. Nothing happens where there is none."""

    async def scrub(self, volume_id: VolumeId, begun_ms: int, extent: int) -> ScrubState:
        """Let the volume's server check all replicas from an extent on; how far that pass is. Asked again it goes on.

        Raises `Unavailable` where the volume has no server here.
        """

    def serving(self, volume_id: VolumeId) -> AbstractAsyncContextManager[None]:
        """The volume has a server here while the context lasts: nobody uses it, but it mends what is behind."""
