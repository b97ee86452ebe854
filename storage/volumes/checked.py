"""What does the record of a volume keep of a pass over its replicas? Written for the service `scrubs`."""

from msgspec.structs import replace

from noded.core.ids import VolumeId
from noded.core.store import Transaction
from storage.pools.commands import count_rotten
from storage.volumes.model import ScrubPass, Volume


def keep_scrub(tx: Transaction, volume_id: VolumeId, found: ScrubPass, *, done: bool) -> None:
    """Keep how far a pass has come, or what came of it. What an older pass says does not count."""
    volume = tx.need(Volume, volume_id)
    before = volume.scrub
    if found.begun_ms <= volume.scrubbed_ms or (before is not None and found.begun_ms < before.begun_ms):
        return
    if not done:
        tx.put(replace(volume, scrub=found))
        return
    for disk_id in sorted({*found.rotten, *found.different}):
        count_rotten(tx, disk_id, found.rotten.get(disk_id, 0), found.different.get(disk_id, 0))
    tx.put(replace(volume, scrub=None, scrubbed_ms=found.begun_ms, scrub_found=found))
