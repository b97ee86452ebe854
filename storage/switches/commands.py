"""How an operator switches a node's part in block storage off and on."""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.store import Transaction
from storage.switches.model import Switch, switch_of


class SetSwitch(Command, frozen=True, kw_only=True, tag="storage_switch.set.1"):
    """Off, on, frozen or thawed; None leaves it as it is."""

    TOLD: ClassVar[str] = "switched {binary} of node {node_id}"

    binary: str
    node_id: str
    disabled: bool | None = None
    reason: str = ""
    frozen: bool | None = None
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        switch = switch_of(tx, self.binary, self.node_id)
        changed = replace(
            switch,
            disabled=switch.disabled if self.disabled is None else self.disabled,
            reason=switch.reason if self.disabled is None else self.reason,
            frozen=switch.frozen if self.frozen is None else self.frozen,
            updated_at_ms=self.now_ms,
        )
        if changed.disabled or changed.frozen:
            tx.put(changed)
        elif tx.get(Switch, switch.id) is not None:
            tx.delete(Switch, switch.id)
