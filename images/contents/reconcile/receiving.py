"""How does a file become an image's contents? Begun in the log, received, checked, converted, then finished or aborted.

The same whoever sends it: a client's request, or a server that this node fetches it from.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

import structlog
import trio

from consensus.liveness.links import Watch
from images.catalog.model import IMAGE_BYTES_MAX, Image
from images.contents.commands import AbortUpload, AddDisk, BeginUpload
from images.contents.links import ImageBytes, Received
from images.contents.live import LiveUploads
from images.formats.inspection import Inspection, Verdict
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused
from noded.core.ids import VolumeId
from noded.core.retry import propose_chosen
from storage.extents.layout import extent_count
from storage.volumes.commands import PLACES_CHANGED, choose_layout
from storage.volumes.links import VolumeFiles
from storage.volumes.model import IMAGE_EXTENT_BYTES, Layout, whole_blocks

log = structlog.get_logger(__name__)

CONVERTED_FORMATS = frozenset({"qcow2"})  # of these a raw volume is made, for servers to be cloned from
ABORT_S_MAX = 15.0

D = TypeVar("D")

# What ends it well: the last entry of the log.
Finish = Callable[[str, Received, Verdict], Awaitable[None]]


class FindDriver(Protocol):
    """This machine's driver for a protocol, as requests and reconcilers find it."""

    def __call__(self, protocol: type[D], /) -> D: ...


class Receiving:
    """One attempt to fill an image, or to stage what will."""

    def __init__(self, cluster: Cluster, driver: FindDriver, image: Image, *, task_id: str | None = None) -> None:
        self._cluster = cluster
        self._driver = driver
        self._image = image
        self._task_id = task_id
        self._upload_id = dice.new_uuid()

    async def run(
        self,
        pieces: AsyncIterator[bytes],
        size_bytes: int | None,
        finish: Finish,
        *,
        staging: bool = False,
        algorithm: str = "",
    ) -> None:
        """Receive all pieces. `size_bytes`: how many there will be, where that is known; `algorithm`: a further digest.

        On any fault the upload is aborted: the image is as empty as before.
        """
        with self._driver(LiveUploads).receiving(self._upload_id):
            file_id = VolumeId(dice.new_uuid())
            await self._begin(file_id, IMAGE_BYTES_MAX if size_bytes is None else size_bytes, staging=staging)
            try:
                received, verdict = await self._fill(pieces, file_id, algorithm)
                await finish(self._upload_id, received, verdict)
            except BaseException:
                await self._abort()
                raise

    async def _begin(self, file_id: VolumeId, size_bytes: int, *, staging: bool) -> None:
        await propose_chosen(
            self._cluster,
            lambda: BeginUpload(
                upload_id=self._upload_id,
                image_id=self._image.image_id,
                node_id=self._cluster.node_id,
                file_id=file_id,
                size_bytes=whole_blocks(size_bytes),
                layout=self._layout(file_id, size_bytes),
                now_ms=now_ms(),
                staging=staging,
                task_id=self._task_id,
            ),
            PLACES_CHANGED,
        )

    async def _fill(self, pieces: AsyncIterator[bytes], file_id: VolumeId, algorithm: str) -> tuple[Received, Verdict]:
        files, image_bytes = self._driver(VolumeFiles), self._driver(ImageBytes)
        inspection = Inspection(self._image.disk_format or "")
        async with files.open(file_id, writable=True) as file:
            received = await image_bytes.receive(pieces, file.path, inspection, algorithm=algorithm)
            verdict = inspection.verdict()
            if verdict.disk_format in CONVERTED_FORMATS:
                disk_id = await self._add_disk(verdict)
                async with files.open(disk_id, writable=True) as disk:
                    await image_bytes.convert(file.path, verdict.disk_format, disk.socket)
        return received, verdict

    async def _add_disk(self, verdict: Verdict) -> VolumeId:
        disk_id = VolumeId(dice.new_uuid())
        size_bytes = whole_blocks(verdict.virtual_bytes)
        await propose_chosen(
            self._cluster,
            lambda: AddDisk(
                upload_id=self._upload_id,
                disk_id=disk_id,
                size_bytes=size_bytes,
                layout=self._layout(disk_id, size_bytes),
                now_ms=now_ms(),
            ),
            PLACES_CHANGED,
        )
        return disk_id

    async def _abort(self) -> None:
        # Also when the client has gone or the daemon stops.
        with trio.move_on_after(ABORT_S_MAX, shield=True):
            try:
                await self._cluster.propose(AbortUpload(upload_id=self._upload_id))
            except Refused as refused:
                log.warning("upload not aborted; the reconciler will", upload=self._upload_id, why=refused.message)

    def _layout(self, volume_id: VolumeId, size_bytes: int) -> Layout:
        extents = range(extent_count(whole_blocks(size_bytes), IMAGE_EXTENT_BYTES))
        return choose_layout(self._cluster.view(), self._driver(Watch).usable(), volume_id, extents)
