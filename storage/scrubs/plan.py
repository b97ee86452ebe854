"""Which volumes are to be checked for rot, and by which node? Decides; touches nothing.

A pass reads all replicas of one volume (`extents/scrub.py`). It is due once in the policy's days, and at once when an
operator has asked for a disk that has a replica. Its progress is in the record: so a pass goes on where it was, whoever
serves the volume next.
"""

from collections.abc import Collection
from typing import Final

from noded.core.ids import NodeId, VolumeId
from noded.core.store import View
from storage.pools.model import policy
from storage.volumes.model import Volume, checker, is_needed, scrub_asked_ms

DAY_MS: Final = 86_400_000


def is_due(view: View, volume: Volume, now_ms: int) -> bool:
    """Whether a pass over the volume is to begin, or to go on."""
    if volume.epoch == 0 or volume.out_of_sync or volume.joining or not is_needed(view, volume):
        return False  # nobody ever wrote it; or its replicas are made equal anyway, and then it is looked at
    if volume.scrub is not None or scrub_asked_ms(view, volume) > volume.scrubbed_ms:
        return True
    days = policy(view).scrub_days
    return bool(days) and now_ms - max(volume.scrubbed_ms, volume.created_at_ms) >= days * DAY_MS


def is_mine(view: View, volume_id: VolumeId, node_id: NodeId, reachable: Collection[NodeId], now_ms: int) -> bool:
    """Whether this node is to have the volume checked now."""
    volume = view.get(Volume, volume_id)
    if volume is None or not is_due(view, volume, now_ms):
        return False
    return checker(view, volume, reachable) == node_id


def scrubs(view: View, node_id: NodeId, reachable: Collection[NodeId], now_ms: int) -> list[VolumeId]:
    """The volumes that this node is to have checked: those begun first, then those that were not looked at longest."""
    mine = [each for each in view.all(Volume) if is_mine(view, each.volume_id, node_id, reachable, now_ms)]
    mine.sort(key=lambda volume: (volume.scrub is None, volume.scrubbed_ms, volume.id))
    return [volume.volume_id for volume in mine]
