"""How a backup looks in Cinder's API. The status words are derived here and stored nowhere."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from noded.core.store import View
from noded.core.times import naive_micro
from storage.backups.model import Backup, Work, dependants

ZONE: Final = "nova"
Version = tuple[int, int]

UPDATE: Final[Version] = (3, 9)
PROJECT: Final[Version] = (3, 18)
LIKE_FILTERS: Final[Version] = (3, 34)
METADATA: Final[Version] = (3, 43)
COUNT: Final[Version] = (3, 45)
USER: Final[Version] = (3, 56)
ENCRYPTION_KEY: Final[Version] = (3, 64)


def status(backup: Backup) -> str:
    """Cinder's word for where a backup is in its life."""
    if backup.work is Work.REMOVE:
        return "deleting"
    if backup.failed:
        return "error"
    if backup.work is Work.RESTORE:
        return "restoring"
    return "available" if backup.complete else "creating"


SORT_KEYS: Final[Mapping[str, Callable[[Backup], Any]]] = {
    "id": lambda backup: backup.id,
    "name": lambda backup: backup.name,
    "status": status,
    "size": lambda backup: backup.size_bytes,
    "volume_id": lambda backup: backup.volume_id,
    "container": lambda backup: backup.container,
    "created_at": lambda backup: backup.created_at_ms,
    "updated_at": lambda backup: backup.updated_at_ms,
    "data_timestamp": lambda backup: backup.data_at_ms,
}


def backup_brief(backup: Backup, base_url: str) -> dict[str, object]:
    """One entry of the short list."""
    links = [
        {"rel": "self", "href": f"{base_url}/volume/v3/backups/{backup.id}"},
        {"rel": "bookmark", "href": f"{base_url}/volume/backups/{backup.id}"},
    ]
    return {"id": backup.id, "name": backup.name or None, "links": links}


def backup_detail(view: View, backup: Backup, base_url: str, version: Version, *, for_admin: bool) -> dict[str, object]:
    """The whole backup."""
    body = backup_brief(backup, base_url) | {
        "status": status(backup),
        "size": backup.size_gib,
        "object_count": backup.object_count,
        "availability_zone": ZONE,
        "container": backup.container,
        "created_at": naive_micro(backup.created_at_ms),
        "updated_at": naive_micro(backup.updated_at_ms),
        "description": backup.description or None,
        "fail_reason": backup.fail_reason or None,
        "volume_id": backup.volume_id,
        "is_incremental": backup.parent_id is not None,
        "has_dependent_backups": bool(dependants(view, backup.id)),
        "snapshot_id": backup.snapshot_id,
        "data_timestamp": naive_micro(backup.data_at_ms),
    }
    if version >= PROJECT and for_admin:
        body["os-backup-project-attr:project_id"] = backup.project_id
    if version >= METADATA:
        body["metadata"] = dict(backup.metadata)
    if version >= USER:
        body["user_id"] = backup.user_id
    return body


def restoring(backup: Backup, volume_id: str, volume_name: str) -> dict[str, object]:
    """The answer to a restore."""
    return {"restore": {"backup_id": backup.id, "volume_id": volume_id, "volume_name": volume_name}}
