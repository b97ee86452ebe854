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
from storage.volumes.model import Volume, ancestors, disks_of

VERIFY_CALL = "volume.verify"
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
        },
        "observed": {"epoch": volume.epoch, "owner": volume.owner_id, "set_changes": volume.changes},
        "attachments": [msgspec.to_builtins(each) for each in volume.attachments],
        "replicas": _replicas(view, volume, context.cluster.reachable()),
        "layers": _layers(view, volume),
        "steps": [f"bring disk {disk} up to date" for disk in volume.out_of_sync],
    }


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
PEER_CALLS: dict[str, PeerHandler] = {VERIFY_CALL: verify, DIGEST_CALL: digest}
