"""How a volume looks in Cinder's API. The status words are derived here and stored nowhere."""

from collections.abc import Collection
from dataclasses import dataclass

from consensus.members.model import Node
from noded.core.store import View
from noded.core.times import naive_micro
from storage.endpoint import BACKEND, POOL, ZONE
from storage.pools.model import Disk
from storage.types.model import get_type, type_name
from storage.volumes import versions
from storage.volumes.model import Volume
from storage.volumes.versions import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads a volume: by which picture, at which address, in which microversion, and how much they may see."""

    view: View
    base_url: str
    version: Version
    for_admin: bool


def bootable(volume: Volume) -> str:
    """Whether a server can boot from it, as Cinder writes it: what was cloned from an image has a system on it."""
    can = volume.parent_id is not None if volume.bootable is None else volume.bootable
    return "true" if can else "false"


def host_of(view: View, volume: Volume) -> str | None:
    """Cinder's name for where a volume is: host@backend#pool of the node that serves it, or has its first replica."""
    disk = view.get(Disk, volume.layout[0][0]) if volume.layout and volume.layout[0] else None
    node_id = volume.node_id or volume.owner_id or (disk.node_id if disk is not None else None)
    node = view.get(Node, node_id) if node_id is not None else None
    name = node.name if node is not None else node_id
    return f"{name}@{BACKEND}#{POOL}" if name is not None else None


def volume_links(volume: Volume, base_url: str) -> list[dict[str, str]]:
    """Where the volume is found."""
    return [
        {"rel": "self", "href": f"{base_url}/volume/v3/volumes/{volume.id}"},
        {"rel": "bookmark", "href": f"{base_url}/volume/volumes/{volume.id}"},
    ]


def volume_brief(volume: Volume, base_url: str) -> dict[str, object]:
    """One entry of the short list."""
    return {"id": volume.id, "name": volume.name, "links": volume_links(volume, base_url)}


def volume_created(volume: Volume, reader: Reader) -> dict[str, object]:
    """The answer to a creation or a change: the whole volume, without what only its owner's list has."""
    body: dict[str, object] = {
        "id": volume.id,
        "name": volume.name,
        "description": volume.description or None,
        "status": volume.status,
        "size": volume.gib,
        "volume_type": type_name(reader.view, volume.type_id),
        "availability_zone": ZONE,
        "bootable": bootable(volume),
        "encrypted": volume.encryption is not None,
        "multiattach": volume.multiattach,
        "replication_status": None,
        "snapshot_id": volume.made_from.snapshot_id,
        "source_volid": volume.made_from.volume_id,
        "consistencygroup_id": None,
        "user_id": volume.user_id,
        "metadata": volume.words,
        "attachments": _attachments(volume, for_admin=reader.for_admin),
        "created_at": naive_micro(volume.created_at_ms),
        "updated_at": naive_micro(volume.updated_at_ms),
        "links": volume_links(volume, reader.base_url),
    }
    if reader.for_admin:
        body["migration_status"] = None
    return body | _later_keys(volume, reader)


def _later_keys(volume: Volume, reader: Reader) -> dict[str, object]:
    """What came with later microversions."""
    added: list[tuple[Version, bool, dict[str, object]]] = [
        (versions.GROUP, True, {"group_id": volume.group_id}),
        (versions.PROVIDER, reader.for_admin, {"provider_id": None}),
        (versions.SERVICE, True, {"service_uuid": None, "shared_targets": False}),
        (versions.CLUSTER, reader.for_admin, {"cluster_name": None}),
        (versions.TYPE_ID, True, {"volume_type_id": _type_id(volume, reader.view)}),
        (versions.ENCRYPTION_KEY, volume.key_id is not None, {"encryption_key_id": volume.key_id}),
        (versions.CONSUMES_QUOTA, True, {"consumes_quota": True}),
    ]
    keys: dict[str, object] = {}
    for since, shown, more in added:
        if shown and reader.version >= since:
            keys |= more
    return keys


def volume_detail(volume: Volume, reader: Reader) -> dict[str, object]:
    """The whole volume."""
    body = volume_created(volume, reader) | {"os-vol-tenant-attr:tenant_id": volume.project_id}
    if volume.image_metadata:
        body["volume_image_metadata"] = dict(volume.image_metadata)
    if reader.for_admin:
        body |= {
            "os-vol-host-attr:host": host_of(reader.view, volume),
            "os-vol-mig-status-attr:migstat": None,
            "os-vol-mig-status-attr:name_id": None,
        }
    return body


def summary(volumes: Collection[Volume], version: Version) -> dict[str, object]:
    """How many volumes there are, how large together, and which words are on them."""
    body: dict[str, object] = {"total_size": sum(volume.gib for volume in volumes), "total_count": len(volumes)}
    if version >= versions.SUMMARY_METADATA:
        words: dict[str, set[str]] = {}
        for volume in volumes:
            for key, value in volume.metadata.items():
                words.setdefault(key, set()).add(value)
        body["metadata"] = {key: sorted(values) for key, values in sorted(words.items())}
    return {"volume-summary": body}


def _type_id(volume: Volume, view: View) -> str | None:
    kind = get_type(view, volume.type_id)
    return kind.id if kind is not None else None


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
