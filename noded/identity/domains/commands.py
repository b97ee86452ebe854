"""Orders about domains."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden
from noded.core.ids import DomainId
from noded.core.store import Transaction, View
from noded.identity.attributes import changed, expect_mutable, merged
from noded.identity.domain_config.commands import forget_domain as forget_config
from noded.identity.grants.commands import forget_target
from noded.identity.groups.commands import remove_group
from noded.identity.limits.commands import forget_domain as forget_limits
from noded.identity.model import Domain, Group, Project, Role, User
from noded.identity.providers import forget_domain as forget_providers
from noded.identity.removal import remove_project
from noded.identity.roles.commands import remove_role
from noded.identity.users.commands import remove_user


class CreateDomain(Command, frozen=True, kw_only=True, tag="domain.create.1"):
    """A new name space."""

    TOLD: ClassVar[str] = "created the domain {name}"

    domain_id: DomainId
    name: str
    description: str = ""
    enabled: bool = True
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        _expect_free(tx, self.name, self.domain_id)
        tx.put(
            Domain(
                id=self.domain_id,
                name=self.name,
                description=self.description,
                enabled=self.enabled,
                extra=self.extra,
                options=merged({}, self.options),
                tags=self.tags,
            )
        )


class UpdateDomain(Command, frozen=True, kw_only=True, tag="domain.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the domain {domain_id}"

    domain_id: DomainId
    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(Domain, self.domain_id)
        expect_mutable(before, before.options, self, self.extra)
        after = changed(before, self, merged(before.extra, self.extra))
        after = msgspec.structs.replace(after, options=merged(before.options, self.options))
        _expect_free(tx, after.name, self.domain_id)
        tx.put(after)


class DeleteDomain(Command, frozen=True, kw_only=True, tag="domain.delete.1"):
    """The domain goes, and with it its users, groups, projects and roles. It must have been disabled first."""

    TOLD: ClassVar[str] = "deleted the domain {domain_id}"

    FREES_ROOM: ClassVar[bool] = True

    domain_id: DomainId

    def apply(self, tx: Transaction) -> None:
        domain = tx.need(Domain, self.domain_id)
        expect_mutable(domain, domain.options, None, {})
        if domain.enabled:
            raise Forbidden("Cannot delete a domain that is enabled, please disable it first.")
        for project in tx.find(Project, "domain_id", self.domain_id):
            remove_project(tx, project)
        for user in tx.find(User, "domain_id", self.domain_id):
            remove_user(tx, user)
        for group in tx.find(Group, "domain_id", self.domain_id):
            remove_group(tx, group)
        for role in tx.all(Role):
            if role.domain_id == self.domain_id:
                remove_role(tx, role)
        forget_target(tx, self.domain_id)
        forget_config(tx, self.domain_id)
        forget_limits(tx, self.domain_id)
        forget_providers(tx, self.domain_id)
        tx.delete(Domain, self.domain_id)


def _expect_free(view: View, name: str, domain_id: str) -> None:
    if any(other.id != domain_id for other in view.find(Domain, "name", name)):
        raise Conflict(
            "Conflict occurred attempting to store domain - it is not permitted to have two domains with the same"
            f" name : {name}."
        )
