"""Orders about role assignments, and how they end when one of their sides goes."""

from dataclasses import dataclass
from typing import ClassVar

from noded.core.command import Command
from noded.core.errors import Forbidden, NotFound
from noded.core.ids import GroupId, RoleId, UserId
from noded.core.store import Transaction, View
from noded.identity.model import (
    SYSTEM_ID,
    Actor,
    Assignment,
    Domain,
    Group,
    Project,
    Role,
    Scope,
    User,
    assignment_id,
    holding_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Who may hold roles there, and where: all of an assignment but its role."""

    actor: Actor
    actor_id: str
    scope: Scope
    target_id: str
    inherited: bool = False

    @property
    def holding(self) -> str:
        """By which the assignments are found."""
        return holding_of(self.actor_id, self.scope, self.target_id, inherited=self.inherited)

    def id_with(self, role_id: str) -> str:
        """The id of the assignment of that role."""
        return assignment_id(self.actor_id, self.scope, self.target_id, role_id, inherited=self.inherited)


class GrantRole(Command, frozen=True, kw_only=True, tag="role.grant.1"):
    """The user holds the role there; an inherited one on all projects below. Doing it twice changes nothing."""

    TOLD: ClassVar[str] = "granted user {user_id} the role {role_id} on {scope} {target_id}"

    user_id: UserId
    scope: Scope
    target_id: str
    role_id: RoleId
    inherited: bool = False

    def apply(self, tx: Transaction) -> None:
        _grant(tx, _place(Actor.USER, self.user_id, self), self.role_id)


class RevokeRole(Command, frozen=True, kw_only=True, tag="role.revoke.1"):
    """The user no longer holds the role there."""

    TOLD: ClassVar[str] = "took from user {user_id} the role {role_id} on {scope} {target_id}"

    FREES_ROOM: ClassVar[bool] = True

    user_id: UserId
    scope: Scope
    target_id: str
    role_id: RoleId
    inherited: bool = False

    def apply(self, tx: Transaction) -> None:
        _revoke(tx, _place(Actor.USER, self.user_id, self), self.role_id)


class GrantGroupRole(Command, frozen=True, kw_only=True, tag="role.grant_group.1"):
    """Everyone in the group holds the role there; an inherited one on all projects below."""

    TOLD: ClassVar[str] = "granted group {group_id} the role {role_id} on {scope} {target_id}"

    group_id: GroupId
    scope: Scope
    target_id: str
    role_id: RoleId
    inherited: bool = False

    def apply(self, tx: Transaction) -> None:
        _grant(tx, _place(Actor.GROUP, self.group_id, self), self.role_id)


class RevokeGroupRole(Command, frozen=True, kw_only=True, tag="role.revoke_group.1"):
    """The group no longer holds the role there."""

    TOLD: ClassVar[str] = "took from group {group_id} the role {role_id} on {scope} {target_id}"

    FREES_ROOM: ClassVar[bool] = True

    group_id: GroupId
    scope: Scope
    target_id: str
    role_id: RoleId
    inherited: bool = False

    def apply(self, tx: Transaction) -> None:
        _revoke(tx, _place(Actor.GROUP, self.group_id, self), self.role_id)


def _place(actor: Actor, actor_id: str, order: GrantRole | RevokeRole | GrantGroupRole | RevokeGroupRole) -> Place:
    return Place(
        actor=actor, actor_id=actor_id, scope=order.scope, target_id=order.target_id, inherited=order.inherited
    )


def _grant(tx: Transaction, place: Place, role_id: RoleId) -> None:
    expect_sides(tx, place, role_id)
    _expect_role_fits(tx, place, tx.need(Role, role_id))
    tx.put(
        Assignment(
            id=place.id_with(role_id),
            actor_id=place.actor_id,
            scope=place.scope,
            target_id=place.target_id,
            role_id=role_id,
            actor=place.actor,
            inherited=place.inherited,
        )
    )


def _revoke(tx: Transaction, place: Place, role_id: RoleId) -> None:
    expect_sides(tx, place, role_id)
    need_assignment(tx, place, role_id)
    tx.delete(Assignment, place.id_with(role_id))


def expect_sides(view: View, place: Place, role_id: str | None) -> None:
    """Raises `NotFound` unless actor, target and role (if one is named) are there."""
    if place.actor is Actor.USER:
        view.need(User, place.actor_id)
    else:
        view.need(Group, place.actor_id)
    if place.scope is Scope.PROJECT:
        view.need(Project, place.target_id)
    elif place.scope is Scope.DOMAIN:
        view.need(Domain, place.target_id)
    else:
        assert place.scope is Scope.SYSTEM, place.scope
        assert place.target_id == SYSTEM_ID, place.target_id
    if role_id is not None:
        view.need(Role, role_id)


def _expect_role_fits(view: View, place: Place, role: Role) -> None:
    """A role of a domain is granted on that domain and its projects alone."""
    if role.domain_id is None:
        return
    domain_id = place.target_id if place.scope is Scope.DOMAIN else None
    if place.scope is Scope.PROJECT:
        domain_id = view.need(Project, place.target_id).domain_id
    if domain_id != role.domain_id:
        raise Forbidden(
            f"Role {role.name} belongs to domain {role.domain_id}: grant it on that domain or on a project of it."
        )


def need_assignment(view: View, place: Place, role_id: str) -> Assignment:
    """The assignment; raises `NotFound` in Keystone's words."""
    found = view.get(Assignment, place.id_with(role_id))
    if found is None:
        raise NotFound(
            f"Could not find role assignment with role: {role_id}, user or group: {place.actor_id}, project, domain,"
            f" or system: {place.target_id}."
        )
    return found


def forget_actor(tx: Transaction, actor_id: str) -> None:
    """The user or group goes: so do all their assignments."""
    _forget(tx, "actor_id", actor_id)


def forget_target(tx: Transaction, target_id: str) -> None:
    """The project or domain goes: so do all assignments for it."""
    _forget(tx, "target_id", target_id)


def forget_role(tx: Transaction, role_id: str) -> None:
    """The role goes: so do all its assignments."""
    _forget(tx, "role_id", role_id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for assignment in tx.find(Assignment, field, value):
        tx.delete(Assignment, assignment.id)
