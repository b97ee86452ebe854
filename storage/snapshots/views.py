"""How a snapshot looks in Cinder's API."""

from typing import Final

from noded.core.store import View
from noded.core.times import naive_micro
from storage.snapshots.model import Snapshot, status

GROUP: Final = (3, 14)
USER: Final = (3, 41)
CONSUMES_QUOTA: Final = (3, 65)


def snapshot_brief(view: View, snapshot: Snapshot, version: tuple[int, int]) -> dict[str, object]:
    """One entry of the short list, and the answer to a creation."""
    body: dict[str, object] = {
        "id": snapshot.id,
        "volume_id": snapshot.volume_id,
        "name": snapshot.name or None,
        "description": snapshot.description or None,
        "status": status(view, snapshot),
        "size": snapshot.gib,
        "metadata": dict(snapshot.metadata),
        "created_at": naive_micro(snapshot.created_at_ms),
        "updated_at": naive_micro(snapshot.updated_at_ms),
    }
    if version >= GROUP:
        body["group_snapshot_id"] = snapshot.group_snapshot_id
    if version >= USER:
        body["user_id"] = snapshot.user_id
    if version >= CONSUMES_QUOTA:
        body["consumes_quota"] = True
    return body


def snapshot_detail(view: View, snapshot: Snapshot, version: tuple[int, int]) -> dict[str, object]:
    """The whole snapshot."""
    body = snapshot_brief(view, snapshot, version)
    progress = "100%" if body["status"] == "available" else snapshot.progress or "0%"
    return body | {
        "os-extended-snapshot-attributes:progress": progress,
        "os-extended-snapshot-attributes:project_id": snapshot.project_id,
    }
