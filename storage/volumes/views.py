"""How a volume looks in Cinder's API. The status words are derived here and stored nowhere."""

from typing import Final

from noded.core.times import naive_micro
from noded.core.units import gib_ceil
from storage.volumes.model import Volume

ZONE: Final = "nova"
# The one type that there is. Its id is the same in every cluster: it is not a resource, it is how volumes are made.
TYPE_ID: Final = "6e2f6c5e-6f7d-5c4b-9a53-1d0b7a3c9e01"
TYPE_NAME: Final = "replicated"


def status(volume: Volume) -> str:
    """Cinder's word for where a volume is in its life."""
    if volume.deleting:
        return "deleting"
    if any(each.detaching for each in volume.attachments):
        return "detaching"
    for each in volume.attachments:
        if each.attached_ms is None:
            return "attaching" if each.connector else "reserved"
    return "in-use" if volume.attachments or volume.server_id is not None else "available"


def bootable(volume: Volume) -> str:
    """Whether a server can boot from it, as Cinder writes it: what was cloned from an image has a system on it."""
    return "false" if volume.parent_id is None else "true"


def volume_links(volume: Volume, base_url: str) -> list[dict[str, str]]:
    """Where the volume is found."""
    return [
        {"rel": "self", "href": f"{base_url}/volume/v3/volumes/{volume.id}"},
        {"rel": "bookmark", "href": f"{base_url}/volume/volumes/{volume.id}"},
    ]


def volume_brief(volume: Volume, base_url: str) -> dict[str, object]:
    """One entry of the short list."""
    return {"id": volume.id, "name": volume.name, "links": volume_links(volume, base_url)}


def volume_created(volume: Volume, base_url: str) -> dict[str, object]:
    """The answer to a creation: like the whole volume, without what only the pool knows."""
    return {
        "id": volume.id,
        "name": volume.name,
        "description": volume.description or None,
        "status": status(volume),
        "size": gib_ceil(volume.size_bytes),
        "volume_type": TYPE_NAME,
        "availability_zone": ZONE,
        "bootable": bootable(volume),
        "encrypted": False,
        "multiattach": False,
        "replication_status": None,
        "snapshot_id": None,
        "source_volid": None,
        "consistencygroup_id": None,
        "user_id": volume.user_id,
        "metadata": dict(volume.metadata),
        "attachments": _attachments(volume, for_admin=False),
        "created_at": naive_micro(volume.created_at_ms),
        "updated_at": naive_micro(volume.updated_at_ms),
        "links": volume_links(volume, base_url),
    }


def volume_detail(volume: Volume, base_url: str, *, for_admin: bool) -> dict[str, object]:
    """The whole volume."""
    body = volume_created(volume, base_url) | {"os-vol-tenant-attr:tenant_id": volume.project_id}
    if for_admin:
        body |= {
            "attachments": _attachments(volume, for_admin=True),
            "os-vol-host-attr:host": volume.node_id,
            "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
        }
    return body


def _attachments(volume: Volume, *, for_admin: bool) -> list[dict[str, object]]:
    return [
        {
            "id": volume.id,  # Cinder says the volume's here
            "attachment_id": each.id,
            "volume_id": volume.id,
            "server_id": each.server_id,
            "host_name": each.host if for_admin else None,
            "device": each.device,
            "attached_at": naive_micro(each.attached_ms),
        }
        for each in volume.attachments
        if each.attached_ms is not None
    ]


def type_view(*, for_admin: bool) -> dict[str, object]:
    """The one type of volumes."""
    body: dict[str, object] = {
        "id": TYPE_ID,
        "name": TYPE_NAME,
        "description": "Kept on three nodes, or on as many as there are; a write counts once it is on all of them.",
        "is_public": True,
        "os-volume-type-access:is_public": True,
        "extra_specs": {},
    }
    return body | ({"qos_specs_id": None} if for_admin else {})


def limits_view(count: int, gib: int) -> dict[str, object]:
    """How much the project has; nothing limits it (-1) but the pool itself."""
    absolute = {
        "maxTotalVolumes": -1,
        "maxTotalVolumeGigabytes": -1,
        "maxTotalSnapshots": -1,
        "maxTotalBackups": -1,
        "maxTotalBackupGigabytes": -1,
        "totalVolumesUsed": count,
        "totalGigabytesUsed": gib,
        "totalSnapshotsUsed": 0,
        "totalBackupsUsed": 0,
        "totalBackupGigabytesUsed": 0,
    }
    return {"limits": {"rate": [], "absolute": absolute}}
