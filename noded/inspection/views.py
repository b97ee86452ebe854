"""How routes are listed, replicas counted, and what an operator is told before it matters. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from consensus.clocks.model import off
from consensus.liveness.model import Sight, State
from consensus.room import Standing
from noded.core.ids import NodeId
from noded.core.service import Service
from noded.core.store import View
from noded.core.units import GIB, MIB
from noded.inspection.model import NodeStatus
from storage.pools.model import Disk
from storage.volumes.model import Volume, disks_of

DISK_FREE_MIN: Final = 0.1  # of a disk; with less, an operator is told


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


def unknown(node_id: NodeId, since_ms: int) -> Sight:
    """What can be said of a member that the answering node has not looked at yet."""
    return Sight(node_id=node_id, state=State.SUSPECT, since_ms=since_ms, seen_by=(), missed_by=())


def hints(nodes: Sequence[NodeStatus]) -> list[str]:
    """What is not wrong yet, and will be after one more loss or some more days; each with the way out."""
    return [*_of_votes(nodes), *_of_clocks(nodes), *_of_disks(nodes), *_of_releases(nodes)]


def _of_votes(nodes: Sequence[NodeStatus]) -> Iterable[str]:
    voters = [node for node in nodes if node.voter]
    up, needed = [node for node in voters if node.up], len(voters) // 2 + 1
    if len(voters) == 2:
        yield (
            f"{voters[0].name} and {voters[1].name} both must be up for anything to be changed. A third voter, such as"
            " a witness (a small machine that only votes), lets either one fail."
        )
    elif len(nodes) == 2 and voters:
        yield (
            f"There are two nodes: while {voters[0].name} is down nothing can be changed. A third node or a witness (a"
            " small machine that only votes) lets either one fail."
        )
    elif len(up) == needed and len(voters) > len(up):
        down = ", ".join(node.name for node in voters if not node.up)
        yield (
            f"{down} can't vote: if one more of {', '.join(node.name for node in up)} is lost, nothing can be changed."
            f" Bring {down} back, or take what is gone for good out of the cluster with `noded node forget`."
        )


def _of_clocks(nodes: Sequence[NodeStatus]) -> Iterable[str]:
    for node in nodes:
        said = off(node.vitals.clock_ahead_ms) if node.vitals else ""
        if said:
            yield f"{node.name}'s clock is {said}. It hands out no tokens until it is set: is NTP running there?"


def _of_disks(nodes: Sequence[NodeStatus]) -> Iterable[str]:
    for node in nodes:
        room = node.vitals.log if node.vitals else None
        if room is not None and room.standing is not Standing.ENOUGH:
            yield (
                f"{node.name}: the log's disk has {room.free_bytes // MIB} MiB left and {room.needed_bytes // MIB} are"
                " needed. Make room there: without it the node leads no longer, and at last takes no entries."
            )
        for directory, space in (node.vitals.disks if node.vitals else {}).items():
            free_bytes = space.total_bytes - space.used_bytes
            if space.total_bytes and free_bytes < DISK_FREE_MIN * space.total_bytes:
                yield (
                    f"{node.name}: {directory} has only {free_bytes / GIB:.1f} of {space.total_bytes / GIB:.1f} GiB"
                    " left. Make room or add a disk before writes are refused."
                )


def _of_releases(nodes: Sequence[NodeStatus]) -> Iterable[str]:
    releases: dict[str, list[str]] = {}
    for node in nodes:
        releases.setdefault(node.release, []).append(node.name)
    if len(releases) > 1:
        each = "; ".join(f"{release} on {', '.join(names)}" for release, names in sorted(releases.items()))
        yield f"Nodes run different releases: {each}. What is new in one is used once all have it: upgrade the others."
