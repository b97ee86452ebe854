"""How much may be promised to thin volumes? As much as an operator allows, measured by the size of all disks."""

from noded.core.errors import NoRoom
from noded.core.store import Transaction
from noded.core.units import GIB
from storage.pools.model import Disk, pool_policy
from storage.quotas.model import Charge
from storage.volumes.model import Volume, is_needed


def promised_bytes(volume: Volume) -> int:
    """What its replicas take once every block of it has been written. A snapshot's blocks grow no more."""
    return 0 if volume.immutable or volume.deleting else volume.size_bytes * max(volume.replicas, 1)


def refuse_overcommit(tx: Transaction, grown: Volume) -> None:
    """Raise `NoRoom` if the volume, which is new or larger, promises more than the pool's policy allows.

    Without a limit nothing is counted: a limit costs each creation a look at all volumes.
    """
    overcommit, charged = pool_policy(tx).overcommit, tx.get(Charge, grown.id)
    if not overcommit or (charged is not None and charged.amounts.get("gigabytes", 0) >= grown.gib):
        return
    size_bytes = sum(disk.size_bytes - disk.reserve_bytes for disk in tx.all(Disk))
    others = sum(promised_bytes(each) for each in tx.all(Volume) if each.id != grown.id and is_needed(tx, each))
    total = others + promised_bytes(grown)
    if total > overcommit * size_bytes:
        raise NoRoom(
            f"The pool has {size_bytes / GIB:.0f} GiB beside its reserve and may promise {overcommit:g} times as much;"
            f" with this volume it would promise {total / GIB:.0f} GiB. Add a disk, delete what nobody needs, or let an"
            " administrator raise the limit: `noded disk policy --overcommit`."
        )
