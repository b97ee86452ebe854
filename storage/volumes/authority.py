"""What the daemon answers a volume server that asks to claim a volume, to change its in-sync set, or where it is."""

from typing import TypeVar

import msgspec

from noded.core.errors import Conflict, Invalid
from noded.core.ids import VolumeId
from noded.core.service import PeerContext, PeerHandler
from noded.core.unreadable import UNREADABLE
from storage.extents.authority import (
    ADOPT,
    CLAIM,
    GROW,
    LOCATE,
    SHRINK,
    SUPERSEDED,
    THAW,
    Adopt,
    Claim,
    Grow,
    Locate,
    Shrink,
    Thaw,
)
from storage.volumes.claims import ClaimVolume, GrowInSync, ShrinkInSync, ThawVolume, volume_map
from storage.volumes.cuts import FREEZE, RELEASE, StandStill
from storage.volumes.links import VolumeServers
from storage.volumes.model import Volume
from storage.volumes.moving import AdoptReplicas

Q = TypeVar("Q")


async def claim(context: PeerContext, payload: bytes) -> bytes:
    """Make the asker the owner; the map at the new epoch."""
    asked = _decode(payload, Claim)
    await context.cluster.propose(
        ClaimVolume(volume_id=asked.volume_id, node_id=asked.node_id, claim_id=asked.claim_id)
    )
    if context.cluster.view().need(Volume, asked.volume_id).claim_id != asked.claim_id:
        raise Conflict(f"Volume {asked.volume_id} has been claimed again since.", code=SUPERSEDED)
    return _map(context, asked.volume_id)


async def shrink(context: PeerContext, payload: bytes) -> bytes:
    """Take replicas out of the in-sync set."""
    asked = _decode(payload, Shrink)
    await context.cluster.propose(
        ShrinkInSync(volume_id=asked.volume_id, epoch=asked.epoch, changes=asked.changes, disk_ids=asked.disk_ids)
    )
    return _map_of_epoch(context, asked.volume_id, asked.epoch)


async def grow(context: PeerContext, payload: bytes) -> bytes:
    """Put a replica back into the in-sync set."""
    asked = _decode(payload, Grow)
    await context.cluster.propose(
        GrowInSync(volume_id=asked.volume_id, epoch=asked.epoch, changes=asked.changes, disk_id=asked.disk_id)
    )
    return _map_of_epoch(context, asked.volume_id, asked.epoch)


async def adopt(context: PeerContext, payload: bytes) -> bytes:
    """Count replicas that were filled on another disk."""
    asked = _decode(payload, Adopt)
    await context.cluster.propose(
        AdoptReplicas(
            volume_id=asked.volume_id,
            epoch=asked.epoch,
            changes=asked.changes,
            disk_id=asked.disk_id,
            extents=asked.extents,
            blocks=asked.blocks,
        )
    )
    return _map_of_epoch(context, asked.volume_id, asked.epoch)


async def thaw(context: PeerContext, payload: bytes) -> bytes:
    """Make a mark worthless; the map says whether a snapshot was made with it before."""
    asked = _decode(payload, Thaw)
    view = await context.cluster.fresh_view()
    if view.need(Volume, asked.volume_id).changes == asked.changes:
        await context.cluster.propose(ThawVolume(volume_id=asked.volume_id, epoch=asked.epoch, changes=asked.changes))
    return _map_of_epoch(context, asked.volume_id, asked.epoch)


async def locate(context: PeerContext, payload: bytes) -> bytes:
    """The present map, with every change acknowledged before."""
    asked = _decode(payload, Locate)
    await context.cluster.fresh_view()
    return _map(context, asked.volume_id)


async def freeze(context: PeerContext, payload: bytes) -> bytes:
    """Let a volume that is served on this node stand still; its mark."""
    asked = _decode(payload, StandStill)
    return msgspec.msgpack.encode(await context.drivers.get(VolumeServers).freeze(asked.volume_id))


async def release(context: PeerContext, payload: bytes) -> bytes:
    """Let it go on."""
    asked = _decode(payload, StandStill)
    await context.drivers.get(VolumeServers).thaw(asked.volume_id)
    return b""


CALLS: dict[str, PeerHandler] = {
    FREEZE: freeze,
    RELEASE: release,
    ADOPT: adopt,
    CLAIM: claim,
    SHRINK: shrink,
    GROW: grow,
    THAW: thaw,
    LOCATE: locate,
}


def _map(context: PeerContext, volume_id: VolumeId) -> bytes:
    return msgspec.msgpack.encode(volume_map(context.cluster.view(), volume_id))


def _map_of_epoch(context: PeerContext, volume_id: VolumeId, epoch: int) -> bytes:
    found = volume_map(context.cluster.view(), volume_id)
    if found.epoch != epoch:
        raise Conflict(f"Volume {volume_id} has been claimed again since.", code=SUPERSEDED)
    return msgspec.msgpack.encode(found)


def _decode(payload: bytes, form: type[Q]) -> Q:
    try:
        return msgspec.msgpack.decode(payload, type=form)
    except UNREADABLE as error:
        raise Invalid(f"This is not a {form.__name__}: {error}") from error
