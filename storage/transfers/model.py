"""What a volume on its way to another project is: who gave it away, and the key that opens it."""

from typing import ClassVar

from noded.core.ids import ProjectId, VolumeId
from noded.core.record import Record


class Transfer(Record, frozen=True, kw_only=True, tag="volume_transfer.1"):
    """An offer: whoever shows the key gets the volume. Of the key only a salted hash is kept."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "volume_id")
    NOUN: ClassVar[str] = "transfer"

    project_id: ProjectId  # who gives
    volume_id: VolumeId
    name: str
    salt: str
    key_hash: str
    created_at_ms: int
    no_snapshots: bool = False
