"""Answers `noded explain volume` and `noded volume verify`: where the replicas are, who counts, are they equal."""

import msgspec

from noded.core.errors import Refused, Unavailable
from noded.core.ids import DiskId, NodeId, VolumeId
from noded.core.service import Explainer, PeerContext, PeerHandler
from noded.core.store import View
from storage.pools.links import DiskServers
from storage.pools.model import Disk
from storage.qos.model import guest_limits
from storage.types.model import type_name
from storage.volumes.claims import volume_map
from storage.volumes.links import VolumeServers
from storage.volumes.model import Volume, ancestors, disks_of

VERIFY_CALL = "volume.verify"
SERVED_CALL = "volume.served"
DIGEST_CALL = "volume.digest"

Section = dict[str, object]


class DigestQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Read all of one replica and say what it is."""

    volume_id: VolumeId
    disk_id: DiskId


async def explain_volume(context: PeerContext, volume_id: str) -> Section:
    """What the log says of a volume, and of each of its replicas."""
    view = context.cluster.view()
    volume = view.need(Volume, volume_id)
    return {
        "desired": {
            "size_bytes": volume.size_bytes,
            "purpose": volume.purpose.value,
            "type": type_name(view, volume.type_id),
            "replicas": volume.replicas_wanted,
            "limits": guest_limits(view, volume.type_id, volume.gib),
            "parent": volume.parent_id,
            "server": volume.server_id,
            "used_on": volume.node_id,
            "immutable": volume.immutable,
            "deleting": volume.deleting,
            "encryption": None if volume.encryption is None else msgspec.to_builtins(volume.encryption),
        },
        "observed": {"epoch": volume.epoch, "owner": volume.owner_id, "set_changes": volume.changes},
        "attachments": [msgspec.to_builtins(each) for each in volume.attachments],
        "replicas": _replicas(view, volume, context.cluster.reachable()),
        "layers": _layers(view, volume),
        "extents": _extents(volume),
        "scrub": _scrub(volume),
        "served": await _served(context, volume),
        "steps": _steps(volume),
    }


def _scrub(volume: Volume) -> Section:
    """When the replicas were last read and compared, what was found, and how far that is now."""
    return {
        "last_begun_ms": volume.scrubbed_ms or None,
        "last_found": msgspec.to_builtins(volume.scrub_found),
        "under_way": msgspec.to_builtins(volume.scrub),
        "extents": len(volume.layout),
    }


def _extents(volume: Volume) -> Section:
    """Where each extent lives; those that lie alike are one line."""
    lines: dict[str, list[str]] = {}
    for extent, disks in enumerate(volume.layout):
        lines.setdefault(", ".join(disks), []).append(str(extent))
    return {_ranges(extents): disks for disks, extents in lines.items()}


def _ranges(numbers: list[str]) -> str:
    runs: list[list[int]] = []
    for number in map(int, numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _steps(volume: Volume) -> list[str]:
    steps = [f"bring disk {disk} up to date" for disk in volume.out_of_sync]
    steps += [f"make a replica of extent {join.extent} on disk {join.disk_id}" for join in volume.joining]
    steps += [f"let extent {each.extent} leave disk {each.disk_id}" for each in volume.leaving]
    return steps + [f"remove {len(left.extents)} extents from disk {left.disk_id}" for left in volume.leftovers]


async def _served(context: PeerContext, volume: Volume) -> object:
    """What the volume's own server says, replica by replica: only it knows what is under way."""
    node_id = volume.node_id or volume.owner_id
    if node_id is None:
        return "nobody has served it yet"
    try:
        answer = await context.cluster.call(node_id, SERVED_CALL, volume.volume_id.encode())
    except Refused as refused:
        return refused.message
    return msgspec.msgpack.decode(answer)


async def served(context: PeerContext, payload: bytes) -> bytes:
    """Answer `volume.served` for a volume of this node."""
    found = await context.drivers.get(VolumeServers).report(VolumeId(payload.decode()))
    return msgspec.msgpack.encode("it is not served now" if found is None else found)


def _layers(view: View, volume: Volume) -> list[Section]:
    """What the volume reads through to, nearest first: snapshots, the image that it was cloned from."""
    return [
        {
            "volume": above.id,
            "layer": above.layer,
            "purpose": above.purpose.value,
            "snapshot_of": above.snapshot_of,
            "deleted": above.deleting,
            "behind": list(above.out_of_sync),
        }
        for above in ancestors(view, volume)
    ]


def _replicas(view: View, volume: Volume, up: frozenset[NodeId]) -> list[Section]:
    lines: list[Section] = []
    for disk_id in disks_of(volume.layout):
        disk = view.get(Disk, disk_id)
        node_id = disk.node_id if disk is not None else None
        lines.append({"disk": disk_id, "node": node_id, "node_up": node_id in up, "in_sync": disk_id in volume.in_sync})
    return lines


async def verify(context: PeerContext, payload: bytes) -> bytes:
    """Answer `volume.verify`: every reachable replica read from end to end, its blocks checked, in one number."""
    view = context.cluster.view()
    volume = view.need(Volume, payload.decode())
    lines = _replicas(view, volume, context.cluster.reachable())
    for line in lines:
        if line["node"] is None:
            continue
        question = DigestQuestion(volume_id=volume.volume_id, disk_id=DiskId(str(line["disk"])))
        try:
            answer = await context.cluster.call(
                NodeId(str(line["node"])), DIGEST_CALL, msgspec.msgpack.encode(question)
            )
        except Unavailable as fault:
            line["fault"] = fault.message
        else:
            line.update(msgspec.msgpack.decode(answer, type=Section))
    return msgspec.msgpack.encode({"volume": volume.id, "replicas": lines})


async def digest(context: PeerContext, payload: bytes) -> bytes:
    """Answer `volume.digest` for a disk of this node."""
    question = msgspec.msgpack.decode(payload, type=DigestQuestion)
    found = volume_map(context.cluster.view(), question.volume_id)
    try:
        read = await context.drivers.get(DiskServers).digest(question.disk_id, found)
    except Refused as refused:
        return msgspec.msgpack.encode({"fault": refused.message})
    return msgspec.msgpack.encode(read)


EXPLAIN: dict[str, Explainer] = {"volume": explain_volume}
PEER_CALLS: dict[str, PeerHandler] = {VERIFY_CALL: verify, DIGEST_CALL: digest, SERVED_CALL: served}
