"""Which of a node's parts in block storage an operator has switched off, and why."""

from typing import ClassVar, Final

from noded.core.record import Record
from noded.core.store import View

VOLUME: Final = "cinder-volume"
SCHEDULER: Final = "cinder-scheduler"
BACKUP: Final = "cinder-backup"
BINARIES: Final = (SCHEDULER, VOLUME, BACKUP)


class Switch(Record, frozen=True, kw_only=True, tag="storage_switch.1"):
    """A part that is switched off or frozen; its id is the binary and the node's id."""

    INDEXED: ClassVar[tuple[str, ...]] = ("node_id",)
    NOUN: ClassVar[str] = "service"

    node_id: str
    binary: str
    disabled: bool = False
    reason: str = ""
    frozen: bool = False  # no volume of the node may be made, changed in size, or deleted through it
    updated_at_ms: int = 0


def switch_key(binary: str, node_id: str) -> str:
    """Under which id a switch is kept."""
    return f"{binary}:{node_id}"


def switch_of(view: View, binary: str, node_id: str) -> Switch:
    """The switch as it is, also if nobody has touched it."""
    key = switch_key(binary, node_id)
    return view.get(Switch, key) or Switch(id=key, node_id=node_id, binary=binary)


def takes_volumes(view: View, node_id: str) -> bool:
    """Whether new replicas may be placed on the node, as far as operators are asked."""
    switch = view.get(Switch, switch_key(VOLUME, node_id))
    return switch is None or not (switch.disabled or switch.frozen)
