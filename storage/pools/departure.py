"""What becomes of a node's disks when it goes for good: their records go. A disk that returns brings its id along."""

from noded.core.departure import Departure, Hold, Leaver
from noded.core.store import View
from storage.pools.commands import RemoveDisks
from storage.pools.model import Disk, GivenDisk


def departure(view: View, leaver: Leaver) -> Departure:
    """The disks, and the command that removes them."""
    disks = view.find(Disk, "node_id", leaver.node_id)
    if not disks and not view.find(GivenDisk, "node_id", leaver.node_id):
        return Departure()
    fate = "it leaves the pool; what is on it stays on it"
    return Departure(
        holds=tuple(Hold(noun=Disk.NOUN, id=disk.id, name=disk.name, fate=fate) for disk in disks),
        commands=(RemoveDisks(node_id=leaver.node_id, disk_ids=tuple(disk.disk_id for disk in disks)),),
    )
