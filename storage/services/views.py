"""How nodes look as Cinder's services, hosts and pools."""

from collections.abc import Collection
from typing import Final

from consensus.members.model import Node, NodeRole
from noded.core.ids import NodeId
from noded.core.store import View
from noded.core.times import naive_micro
from noded.core.units import GIB
from storage.endpoint import BACKEND, POOL, PROTOCOL, VENDOR, ZONE
from storage.pools.model import Disk
from storage.switches.model import BINARIES, VOLUME, Switch, switch_of
from storage.volumes.model import Purpose, Volume

CLUSTERS_SINCE: Final = (3, 7)
BACKEND_STATE_SINCE: Final = (3, 49)
DRIVER_VERSION: Final = "1.0"


def members(view: View) -> list[Node]:
    """The nodes that do block storage's work; a witness only votes."""
    return [node for node in view.all(Node) if node.role is NodeRole.MEMBER]


def service_host(node: Node, binary: str) -> str:
    """Cinder's name for the host of a service: volumes have a backend in it."""
    return f"{node.name}@{BACKEND}" if binary == VOLUME else node.name


def service_view(
    view: View, node: Node, binary: str, up: Collection[NodeId], at_ms: int, version: tuple[int, int]
) -> dict[str, object]:
    """One part of one node."""
    switch = switch_of(view, binary, node.id)
    body: dict[str, object] = {
        "binary": binary,
        "host": service_host(node, binary),
        "zone": ZONE,
        "status": "disabled" if switch.disabled else "enabled",
        "state": "up" if node.id in up else "down",
        "updated_at": naive_micro(at_ms if node.id in up else node.admitted_at_ms),
        "disabled_reason": switch.reason or None,
    }
    if version >= CLUSTERS_SINCE:
        body["cluster"] = None
    if binary == VOLUME:
        body |= {"replication_status": "disabled", "active_backend_id": None, "frozen": switch.frozen}
        if version >= BACKEND_STATE_SINCE:
            body["backend_state"] = "up" if node.id in up else "down"
    return body


def switched(node: Node, switch: Switch) -> dict[str, object]:
    """The answer to a switch."""
    body: dict[str, object] = {
        "host": service_host(node, switch.binary),
        "service": switch.binary,
        "binary": switch.binary,
        "disabled": switch.disabled,
        "status": "disabled" if switch.disabled else "enabled",
    }
    return body


def host_entry(view: View, node: Node, binary: str, up: Collection[NodeId], at_ms: int) -> dict[str, object]:
    """One part of one node, as the older list of hosts has it."""
    switch = switch_of(view, binary, node.id)
    return {
        "host_name": service_host(node, binary),
        "service": binary,
        "zone": ZONE,
        "service-status": "available" if node.id in up else "unavailable",
        "service-state": "disabled" if switch.disabled else "enabled",
        "last-update": naive_micro(at_ms if node.id in up else node.admitted_at_ms),
    }


def host_detail(view: View, node: Node) -> dict[str, object]:
    """How many volumes have a replica on a node, in all and by project."""
    disks = {disk.id for disk in view.find(Disk, "node_id", node.id)}
    here = [
        volume
        for volume in view.all(Volume)
        if volume.purpose is Purpose.DATA and not volume.deleting and disks & set(volume.disk_ids)
    ]
    projects = sorted({volume.project_id for volume in here})
    return {
        "host": [
            _resource(node, "(total)", here),
            *(_resource(node, owner, [each for each in here if each.project_id == owner]) for owner in projects),
        ]
    }


def _resource(node: Node, project: str, volumes: Collection[Volume]) -> dict[str, object]:
    return {
        "resource": {
            "host": service_host(node, VOLUME),
            "project": project,
            "volume_count": str(len(volumes)),
            "total_volume_gb": str(sum(volume.gib for volume in volumes)),
            "snapshot_count": "0",
            "total_snapshot_gb": "0",
        }
    }


def pool_name(node: Node) -> str:
    """Cinder's name for the disks of a node."""
    return f"{node.name}@{BACKEND}#{POOL}"


def pool_view(view: View, node: Node, at_ms: int) -> dict[str, object]:
    """What the disks of a node can do and hold."""
    disks = view.find(Disk, "node_id", node.id)
    total = sum(disk.size_bytes for disk in disks)
    reserved = sum(disk.reserve_bytes for disk in disks)
    return {
        "name": pool_name(node),
        "capabilities": {
            "volume_backend_name": BACKEND,
            "pool_name": POOL,
            "vendor_name": VENDOR,
            "driver_version": DRIVER_VERSION,
            "storage_protocol": PROTOCOL,
            "total_capacity_gb": round(total / GIB, 2),
            "free_capacity_gb": round(sum(disk.free_bytes for disk in disks) / GIB, 2),
            "reserved_percentage": round(100 * reserved / total) if total else 0,
            "thin_provisioning_support": True,
            "thick_provisioning_support": False,
            "multiattach": True,
            "QoS_support": True,
            "location_info": None,
            "replication_enabled": False,
            "timestamp": naive_micro(at_ms),
        },
    }


def capabilities_view(node: Node) -> dict[str, object]:
    """What the backend of a node can do, and which extra specs mean something to it."""
    words = {
        "replicas": ("Replicas", "On how many nodes each extent is kept: 1, 2 or 3.", "integer"),
        "multiattach": ("Multiattach", "Whether several servers may have one volume: <is> True.", "boolean"),
        "thin_provisioning": ("Thin Provisioning", "A volume takes what is written to it.", "boolean"),
        "compression": ("Compression", "Blocks are not compressed.", "boolean"),
        "qos": ("QoS", "Limits hold at the guest's disk.", "boolean"),
        "replication_enabled": ("Replication", "To another cluster; not offered.", "boolean"),
    }
    properties = {
        key: {"title": title, "description": description, "type": kind}
        for key, (title, description, kind) in words.items()
    }
    return {
        "namespace": f"OS::Storage::Capabilities::{node.name}@{BACKEND}",
        "vendor_name": VENDOR,
        "volume_backend_name": BACKEND,
        "pool_name": POOL,
        "driver_version": DRIVER_VERSION,
        "storage_protocol": PROTOCOL,
        "display_name": "Replicated block storage",
        "description": "Extents on the disks of all nodes; a write counts once it is on all of its replicas.",
        "visibility": "public",
        "replication_targets": [],
        "properties": properties,
    }


def every_service(view: View) -> list[tuple[Node, str]]:
    """Every part of every node."""
    return [(node, binary) for node in members(view) for binary in BINARIES]
