"""How does a file become an image's contents? Begun in the log, received, checked, converted, then finished or aborted.

The same whoever sends it: a client's request, or a server that this node fetches it from.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import structlog
import trio

from consensus.liveness.links import Watch
from images.catalog.model import IMAGE_BYTES_MAX, PACKED_FORMATS, Image
from images.contents.commands import AbortUpload, AddDisk, BeginUpload
from images.contents.links import ImageBytes, Received
from images.contents.live import LiveUploads
from images.formats.inspection import Inspection, Verdict
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.errors import Refused
from noded.core.ids import VolumeId
from noded.core.retry import propose_chosen
from storage.extents.layout import extent_count
from storage.volumes.commands import PLACES_CHANGED, choose_layout
from storage.volumes.links import OpenVolume, VolumeFiles
from storage.volumes.model import IMAGE_EXTENT_BYTES, Layout, whole_blocks

log = structlog.get_logger(__name__)

ABORT_S_MAX = 15.0

D = TypeVar("D")

# What ends it well: the last entry of the log.
Finish = Callable[[str, Received, Verdict], Awaitable[None]]


class FindDriver(Protocol):
    """This machine's driver for a protocol, as requests and reconcilers find it."""

    def __call__(self, protocol: type[D], /) -> D: ...


class Attempt:
    """One upload, and the entries of the log by which it begins, gets a disk, and ends badly."""

    def __init__(self, cluster: Cluster, driver: FindDriver, upload_id: str | None = None) -> None:
        self.cluster = cluster
        self.driver = driver
        self.upload_id = dice.new_uuid() if upload_id is None else upload_id

    async def begin(
        self,
        image: Image,
        size_bytes: int | None,
        *,
        staging: bool = False,
        task_id: str | None = None,
        resumable: bool = False,
    ) -> VolumeId:
        """A volume waits for the file. `size_bytes`: of the file, where that is known."""
        file_id = VolumeId(dice.new_uuid())
        room_bytes = IMAGE_BYTES_MAX if size_bytes is None else size_bytes  # volumes are thin
        await propose_chosen(
            self.cluster,
            lambda: BeginUpload(
                upload_id=self.upload_id,
                image_id=image.image_id,
                node_id=self.cluster.node_id,
                file_id=file_id,
                size_bytes=whole_blocks(room_bytes),
                layout=self._layout(file_id, room_bytes),
                now_ms=now_ms(),
                staging=staging,
                task_id=task_id,
                resumable=resumable,
                total_bytes=size_bytes if resumable else None,
            ),
            PLACES_CHANGED,
        )
        return file_id

    async def convert(self, file: OpenVolume, file_bytes: int, verdict: Verdict, container_format: str | None) -> None:
        """Make a volume of the disk inside the file, where the file is not the disk itself."""
        if verdict.disk_format not in PACKED_FORMATS or container_format != "bare":
            return
        disk_id, size_bytes = VolumeId(dice.new_uuid()), whole_blocks(verdict.virtual_bytes)
        await propose_chosen(
            self.cluster,
            lambda: AddDisk(
                upload_id=self.upload_id,
                disk_id=disk_id,
                size_bytes=size_bytes,
                layout=self._layout(disk_id, size_bytes),
                now_ms=now_ms(),
            ),
            PLACES_CHANGED,
        )
        async with self.driver(VolumeFiles).open(disk_id, writable=True) as disk:
            await self.driver(ImageBytes).convert(file.path, file_bytes, verdict.disk_format, disk.socket)

    async def abort(self) -> None:
        """The image is as empty as before."""
        await self.propose_at_last(AbortUpload(upload_id=self.upload_id, even_kept=True))

    async def propose_at_last(self, command: Command) -> None:
        """Say how it ended, also when the client has gone or the daemon stops."""
        with trio.move_on_after(ABORT_S_MAX, shield=True):
            try:
                await self.cluster.propose(command)
            except Refused as refused:
                log.warning("end of an upload not told", upload=self.upload_id, why=refused.message)

    def _layout(self, volume_id: VolumeId, size_bytes: int) -> Layout:
        extents = range(extent_count(whole_blocks(size_bytes), IMAGE_EXTENT_BYTES))
        return choose_layout(self.cluster.view(), self.driver(Watch).usable(), volume_id, extents)


async def receive_whole(
    attempt: Attempt,
    image: Image,
    pieces: AsyncIterator[bytes],
    size_bytes: int | None,
    finish: Finish,
    *,
    staging: bool = False,
    task_id: str | None = None,
    algorithm: str = "",
) -> None:
    """Receive all of a file at once. `size_bytes`: how large it is, where that is known; `algorithm`: a further digest.

    On any fault the upload is aborted: the image is as empty as before.
    """
    with attempt.driver(LiveUploads).receiving(attempt.upload_id):
        file_id = await attempt.begin(image, size_bytes, staging=staging, task_id=task_id)
        try:
            inspection = Inspection(image.disk_format or "", image.container_format or "bare")
            async with attempt.driver(VolumeFiles).open(file_id, writable=True) as file:
                mover = attempt.driver(ImageBytes)
                received = await mover.receive(pieces, file.path, inspection, algorithm=algorithm)
                verdict = inspection.verdict()
                await attempt.convert(file, received.size_bytes, verdict, image.container_format)
            await finish(attempt.upload_id, received, verdict)
        except BaseException:
            await attempt.abort()
            raise
