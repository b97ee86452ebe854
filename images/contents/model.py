"""What the cluster knows of an upload that is under way."""

from typing import ClassVar

from noded.core.ids import ImageId, NodeId, VolumeId
from noded.core.record import Record


class Upload(Record, frozen=True, kw_only=True, tag="image_upload.1"):
    """One attempt to fill an image, made by the daemon of one node. It ends with it: nobody takes it over."""

    INDEXED: ClassVar[tuple[str, ...]] = ("node_id",)
    NOUN: ClassVar[str] = "upload"

    image_id: ImageId
    node_id: NodeId
    file_id: VolumeId  # receives the file as it was sent
    disk_id: VolumeId | None = None  # receives the disk inside it, for formats that are not the disk themselves
    started_at_ms: int

    @property
    def volume_ids(self) -> tuple[VolumeId, ...]:
        """What must go if the upload fails."""
        return (self.file_id,) if self.disk_id is None else (self.file_id, self.disk_id)
