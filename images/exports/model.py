"""What the cluster knows of a volume that is becoming an image."""

from typing import ClassVar

from noded.core.ids import ImageId, NodeId, ProjectId, VolumeId
from noded.core.record import Record


class Export(Record, frozen=True, kw_only=True, tag="image_export.1"):
    """One image, under its id, that is to have what a volume is at one moment. It goes when the image has it."""

    INDEXED: ClassVar[tuple[str, ...]] = ("volume_id",)
    NOUN: ClassVar[str] = "export"

    volume_id: VolumeId
    project_id: ProjectId
    frozen_id: VolumeId  # the snapshot that is made for it
    copy_id: VolumeId  # the clone of that snapshot which becomes the image's volume
    size_bytes: int
    worker_id: NodeId | None = None  # the node that reads it, once it is there
    started_at_ms: int
    request_id: str = ""
    message_id: str = ""  # of the message to leave if nothing comes of it

    @property
    def image_id(self) -> ImageId:
        """The image; the record has its id."""
        return ImageId(self.id)
