"""Orders about groups and who is in them."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, NotFound
from noded.core.ids import DomainId, GroupId, UserId
from noded.core.store import Transaction, View
from noded.identity.attributes import changed, merged
from noded.identity.grants.commands import forget_actor
from noded.identity.model import Domain, Group, Membership, User, membership_id


class CreateGroup(Command, frozen=True, kw_only=True, tag="group.create.1"):
    """A new group, with nobody in it."""

    TOLD: ClassVar[str] = "created the group {name}"

    group_id: GroupId
    domain_id: DomainId
    name: str
    description: str = ""
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        tx.need(Domain, self.domain_id)
        _expect_free(tx, self.name, self.domain_id, self.group_id)
        tx.put(
            Group(
                id=self.group_id,
                domain_id=self.domain_id,
                name=self.name,
                description=self.description,
                extra=self.extra,
            )
        )


class UpdateGroup(Command, frozen=True, kw_only=True, tag="group.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the group {group_id}"

    group_id: GroupId
    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(Group, self.group_id)
        after = changed(before, self, merged(before.extra, self.extra))
        _expect_free(tx, after.name, after.domain_id, self.group_id)
        tx.put(after)


class DeleteGroup(Command, frozen=True, kw_only=True, tag="group.delete.1"):
    """The group goes, with all its assignments; who was in it stays."""

    TOLD: ClassVar[str] = "deleted the group {group_id}"

    FREES_ROOM: ClassVar[bool] = True

    group_id: GroupId

    def apply(self, tx: Transaction) -> None:
        remove_group(tx, tx.need(Group, self.group_id))


class AddToGroup(Command, frozen=True, kw_only=True, tag="group.add.1"):
    """The user is in the group, and holds what it holds. Doing it twice changes nothing."""

    TOLD: ClassVar[str] = "put user {user_id} into group {group_id}"

    group_id: GroupId
    user_id: UserId

    def apply(self, tx: Transaction) -> None:
        expect_sides(tx, self.group_id, self.user_id)
        tx.put(Membership(id=membership_id(self.group_id, self.user_id), user_id=self.user_id, group_id=self.group_id))


class RemoveFromGroup(Command, frozen=True, kw_only=True, tag="group.remove.1"):
    """The user is no longer in the group."""

    TOLD: ClassVar[str] = "took user {user_id} out of group {group_id}"

    FREES_ROOM: ClassVar[bool] = True

    group_id: GroupId
    user_id: UserId

    def apply(self, tx: Transaction) -> None:
        expect_sides(tx, self.group_id, self.user_id)
        need_membership(tx, self.group_id, self.user_id)
        tx.delete(Membership, membership_id(self.group_id, self.user_id))


def remove_group(tx: Transaction, group: Group) -> None:
    """The group, every assignment of its, and who was in it."""
    forget_actor(tx, group.id)
    for membership in tx.find(Membership, "group_id", group.id):
        tx.delete(Membership, membership.id)
    tx.delete(Group, group.id)


def expect_sides(view: View, group_id: str, user_id: str) -> None:
    """Raises `NotFound` unless both are there."""
    view.need(User, user_id)
    view.need(Group, group_id)


def need_membership(view: View, group_id: str, user_id: str) -> Membership:
    """The membership; raises `NotFound` in Keystone's words."""
    found = view.get(Membership, membership_id(group_id, user_id))
    if found is None:
        raise NotFound(f"Could not find user: {user_id} in group: {group_id}.")
    return found


def _expect_free(view: View, name: str, domain_id: str, group_id: str) -> None:
    taken = (other for other in view.find(Group, "name", name) if other.domain_id == domain_id)
    if any(other.id != group_id for other in taken):
        raise Conflict(
            "Conflict occurred attempting to store group - it is not permitted to have two groups with the same name"
            f" in the same domain : {name}."
        )
