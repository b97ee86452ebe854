"""What a user is told of something that went wrong after its request had been accepted."""

from typing import ClassVar, Final

from noded.core.ids import ProjectId
from noded.core.record import Record

KEPT_MS: Final = 30 * 24 * 3600 * 1000  # how long a message is promised to be there
PROJECT_MESSAGES_MAX: Final = 500  # more push out the oldest


class Message(Record, frozen=True, kw_only=True, tag="message.1"):
    """One message to a project's users."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "resource_id")
    NOUN: ClassVar[str] = "message"

    project_id: ProjectId
    request_id: str
    resource_type: str  # VOLUME, VOLUME_SNAPSHOT, VOLUME_BACKUP
    resource_id: str
    event: str  # ACTION_DETAIL, three digits each, as Cinder numbers them
    text: str
    created_at_ms: int
    level: str = "ERROR"
