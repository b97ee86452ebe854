"""How a volume becomes an image: wished for, cut, read by one node, then finished or aborted."""

from typing import ClassVar, Final

from msgspec.structs import replace

from images.catalog.commands import ImageForm, begin_upload, create_image, discard_image, fill_image
from images.catalog.model import Contents, Image
from images.exports.model import Export
from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import ImageId, NodeId, VolumeId
from noded.core.store import Transaction, View
from storage.messages.commands import tell
from storage.volumes.commands import (
    clone_of_moment,
    delete_snapshot,
    delete_volume,
    mark_volume,
    seal_volume,
)
from storage.volumes.model import Purpose, Volume

UPLOADING: Final = "uploading"  # what goes on with the volume until its moment is kept
OVER: Final = "ExportOver"  # the code of the refusal: it was ended, or another node has it


class BeginExport(Command, frozen=True, kw_only=True, tag="image.export.begin.1"):
    """A new image, and a wish: what the volume is becomes its contents. `force`: also while the volume is in use."""

    TOLD: ClassVar[str] = "began to make the image {image_id} of volume {volume_id}"

    image_id: ImageId
    form: ImageForm
    volume_id: VolumeId
    frozen_id: VolumeId
    copy_id: VolumeId
    cut_id: str
    force: bool = False
    request_id: str = ""
    message_id: str = ""
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        expected = ("available", "in-use") if self.force else ("available",)
        volume = mark_volume(tx, self.volume_id, UPLOADING, expected=expected, doing="upload it to an image")
        create_image(tx, self.image_id, self.form, self.now_ms)
        begin_upload(tx, self.image_id, self.image_id, staging=False)
        clone_of_moment(
            tx,
            volume,
            volume_id=self.copy_id,
            frozen_id=self.frozen_id,
            cut_id=self.cut_id,
            project_id=self.form.project_id,
            name=self.form.name or self.image_id,
            purpose=Purpose.IMAGE,
            now_ms=self.now_ms,
        )
        tx.put(
            Export(
                id=self.image_id,
                volume_id=self.volume_id,
                project_id=volume.project_id,
                frozen_id=self.frozen_id,
                copy_id=self.copy_id,
                size_bytes=volume.stored_bytes,
                started_at_ms=self.now_ms,
                request_id=self.request_id,
                message_id=self.message_id,
            )
        )


class TakeExport(Command, frozen=True, kw_only=True, tag="image.export.take.1"):
    """The copy is there and never changes again, so the volume is its user's. A node reads the copy."""

    TOLD: ClassVar[str] = "gave the reading of the new image {image_id} to node {node_id}"

    image_id: ImageId
    node_id: NodeId
    before_id: NodeId | None = None  # who had it as that node saw it

    def apply(self, tx: Transaction) -> None:
        export = _current(tx, self.image_id)
        copy = tx.need(Volume, export.copy_id)
        if export.worker_id != self.before_id or not is_ready(copy):
            raise Conflict(f"The copy for image {self.image_id} is another node's, or is not there yet.", code=OVER)
        if not copy.immutable:
            seal_volume(tx, copy.volume_id, copy.size_bytes)
        _release(tx, export)
        tx.put(replace(export, worker_id=self.node_id))


class FinishExport(Command, frozen=True, kw_only=True, tag="image.export.finish.1"):
    """The copy has been read: it is the image's contents."""

    TOLD: ClassVar[str] = "made the image {image_id} of a volume of {size_bytes} bytes"

    image_id: ImageId
    size_bytes: int
    md5: str
    sha512: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        export = _current(tx, self.image_id)
        contents = Contents(
            size_bytes=self.size_bytes,
            virtual_bytes=self.size_bytes,
            md5=self.md5,
            sha512=self.sha512,
            file_id=export.copy_id,
            disk_id=export.copy_id,
        )
        fill_image(tx, self.image_id, export.id, contents, self.now_ms)
        tx.delete(Export, export.id)


class AbortExport(Command, frozen=True, kw_only=True, tag="image.export.abort.1"):
    """Nothing comes of it: the image goes, the volume is its user's again, and a message says why. Again: nothing."""

    TOLD: ClassVar[str] = "gave up making an image of a volume: {reason}"

    FREES_ROOM: ClassVar[bool] = True

    image_id: ImageId
    reason: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        export = tx.get(Export, self.image_id)
        if export is None:
            return
        delete_snapshot(tx, export.frozen_id)
        if tx.get(Volume, export.copy_id) is not None:
            delete_volume(tx, export.copy_id)
        _release(tx, export)
        image = tx.get(Image, self.image_id)
        if image is not None and image.upload_id == export.id:
            discard_image(tx, image.image_id)
            tell(
                tx,
                message_id=export.message_id,
                project_id=export.project_id,
                request_id=export.request_id,
                resource=("VOLUME", export.volume_id),
                event="003_001",
                text=f"copy volume to image:{self.reason}",
                now_ms=self.now_ms,
            )
        tx.delete(Export, export.id)


def is_ready(copy: Volume) -> bool:
    """Whether the snapshot that it is a clone of has been made."""
    return copy.waits_for is None and not copy.phase and not copy.deleting


def is_wanted(view: View, export: Export) -> bool:
    """Whether its image is still there, and waits."""
    image = view.get(Image, export.id)
    return image is not None and image.upload_id == export.id


def _current(tx: Transaction, image_id: ImageId) -> Export:
    export = tx.get(Export, image_id)
    if export is None or not is_wanted(tx, export):
        raise Conflict(f"Image {image_id} does not wait for a volume any more.", code=OVER)
    return export


def _release(tx: Transaction, export: Export) -> None:
    """The volume goes on, unless somebody said another status of it meanwhile."""
    volume = tx.get(Volume, export.volume_id)
    if volume is not None and not volume.deleting and volume.phase == UPLOADING:
        mark_volume(tx, volume.volume_id, "", expected=(), doing="go on")
