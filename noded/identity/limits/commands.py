"""Orders about limits."""

from typing import ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, Invalid
from noded.core.store import Transaction
from noded.identity.limits.model import Limit, RegisteredLimit, limits_of, registered_for
from noded.identity.model import Domain, Project
from noded.identity.places import region_of


class CreateRegisteredLimits(Command, frozen=True, kw_only=True, tag="registered_limit.create.1"):
    """Resources get a limit for everybody: all of them, or none."""

    TOLD: ClassVar[str] = "registered limits of resources"

    limits: tuple[RegisteredLimit, ...]

    def apply(self, tx: Transaction) -> None:
        for limit in self.limits:
            _expect_region(tx, limit.region_id, "registered_limit")
            _expect_unregistered(tx, limit)
            tx.put(limit)


class UpdateRegisteredLimit(Command, frozen=True, kw_only=True, tag="registered_limit.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the registered limit {limit_id}"

    limit_id: str
    service_id: str | msgspec.UnsetType = msgspec.UNSET
    region_id: str | msgspec.UnsetType | None = msgspec.UNSET
    resource_name: str | msgspec.UnsetType = msgspec.UNSET
    default_limit: int | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET

    def apply(self, tx: Transaction) -> None:
        before = tx.need(RegisteredLimit, self.limit_id)
        names = ("service_id", "region_id", "resource_name", "default_limit", "description")
        values = {name: value for name in names if (value := getattr(self, name)) is not msgspec.UNSET}
        after = msgspec.structs.replace(before, **values)
        if (after.service_id, after.region_id, after.resource_name) != (
            before.service_id,
            before.region_id,
            before.resource_name,
        ):
            _expect_unused(tx, before)
            _expect_region(tx, after.region_id, "registered_limit")
            _expect_unregistered(tx, after)
        tx.put(after)


class DeleteRegisteredLimit(Command, frozen=True, kw_only=True, tag="registered_limit.delete.1"):
    """The resource has no limit any more. No project's or domain's limit may stand in its place."""

    TOLD: ClassVar[str] = "deleted the registered limit {limit_id}"

    FREES_ROOM: ClassVar[bool] = True

    limit_id: str

    def apply(self, tx: Transaction) -> None:
        _expect_unused(tx, tx.need(RegisteredLimit, self.limit_id))
        tx.delete(RegisteredLimit, self.limit_id)


class CreateLimits(Command, frozen=True, kw_only=True, tag="limit.create.1"):
    """Projects or domains get limits of their own: all of them, or none."""

    TOLD: ClassVar[str] = "set limits of projects or domains"

    limits: tuple[Limit, ...]

    def apply(self, tx: Transaction) -> None:
        for limit in self.limits:
            _expect_sides(tx, limit)
            if any(_place(other) == _place(limit) for other in tx.find(Limit, "resource_name", limit.resource_name)):
                raise Conflict("Conflict occurred attempting to store limit - Duplicate entry.")
            tx.put(limit)


class UpdateLimit(Command, frozen=True, kw_only=True, tag="limit.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the limit {limit_id}"

    limit_id: str
    resource_limit: int | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET

    def apply(self, tx: Transaction) -> None:
        before = tx.need(Limit, self.limit_id)
        tx.put(
            msgspec.structs.replace(
                before,
                resource_limit=before.resource_limit if self.resource_limit is msgspec.UNSET else self.resource_limit,
                description=before.description if self.description is msgspec.UNSET else self.description,
            )
        )


class DeleteLimit(Command, frozen=True, kw_only=True, tag="limit.delete.1"):
    """The registered limit holds again."""

    TOLD: ClassVar[str] = "deleted the limit {limit_id}"

    FREES_ROOM: ClassVar[bool] = True

    limit_id: str

    def apply(self, tx: Transaction) -> None:
        tx.need(Limit, self.limit_id)
        tx.delete(Limit, self.limit_id)


def forget_project(tx: Transaction, project_id: str) -> None:
    """The project goes: so do its limits."""
    _forget(tx, "project_id", project_id)


def forget_domain(tx: Transaction, domain_id: str) -> None:
    """The domain goes: so do its limits."""
    _forget(tx, "domain_id", domain_id)


def forget_service(tx: Transaction, service_id: str) -> None:
    """The service goes: so do all limits of its resources."""
    _forget(tx, "service_id", service_id)
    for registered in tx.find(RegisteredLimit, "service_id", service_id):
        tx.delete(RegisteredLimit, registered.id)


def _forget(tx: Transaction, field: str, value: str) -> None:
    for limit in tx.find(Limit, field, value):
        tx.delete(Limit, limit.id)


def _place(limit: Limit) -> tuple[str | None, ...]:
    return limit.service_id, limit.region_id, limit.resource_name, limit.project_id, limit.domain_id


def _expect_region(tx: Transaction, region_id: str | None, target: str) -> None:
    if region_id is not None and region_of(tx, region_id) is None:
        raise Invalid(f"Expecting to find a valid region_id in {target}: no region {region_id} is known.")


def _expect_unregistered(tx: Transaction, limit: RegisteredLimit) -> None:
    other = registered_for(tx, limit.service_id, limit.region_id, limit.resource_name)
    if other is not None and other.id != limit.id:
        raise Conflict("Conflict occurred attempting to store registered_limit - Duplicate entry.")


def _expect_unused(tx: Transaction, registered: RegisteredLimit) -> None:
    if limits_of(tx, registered):
        raise Forbidden(
            f"Unable to update or delete registered limit {registered.id} because there are project limits associated"
            " with it."
        )


def _expect_sides(tx: Transaction, limit: Limit) -> None:
    _expect_region(tx, limit.region_id, "limit")
    if limit.project_id is not None and tx.get(Project, limit.project_id) is None:
        raise Invalid(f"Expecting to find a valid project_id in limit: no project {limit.project_id} is known.")
    if limit.domain_id is not None and tx.get(Domain, limit.domain_id) is None:
        raise Invalid(f"Expecting to find a valid domain_id in limit: no domain {limit.domain_id} is known.")
    if registered_for(tx, limit.service_id, limit.region_id, limit.resource_name) is None:
        raise Forbidden("Unable to create a limit that has no corresponding registered limit.")
