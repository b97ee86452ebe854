"""Answers `noded doctor` for snapshots: blocks that no snapshot names, and snapshots in no state to rest in."""

from collections.abc import Iterable

from noded.core.finding import Finding
from noded.core.store import View
from storage.snapshots.model import Snapshot
from storage.volumes.model import Cut, Purpose, Volume

REPORT = "Report it, with `noded history`."


def examine_snapshots(view: View) -> Iterable[Finding]:
    """Snapshots beside the volumes that hold their blocks."""
    for volume in view.all(Volume):
        if volume.purpose is Purpose.SNAPSHOT and not volume.deleting and view.get(Snapshot, volume.id) is None:
            yield Finding(
                kind="orphan volume",
                subject=volume.id,
                what=f"volume {volume.id} holds a snapshot's blocks",
                why="no snapshot names it",
                mend=REPORT,
            )
    for snapshot in view.all(Snapshot):
        made = view.get(Volume, snapshot.id)
        if made is None and not snapshot.said and not view.find(Cut, "frozen_ids", snapshot.id):
            yield Finding(
                kind="failed snapshot",
                subject=snapshot.id,
                what=f"snapshot {snapshot.id} of volume {snapshot.volume_id} could not be made",
                why="its volume did not stand still in time, or has gone",
                mend="Delete it, and make it again.",
            )
