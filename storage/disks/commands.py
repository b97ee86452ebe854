"""How a single disk goes for good."""

from typing import ClassVar

from consensus.liveness.model import NodeVerdict
from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import DiskId
from noded.core.store import Transaction
from storage.pools.commands import remove_disk
from storage.pools.model import Disk, DiskState, GivenDisk, given_id
from storage.volumes.commands import forget_disk


class RemoveDisk(Command, frozen=True, kw_only=True, tag="disk.remove_one.1"):
    """A disk that was drained, and on which nothing is any more, leaves the pool."""

    TOLD: ClassVar[str] = "took the disk {disk_id} out of the pool"
    FREES_ROOM: ClassVar[bool] = True

    disk_id: DiskId

    def apply(self, tx: Transaction) -> None:
        disk = tx.need(Disk, self.disk_id)
        if not disk.draining:
            raise Conflict(f"Disk {disk.id} is in use. Drain it first: `noded disk drain {disk.id}`.")
        is_given = tx.get(GivenDisk, given_id(disk.node_id, disk.name)) is not None  # then it goes together with that
        if not is_given and disk.state is not DiskState.FAILED and tx.get(NodeVerdict, disk.node_id) is None:
            raise Conflict(
                f"Disk {disk.id} still serves, and its node would give it to the pool again. Take {disk.name} out of"
                " the node's configuration, or unplug it, first."
            )
        forget_disk(tx, self.disk_id)
        remove_disk(tx, self.disk_id)
