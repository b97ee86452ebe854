"""How is a backup's record carried to another cluster? As Cinder does: JSON in base64, called its URL.

It names the place, not its keys: the other cluster must have a target of its own for that place.
"""

import re
from base64 import b64decode, b64encode
from typing import Final

import msgspec

from noded.core.errors import Invalid
from noded.core.ids import ProjectId, VolumeId
from noded.core.store import View
from noded.core.unreadable import UNREADABLE
from storage.backups.model import POOL, Backup, BackupTarget, TargetKind

SERVICE_PREFIX: Final = "cinder.backup.drivers.noded."
_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What a record says of a backup. Keys that other programs put in are passed over."""

    id: str
    display_name: str | None = None
    display_description: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    volume_id: str
    snapshot_id: str | None = None
    parent_id: str | None = None
    size_bytes: int
    container: str
    location: str
    kind: TargetKind
    path: str = ""
    url: str = ""
    bucket: str = ""
    file_id: str | None = None
    volume_name: str = ""
    volume_metadata: dict[str, str] = msgspec.field(default_factory=dict)
    bootable: bool = False
    image_metadata: dict[str, str] = msgspec.field(default_factory=dict)
    object_count: int = 0
    data_at_ms: int
    created_at_ms: int


def exported(view: View, backup: Backup) -> dict[str, object]:
    """The record of a backup as clients keep it."""
    target = view.get(BackupTarget, backup.target_id)
    kind = target.kind if target is not None else TargetKind.POOL
    record = Exported(
        id=backup.id,
        display_name=backup.name,
        display_description=backup.description,
        metadata=backup.metadata,
        volume_id=backup.volume_id,
        snapshot_id=backup.snapshot_id,
        parent_id=backup.parent_id,
        size_bytes=backup.size_bytes,
        container=backup.container,
        location=backup.location,
        kind=kind,
        path=target.path if target is not None else "",
        url=target.url if target is not None else "",
        bucket=target.bucket if target is not None else "",
        file_id=backup.file_id,
        volume_name=backup.volume_name,
        volume_metadata=backup.volume_metadata,
        bootable=backup.bootable,
        image_metadata=backup.image_metadata,
        object_count=backup.object_count,
        data_at_ms=backup.data_at_ms,
        created_at_ms=backup.created_at_ms,
    )
    url = b64encode(msgspec.json.encode(record)).decode()
    return {"backup-record": {"backup_service": SERVICE_PREFIX + kind.value, "backup_url": url}}


def imported(view: View, service: str, url: str, *, project_id: ProjectId, user_id: str, now_ms: int) -> Backup:
    """The backup that a record describes. Raises `Invalid` for what is no record, or whose place is not known here."""
    if not service.startswith(SERVICE_PREFIX):
        raise Invalid(f"Backup service {service[:255]!r} is none of this cluster's ({SERVICE_PREFIX}…).")
    try:
        record = msgspec.json.decode(b64decode(url, validate=True), type=Exported)
    except (ValueError, *UNREADABLE) as error:
        raise Invalid(f"Invalid input received: backup_url is no record of a backup: {error}.") from error
    ids = (record.id, record.volume_id, record.location, *filter(None, (record.parent_id, record.file_id)))
    if not all(_ID.fullmatch(each) for each in ids) or not 0 < record.size_bytes < 1 << 60:
        raise Invalid("Invalid input received: backup_url holds an id that is no UUID, or a size that can't be.")
    return Backup(
        id=record.id,
        project_id=project_id,
        user_id=user_id,
        name=record.display_name or "",
        description=record.display_description or "",
        metadata=record.metadata,
        volume_id=VolumeId(record.volume_id),
        snapshot_id=record.snapshot_id,
        parent_id=record.parent_id,
        size_bytes=record.size_bytes,
        target_id=_target(view, record),
        container=safe_container(record.container),
        location=record.location,
        file_id=VolumeId(record.file_id) if record.file_id is not None and record.kind is TargetKind.POOL else None,
        volume_name=record.volume_name,
        volume_metadata=record.volume_metadata,
        bootable=record.bootable,
        image_metadata=record.image_metadata,
        data_at_ms=record.data_at_ms,
        created_at_ms=now_ms,
        updated_at_ms=now_ms,
    )


def _target(view: View, record: Exported) -> str:
    if record.kind is TargetKind.POOL:
        return POOL
    place = (record.kind, record.path, record.url, record.bucket)
    for target in view.all(BackupTarget):
        if (target.kind, target.path, target.url, target.bucket) == place:
            return target.id
    where = record.path or f"bucket {record.bucket} at {record.url}"
    raise Invalid(
        f"The backup is in {where[:500]}, which is no backup target of this cluster. Add it with"
        " `noded backup-target add`."
    )


def safe_container(name: str) -> str:
    """A container's name, which becomes part of paths and keys."""
    if not _SAFE.fullmatch(name):
        raise Invalid(
            f"Invalid input for field/attribute container. Value: {name[:64]}. It has 1 to 255 letters, digits, dots,"
            " dashes and underscores, and begins with a letter or digit."
        )
    return name
