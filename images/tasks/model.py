"""What the cluster knows of a task: what shall be done for which image, which node does it, and how it ended."""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from noded.core.ids import ImageId, NodeId, ProjectId
from noded.core.record import Record

KEPT_MS: Final = 48 * 3600 * 1000  # a task can be looked at for so long after it ended


class TaskKind(StrEnum):
    """What asked for it, in Glance's words."""

    IMPORT = "import"  # POST /v2/tasks: an image is made and filled in one
    API_IMAGE_IMPORT = "api_image_import"  # POST /v2/images/ID/import
    LOCATION_IMPORT = "location_import"  # POST /v2/images/ID/locations


class Method(StrEnum):
    """How an image gets its data beside the upload of the file itself."""

    GLANCE_DIRECT = "glance-direct"  # what was staged
    WEB_DOWNLOAD = "web-download"
    COPY_IMAGE = "copy-image"  # what it has already, in further stores


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """What the data must add up to."""

    algorithm: str
    value: str


class Task(Record, frozen=True, kw_only=True, tag="image_task.1"):
    """One task. While it has not ended, the node that it names works on it."""

    INDEXED: ClassVar[tuple[str, ...]] = ("image_id", "project_id")
    NOUN: ClassVar[str] = "task"

    kind: TaskKind
    method: Method
    image_id: ImageId
    project_id: ProjectId
    user_id: str
    request_id: str
    url: str = ""  # it may carry a signature
    expected: Digest | None = None
    properties: dict[str, str] = msgspec.field(default_factory=dict)  # of the image that it makes
    source_format: str = ""
    node_id: NodeId
    turn: int = 0  # grows when another node takes it: older reports don't count
    created_at_ms: int
    updated_at_ms: int
    ended_at_ms: int | None = None
    fault: str = ""  # why it failed; empty if it has not
