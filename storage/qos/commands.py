"""How qualities of service come, change and go, and which types have them."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.store import Transaction
from storage.qos.model import CONSUMERS, LIMIT_KEYS, SIZE_KEYS, QosSpecs, types_with
from storage.types.commands import set_type_qos

SPECS_MAX = 128
VALUE_MAX = 2**60


def need_qos(tx: Transaction, qos_id: str) -> QosSpecs:
    """The specs of that id; raises `NotFound` in Cinder's words."""
    found = tx.get(QosSpecs, qos_id)
    if found is None:
        raise NotFound(f"No such qos spec {qos_id[:255]}.")
    return found


def _check(specs: dict[str, str]) -> None:
    for kind in ("bytes", "iops"):
        limits = {key for key in specs if key in LIMIT_KEYS and f"_{kind}_sec" in key}
        if len({key.startswith("total_") for key in limits}) > 1:
            raise Invalid(f"QoS specs limit {kind} in total, or reads and writes apart, not both: no guest can.")
    if len(specs) > SPECS_MAX:
        raise Invalid(f"QoS specs have at most {SPECS_MAX} keys.")
    for key in (*LIMIT_KEYS, *SIZE_KEYS):
        value = specs.get(key, "0")
        if not value.isascii() or not value.isdecimal() or len(value) > 18 or int(value) > VALUE_MAX:
            raise Invalid(f"QoS spec {key} must be a whole number of zero or more, not {value[:64]}.")


class CreateQos(Command, frozen=True, kw_only=True, tag="qos_specs.create.1"):
    """A new set of limits."""

    TOLD: ClassVar[str] = "created the QoS specs {name}"

    qos_id: str
    name: str
    consumer: str
    specs: dict[str, str] = msgspec.field(default_factory=dict)
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        if tx.find(QosSpecs, "name", self.name):
            raise Conflict(f"QoS Specs {self.name} already exists.")
        if self.consumer not in CONSUMERS:
            raise Invalid(f"Valid consumer of QoS specs are {', '.join(CONSUMERS)}; not {self.consumer[:64]}.")
        _check(self.specs)
        tx.put(
            QosSpecs(
                id=self.qos_id, name=self.name, consumer=self.consumer, specs=self.specs, created_at_ms=self.now_ms
            )
        )


class SetQosKeys(Command, frozen=True, kw_only=True, tag="qos_specs.set_keys.1"):
    """Add or change limits, and remove others."""

    TOLD: ClassVar[str] = "changed the QoS specs {qos_id}"

    qos_id: str
    changed: dict[str, str] = msgspec.field(default_factory=dict)
    removed: tuple[str, ...] = ()
    consumer: str | None = None

    def apply(self, tx: Transaction) -> None:
        qos = need_qos(tx, self.qos_id)
        for key in self.removed:
            if key not in qos.specs:
                raise NotFound(f"QoS spec {qos.id} has no spec with key {key[:255]}.")
        if self.consumer is not None and self.consumer not in CONSUMERS:
            raise Invalid(f"Valid consumer of QoS specs are {', '.join(CONSUMERS)}; not {self.consumer[:64]}.")
        specs = {key: value for key, value in qos.specs.items() if key not in self.removed} | self.changed
        _check(specs)
        tx.put(replace(qos, specs=specs, consumer=qos.consumer if self.consumer is None else self.consumer))


class DeleteQos(Command, frozen=True, kw_only=True, tag="qos_specs.delete.1"):
    """The limits are no longer there; by force, types that have them lose them."""

    TOLD: ClassVar[str] = "deleted the QoS specs {qos_id}"

    FREES_ROOM: ClassVar[bool] = True

    qos_id: str
    force: bool = False

    def apply(self, tx: Transaction) -> None:
        qos = need_qos(tx, self.qos_id)
        types = types_with(tx, qos.id)
        if types and not self.force:
            raise Invalid(f"QoS Specs {qos.id} is still associated with entities: {types[0].name}. Disassociate first.")
        for kind in types:
            set_type_qos(tx, kind.id, None)
        tx.delete(QosSpecs, qos.id)


class AssociateQos(Command, frozen=True, kw_only=True, tag="qos_specs.associate.1"):
    """The type's volumes have these limits from now on."""

    TOLD: ClassVar[str] = "gave volume type {type_id} the QoS specs {qos_id}"

    qos_id: str
    type_id: str

    def apply(self, tx: Transaction) -> None:
        set_type_qos(tx, self.type_id, need_qos(tx, self.qos_id).id)


class DisassociateQos(Command, frozen=True, kw_only=True, tag="qos_specs.disassociate.1"):
    """The type's volumes have them no longer; without a type: no volumes have."""

    TOLD: ClassVar[str] = "took the QoS specs {qos_id} from volume types"

    FREES_ROOM: ClassVar[bool] = True

    qos_id: str
    type_id: str | None = None

    def apply(self, tx: Transaction) -> None:
        qos = need_qos(tx, self.qos_id)
        for kind in types_with(tx, qos.id):
            if self.type_id in (None, kind.id):
                set_type_qos(tx, kind.id, None)
