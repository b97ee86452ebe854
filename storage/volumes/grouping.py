"""Which volumes may be in which group, and how they come into it and out of it."""

from msgspec.structs import replace

from noded.core.errors import Invalid, NotFound
from noded.core.store import Transaction
from storage.types.model import get_type, type_name
from storage.volumes.model import Group, Volume


def enter_group(tx: Transaction, volume: Volume, group_id: str) -> Volume:
    """The volume is in the group from now on. Raises `Refused` where it can't be."""
    group = tx.get(Group, group_id)
    if group is None or group.project_id != volume.project_id:
        raise NotFound(f"Group {group_id[:255]} could not be found.")
    if group.said not in ("", "available"):
        raise Invalid(f"Invalid group: Group {group.id} is {group.said}. It must be available to take volumes.")
    if volume.group_id is not None:
        raise Invalid(f"Invalid volume: Cannot add volume {volume.id}: it is in group {volume.group_id} already.")
    kind = get_type(tx, volume.type_id)
    if kind is None or kind.id not in group.volume_type_ids:
        raise Invalid(
            f"Invalid volume: Cannot add volume {volume.id} to group {group.id} because its volume type"
            f" {type_name(tx, volume.type_id)} is not one of the group's."
        )
    grouped = replace(volume, group_id=group.id)
    tx.put(grouped)
    return grouped


def leave_group(tx: Transaction, volume: Volume) -> None:
    """The volume is in no group from now on."""
    tx.put(replace(volume, group_id=None))
