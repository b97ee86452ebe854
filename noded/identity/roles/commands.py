"""Orders about roles and what they imply."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, NotFound
from noded.core.ids import DomainId, RoleId
from noded.core.store import Transaction, View
from noded.identity.application_credentials.commands import forget_role as forget_application_credentials
from noded.identity.attributes import changed, expect_mutable, merged
from noded.identity.grants.commands import forget_role
from noded.identity.model import Domain, Role
from noded.identity.oauth1.commands import forget_role as forget_oauth
from noded.identity.standing import with_implied
from noded.identity.trusts.commands import forget_role as forget_trusts


class CreateRole(Command, frozen=True, kw_only=True, tag="role.create.1"):
    """A new role."""

    TOLD: ClassVar[str] = "created the role {name}"

    role_id: RoleId
    name: str
    domain_id: DomainId | None = None
    description: str | None = None
    implies: tuple[RoleId, ...] = ()
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        if self.domain_id is not None:
            tx.need(Domain, self.domain_id)
        _expect_free(tx, self.name, self.domain_id, self.role_id)
        for implied in self.implies:
            tx.need(Role, implied)
        tx.put(
            Role(
                id=self.role_id,
                name=self.name,
                domain_id=self.domain_id,
                description=self.description,
                implies=self.implies,
                extra=self.extra,
                options=merged({}, self.options),
            )
        )


class UpdateRole(Command, frozen=True, kw_only=True, tag="role.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the role {role_id}"

    role_id: RoleId
    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(Role, self.role_id)
        expect_mutable(before, before.options, self, self.extra)
        after = changed(before, self, merged(before.extra, self.extra))
        after = msgspec.structs.replace(after, options=merged(before.options, self.options))
        _expect_free(tx, after.name, after.domain_id, self.role_id)
        tx.put(after)


class DeleteRole(Command, frozen=True, kw_only=True, tag="role.delete.1"):
    """The role goes, with all its assignments."""

    TOLD: ClassVar[str] = "deleted the role {role_id}"

    FREES_ROOM: ClassVar[bool] = True

    role_id: RoleId

    def apply(self, tx: Transaction) -> None:
        role = tx.need(Role, self.role_id)
        expect_mutable(role, role.options, None, {})
        remove_role(tx, role)


class ImplyRole(Command, frozen=True, kw_only=True, tag="role.imply.1"):
    """Who holds the prior role also holds the implied one."""

    TOLD: ClassVar[str] = "let the role {prior_id} imply {implied_id}"

    prior_id: RoleId
    implied_id: RoleId

    def apply(self, tx: Transaction) -> None:
        prior = tx.need(Role, self.prior_id)
        implied = tx.need(Role, self.implied_id)
        if implied.name == "admin":
            raise Forbidden("The role admin can't be implied.")
        if any(role.id == prior.id for role in with_implied(tx, [implied.id])):
            raise Forbidden(f"Role {implied.name} already implies {prior.name}.")
        if implied.id not in prior.implies:
            tx.put(msgspec.structs.replace(prior, implies=(*prior.implies, implied.id)))


class StopImplyingRole(Command, frozen=True, kw_only=True, tag="role.stop_implying.1"):
    """The prior role no longer brings the implied one."""

    TOLD: ClassVar[str] = "stopped the role {prior_id} from implying {implied_id}"

    prior_id: RoleId
    implied_id: RoleId

    def apply(self, tx: Transaction) -> None:
        prior = need_implication(tx, self.prior_id, self.implied_id)
        rest = tuple(role_id for role_id in prior.implies if role_id != self.implied_id)
        tx.put(msgspec.structs.replace(prior, implies=rest))


def need_implication(view: View, prior_id: str, implied_id: str) -> Role:
    """The prior role, which implies the other; raises `NotFound`."""
    prior = view.need(Role, prior_id)
    implied = view.need(Role, implied_id)
    if implied.id not in prior.implies:
        raise NotFound(f"Role {prior.name} does not imply {implied.name}.")
    return prior


def remove_role(tx: Transaction, role: Role) -> None:
    """The role, every assignment of it, and every rule that implies it."""
    forget_role(tx, role.id)
    forget_application_credentials(tx, role.id)
    forget_trusts(tx, role.id)
    forget_oauth(tx, role.id)
    for prior in tx.find(Role, "implies", role.id):
        rest = tuple(role_id for role_id in prior.implies if role_id != role.id)
        tx.put(msgspec.structs.replace(prior, implies=rest))
    tx.delete(Role, role.id)


def _expect_free(view: View, name: str, domain_id: str | None, role_id: str) -> None:
    taken = (other for other in view.find(Role, "name", name) if other.domain_id == domain_id)
    if any(other.id != role_id for other in taken):
        raise Conflict(
            "Conflict occurred attempting to store role - it is not permitted to have two roles with the same name"
            f" : {name}."
        )
