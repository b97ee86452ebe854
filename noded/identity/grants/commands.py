"""Orders about role assignments, and how they end when one of their sides goes."""

from typing import ClassVar

from noded.core.command import Command
from noded.core.errors import NotFound
from noded.core.ids import RoleId, UserId
from noded.core.store import Transaction, View
from noded.identity.model import SYSTEM_ID, Assignment, Domain, Project, Role, Scope, User, assignment_id


class GrantRole(Command, frozen=True, kw_only=True, tag="role.grant.1"):
    """The user holds the role there. Doing it twice changes nothing."""

    TOLD: ClassVar[str] = "granted user {user_id} the role {role_id} on {scope} {target_id}"

    user_id: UserId
    scope: Scope
    target_id: str
    role_id: RoleId

    def apply(self, tx: Transaction) -> None:
        expect_sides(tx, self.user_id, self.scope, self.target_id, self.role_id)
        tx.put(
            Assignment(
                id=assignment_id(self.user_id, self.scope, self.target_id, self.role_id),
                user_id=self.user_id,
                scope=self.scope,
                target_id=self.target_id,
                role_id=self.role_id,
            )
        )


class RevokeRole(Command, frozen=True, kw_only=True, tag="role.revoke.1"):
    """The user no longer holds the role there."""

    TOLD: ClassVar[str] = "took from user {user_id} the role {role_id} on {scope} {target_id}"

    FREES_ROOM: ClassVar[bool] = True

    user_id: UserId
    scope: Scope
    target_id: str
    role_id: RoleId

    def apply(self, tx: Transaction) -> None:
        expect_sides(tx, self.user_id, self.scope, self.target_id, self.role_id)
        need_assignment(tx, self.user_id, self.scope, self.target_id, self.role_id)
        tx.delete(Assignment, assignment_id(self.user_id, self.scope, self.target_id, self.role_id))


def expect_sides(view: View, user_id: str, scope: Scope, target_id: str, role_id: str | None) -> None:
    """Raises `NotFound` unless user, target and role (if one is named) are there."""
    view.need(User, user_id)
    if scope is Scope.PROJECT:
        view.need(Project, target_id)
    elif scope is Scope.DOMAIN:
        view.need(Domain, target_id)
    else:
        assert scope is Scope.SYSTEM, scope
        assert target_id == SYSTEM_ID, target_id
    if role_id is not None:
        view.need(Role, role_id)


def need_assignment(view: View, user_id: str, scope: Scope, target_id: str, role_id: str) -> Assignment:
    """The assignment; raises `NotFound` in Keystone's words."""
    found = view.get(Assignment, assignment_id(user_id, scope, target_id, role_id))
    if found is None:
        raise NotFound(f"Could not find role assignment with role: {role_id}, user: {user_id}, {scope}: {target_id}.")
    return found


def forget_user(tx: Transaction, user_id: str) -> None:
    """The user goes: so do all their assignments."""
    _forget(tx, "user_id", user_id)


def forget_target(tx: Transaction, target_id: str) -> None:
    """The project or domain goes: so do all assignments for it."""
    _forget(tx, "target_id", target_id)


def forget_role(tx: Transaction, role_id: str) -> None:
    """The role goes: so do all its assignments."""
    _forget(tx, "role_id", role_id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for assignment in tx.find(Assignment, field, value):
        tx.delete(Assignment, assignment.id)
