"""How an image gets its contents: begun, perhaps converted, then finished or aborted. Each step is all or nothing."""

from typing import ClassVar

from msgspec.structs import replace

from images.catalog.commands import begin_upload, fill_image, forget_upload
from images.catalog.model import Contents, Image
from images.contents.model import Staged, Upload
from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import ImageId, NodeId, VolumeId
from noded.core.store import Transaction, View
from storage.volumes.commands import create_volume, delete_volume, hold_volume, seal_volume
from storage.volumes.model import IMAGE_EXTENT_BYTES, Layout, Purpose, Volume


class BeginUpload(Command, frozen=True, kw_only=True, tag="image.upload.begin.1"):
    """A node is about to receive the file: the image is saving, and a volume waits for the bytes."""

    TOLD: ClassVar[str] = "began to upload the image {image_id}"

    upload_id: str
    image_id: ImageId
    node_id: NodeId
    file_id: VolumeId
    size_bytes: int  # of the volume: the file's where it is known, else the largest that a file may have
    layout: Layout
    now_ms: int
    staging: bool = False  # what comes waits for an import
    task_id: str | None = None  # the import that receives it
    resumable: bool = False
    total_bytes: int | None = None  # of a resumable one, where it is known

    def apply(self, tx: Transaction) -> None:
        image = begin_upload(tx, self.image_id, self.upload_id, staging=self.staging, task_id=self.task_id)
        _create(tx, image, self.file_id, self.size_bytes, self.layout, self.node_id, self.now_ms)
        tx.put(
            Upload(
                id=self.upload_id,
                image_id=self.image_id,
                node_id=self.node_id,
                file_id=self.file_id,
                started_at_ms=self.now_ms,
                resumable=self.resumable,
                total_bytes=self.total_bytes,
                kept_at_ms=self.now_ms,
            )
        )


class ResumeUpload(Command, frozen=True, kw_only=True, tag="image.upload.resume.1"):
    """A node carries an upload on, from where it was kept. Whoever had it before may not write any more."""

    TOLD: ClassVar[str] = "carried an upload on from byte {kept_bytes}"

    upload_id: str
    node_id: NodeId
    kept_bytes: int  # as it was when the node looked
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        upload = tx.need(Upload, self.upload_id)
        if not upload.resumable or upload.staged is not None or upload.kept_bytes != self.kept_bytes:
            raise Conflict(f"The upload goes on at byte {upload.kept_bytes}, not {self.kept_bytes}.")
        if upload.disk_id is not None:  # of a last part that was not finished
            delete_volume(tx, upload.disk_id)
        hold_volume(tx, upload.file_id, phase="", node_id=self.node_id)
        tx.put(replace(upload, node_id=self.node_id, disk_id=None, kept_at_ms=self.now_ms))


class KeepUpload(Command, frozen=True, kw_only=True, tag="image.upload.keep.1"):
    """So much of a resumable upload is on all replicas. `release`: its node does nothing with it for now."""

    TOLD: ClassVar[str] = "kept {kept_bytes} bytes of an upload"

    upload_id: str
    node_id: NodeId
    kept_bytes: int
    release: bool
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        upload = tx.need(Upload, self.upload_id)
        if upload.node_id != self.node_id or not upload.resumable or upload.staged is not None:
            raise Conflict("The upload is another node's by now.")
        if self.release:
            hold_volume(tx, upload.file_id, phase="", node_id=None)
        tx.put(replace(upload, kept_bytes=max(self.kept_bytes, upload.kept_bytes), kept_at_ms=self.now_ms))


class AddDisk(Command, frozen=True, kw_only=True, tag="image.upload.disk.1"):
    """The file is complete and good, but it is not the disk itself: a volume for the disk inside it."""

    TOLD: ClassVar[str] = "made room for an upload that is larger than it said"

    upload_id: str
    disk_id: VolumeId
    size_bytes: int
    layout: Layout
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        upload = tx.need(Upload, self.upload_id)
        image = tx.need(Image, upload.image_id)
        _create(tx, image, self.disk_id, self.size_bytes, self.layout, upload.node_id, self.now_ms)
        tx.put(replace(upload, disk_id=self.disk_id))


class StageUpload(Command, frozen=True, kw_only=True, tag="image.upload.stage.1"):
    """Everything is on all replicas: the volumes never change again, and wait until the image is imported."""

    TOLD: ClassVar[str] = "staged {size_bytes} bytes for an image"

    upload_id: str
    size_bytes: int
    virtual_bytes: int
    md5: str
    sha512: str

    def apply(self, tx: Transaction) -> None:
        upload = _sealed(tx, self.upload_id, self.size_bytes, self.virtual_bytes)
        staged = Staged(size_bytes=self.size_bytes, virtual_bytes=self.virtual_bytes, md5=self.md5, sha512=self.sha512)
        tx.put(replace(upload, staged=staged))


class FinishUpload(Command, frozen=True, kw_only=True, tag="image.upload.finish.1"):
    """Everything is on all replicas: the volumes never change again and the image is active."""

    TOLD: ClassVar[str] = "finished an upload of {size_bytes} bytes"

    upload_id: str
    size_bytes: int
    virtual_bytes: int
    md5: str
    sha512: str
    now_ms: int
    algorithm: str = ""  # what it was checked against, where that is not SHA-512
    digest: str = ""

    def apply(self, tx: Transaction) -> None:
        upload = _sealed(tx, self.upload_id, self.size_bytes, self.virtual_bytes)
        contents = Contents(
            size_bytes=self.size_bytes,
            virtual_bytes=self.virtual_bytes,
            md5=self.md5,
            sha512=self.sha512,
            file_id=upload.file_id,
            disk_id=upload.disk_id or upload.file_id,
            algorithm=self.algorithm,
            digest=self.digest,
        )
        fill_image(tx, upload.image_id, self.upload_id, contents, self.now_ms)
        tx.delete(Upload, self.upload_id)


class AbortUpload(Command, frozen=True, kw_only=True, tag="image.upload.abort.1"):
    """The upload failed: its volumes go, and the image, if it still exists, is queued again. Again: nothing.

    Nor is anything done to what is staged or may be carried on, unless that is said.
    """

    TOLD: ClassVar[str] = "gave up an upload"

    FREES_ROOM: ClassVar[bool] = True

    upload_id: str
    even_kept: bool = False  # also what is staged, or could be carried on: somebody decided so

    def apply(self, tx: Transaction) -> None:
        upload = tx.get(Upload, self.upload_id)
        if upload is None or (waits(tx, upload) and not self.even_kept):
            return
        for volume_id in upload.volume_ids:
            if tx.get(Volume, volume_id) is not None:
                delete_volume(tx, volume_id)
        forget_upload(tx, upload.image_id, self.upload_id)
        tx.delete(Upload, self.upload_id)


def waits(view: View, upload: Upload) -> bool:
    """Whether it is staged or may be carried on, and its image is still there."""
    return (upload.staged is not None or upload.resumable) and view.get(Image, upload.image_id) is not None


def _sealed(tx: Transaction, upload_id: str, size_bytes: int, virtual_bytes: int) -> Upload:
    upload = tx.get(Upload, upload_id)
    if upload is None:
        raise Conflict("The upload was ended: its image was deleted, or the node that received it was lost.")
    seal_volume(tx, upload.file_id, size_bytes)
    if upload.disk_id is not None:
        seal_volume(tx, upload.disk_id, virtual_bytes)
    return upload


def _create(
    tx: Transaction, image: Image, volume_id: VolumeId, size_bytes: int, layout: Layout, node_id: NodeId, now_ms: int
) -> None:
    create_volume(
        tx,
        volume_id=volume_id,
        project_id=image.project_id,
        name=image.name or image.id,
        size_bytes=size_bytes,
        extent_bytes=IMAGE_EXTENT_BYTES,
        layout=layout,
        purpose=Purpose.IMAGE,
        now_ms=now_ms,
        node_id=node_id,
    )
