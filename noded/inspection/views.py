"""How routes are listed, and replicas counted. Pure."""

from collections import Counter
from collections.abc import Iterable

from noded.core.ids import NodeId
from noded.core.service import Service
from noded.core.store import View
from storage.pools.model import Disk
from storage.volumes.model import Volume, disks_of


def route_lines(services: Iterable[Service]) -> list[dict[str, str]]:
    """Every route: verb, whole path, handler, who may use it; ordered by path."""
    lines = [
        {
            "verb": route.verb,
            "path": service.endpoint.prefix + route.path,
            "handler": route.name,
            "allow": route.allow.value,
        }
        for service in services
        if service.endpoint is not None
        for route in service.routes
    ]
    return sorted(lines, key=lambda line: (line["path"], line["verb"]))


def replicas_by_node(view: View) -> tuple[Counter[NodeId], Counter[NodeId]]:
    """How many volumes have a replica on each node, and how many of those replicas are behind."""
    node_of = {disk.id: disk.node_id for disk in view.all(Disk)}
    there, behind = Counter[NodeId](), Counter[NodeId]()
    for volume in view.all(Volume):
        if not volume.deleting:
            there.update(node_of[disk] for disk in disks_of(volume.layout) if disk in node_of)
            behind.update(node_of[disk] for disk in volume.out_of_sync if disk in node_of)
    return there, behind
