"""What the cluster knows of an upload that is under way."""

from typing import ClassVar

import msgspec

from noded.core.ids import ImageId, NodeId, VolumeId
from noded.core.record import Record


class Staged(msgspec.Struct, frozen=True, kw_only=True):
    """What came, complete and checked."""

    size_bytes: int
    virtual_bytes: int
    md5: str
    sha512: str


class Upload(Record, frozen=True, kw_only=True, tag="image_upload.1"):
    """One attempt to fill an image, made by the daemon of one node. It ends with it, unless it is staged by then."""

    INDEXED: ClassVar[tuple[str, ...]] = ("node_id",)
    NOUN: ClassVar[str] = "upload"

    image_id: ImageId
    node_id: NodeId
    file_id: VolumeId  # receives the file as it was sent
    disk_id: VolumeId | None = None  # receives the disk inside it, for formats that are not the disk themselves
    started_at_ms: int
    staged: Staged | None = None  # everything is in the volumes: any node may make it the image's contents

    # Of an upload that may be carried on when its sender, its daemon or its node is gone:
    resumable: bool = False
    total_bytes: int | None = None  # of the whole file, where that was said
    kept_bytes: int = 0  # so much of it is on all replicas
    kept_at_ms: int = 0

    @property
    def volume_ids(self) -> tuple[VolumeId, ...]:
        """What must go if the upload fails."""
        return (self.file_id,) if self.disk_id is None else (self.file_id, self.disk_id)
