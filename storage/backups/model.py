"""What the cluster knows of volumes' backups: of what, where their bytes are, and what is being done with them."""

from collections.abc import Iterator
from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from noded.core.ids import NodeId, ProjectId, VolumeId
from noded.core.record import Record
from noded.core.store import View

POOL: Final = "pool"  # the target that is always there: hidden volumes with replicas of their own
CONTAINER: Final = "volumebackups"  # Cinder's usual word where the user names none
CHAIN_MAX: Final = 64  # so many backups may build on one another: a restore reads all of them
# What goes on with a volume meanwhile, in Cinder's words: its `phase`.
BACKING_UP: Final = "backing-up"
RESTORING: Final = "restoring-backup"
RESTORE_FAILED: Final = "error_restoring"


class Work(StrEnum):
    """What a node is to do with a backup."""

    COPY = "copy"  # the volume's bytes to the target
    CHECK = "check"  # whether what an imported record names is there
    RESTORE = "restore"  # the bytes to a volume
    REMOVE = "remove"  # the bytes go, then the record


class Backup(Record, frozen=True, kw_only=True, tag="backup.1"):
    """One backup. Desired: `work`. Observed: `complete`, `failed`, and how much it is."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "volume_id", "parent_id", "location", "target_id")
    NOUN: ClassVar[str] = "backup"

    project_id: ProjectId
    user_id: str
    name: str
    description: str
    metadata: dict[str, str]
    volume_id: VolumeId  # what was copied; it may be gone by now
    snapshot_id: str | None = None
    parent_id: str | None = None  # the backup on which it builds: only what changed since is in it
    size_bytes: int
    target_id: str
    container: str
    location: str  # the name of its bytes at the target: its own id, unless it was imported under another
    file_id: VolumeId | None = None  # the hidden volume that holds the bytes, where the target is the pool
    volume_name: str = ""
    volume_metadata: dict[str, str] = msgspec.field(default_factory=dict)
    bootable: bool = False
    image_metadata: dict[str, str] = msgspec.field(default_factory=dict)
    source_id: VolumeId | None = None  # what is read while it is copied
    frozen_id: VolumeId | None = None  # the snapshot that was made for it, of a volume in use
    work: Work | None = None
    worker_id: NodeId | None = None
    turn: int = 0  # how often a node took the work: what an earlier one reports does not count
    restore_id: VolumeId | None = None
    restore_blank: bool = False  # the volume is new: zeroes need not be written
    complete: bool = False
    failed: bool = False
    fail_reason: str = ""
    object_count: int = 0
    stored_bytes: int = 0
    data_at_ms: int
    created_at_ms: int
    updated_at_ms: int

    @property
    def size_gib(self) -> int:
        """As Cinder counts."""
        return -(-self.size_bytes // (1 << 30))


class TargetKind(StrEnum):
    """Where the bytes of backups are kept."""

    POOL = "pool"
    DIRECTORY = "directory"  # on a node, or the same mount (NFS) on all of them
    S3 = "s3"


class BackupTarget(Record, frozen=True, kw_only=True, tag="backup_target.1"):
    """One place for backups. `id` is its name. The pool has no record: it is always there."""

    INDEXED: ClassVar[tuple[str, ...]] = ("node_id",)
    NOUN: ClassVar[str] = "backup target"

    kind: TargetKind
    default: bool = False  # where new backups go; if no target is the default, to the pool
    path: str = ""  # of a directory
    node_id: NodeId | None = None  # the node that has the directory; None: it is mounted on every node
    url: str = ""  # of an object store: https://host[:port]
    bucket: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    seal_key: str = ""  # hex; what is written there is sealed with it. Empty: it is not sealed
    created_at_ms: int


def chain(view: View, backup: Backup) -> Iterator[Backup]:
    """The backup and those on which it builds, newest first."""
    yield backup
    while backup.parent_id is not None:
        backup = view.need(Backup, backup.parent_id)
        yield backup


def dependants(view: View, backup_id: str) -> list[Backup]:
    """The backups that build on it."""
    return view.find(Backup, "parent_id", backup_id)


def default_target(view: View) -> str:
    """Where a new backup goes."""
    return next((target.id for target in view.all(BackupTarget) if target.default), POOL)
