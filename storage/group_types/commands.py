"""How group types come, change and go."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.store import Transaction
from storage.group_types.model import SPECS_MAX, GroupType
from storage.quotas.model import Charge


def need_group_type(tx: Transaction, type_id: str) -> GroupType:
    """The group type of that id; raises `NotFound` in Cinder's words."""
    found = tx.get(GroupType, type_id)
    if found is None:
        raise NotFound(f"Group type {type_id[:255]} could not be found.")
    return found


class CreateGroupType(Command, frozen=True, kw_only=True, tag="group_type.create.1"):
    """A new kind of groups."""

    TOLD: ClassVar[str] = "created the group type {name}"

    type_id: str
    name: str
    description: str | None = None
    is_public: bool = True
    group_specs: dict[str, str] = msgspec.field(default_factory=dict)
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        _check(tx, self.name, self.group_specs)
        tx.put(
            GroupType(
                id=self.type_id,
                name=self.name,
                description=self.description,
                is_public=self.is_public,
                group_specs=self.group_specs,
                created_at_ms=self.now_ms,
            )
        )


class ChangeGroupType(Command, frozen=True, kw_only=True, tag="group_type.change.1"):
    """New words, specs to put to it and specs to take out; None leaves a field as it is."""

    TOLD: ClassVar[str] = "changed the group type {type_id}"

    type_id: str
    name: str | None = None
    description: str | None = None
    is_public: bool | None = None
    changed: dict[str, str] = msgspec.field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def apply(self, tx: Transaction) -> None:
        kind = need_group_type(tx, self.type_id)
        for key in self.removed:
            if key not in kind.group_specs:
                raise NotFound(f"Group Type {kind.id} has no specs with key {key[:255]}.")
        specs = {key: value for key, value in kind.group_specs.items() if key not in self.removed} | self.changed
        name = kind.name if self.name is None else self.name
        _check(tx, None if name == kind.name else name, specs)
        tx.put(
            replace(
                kind,
                name=name,
                description=kind.description if self.description is None else self.description,
                is_public=kind.is_public if self.is_public is None else self.is_public,
                group_specs=specs,
            )
        )


class DeleteGroupType(Command, frozen=True, kw_only=True, tag="group_type.delete.1"):
    """The kind is no longer there. Not while groups are of it."""

    TOLD: ClassVar[str] = "deleted the group type {type_id}"

    FREES_ROOM: ClassVar[bool] = True

    type_id: str

    def apply(self, tx: Transaction) -> None:
        kind = need_group_type(tx, self.type_id)
        if tx.find(Charge, "type_id", kind.id):
            raise Invalid(f"Target group type is still in use: groups of {kind.name} are there. Delete them first.")
        tx.delete(GroupType, kind.id)


def _check(tx: Transaction, name: str | None, specs: dict[str, str]) -> None:
    if name is not None and tx.find(GroupType, "name", name):
        raise Conflict(f"Group Type {name} already exists.")
    if len(specs) > SPECS_MAX:
        raise Invalid(f"A group type has at most {SPECS_MAX} specs.")
