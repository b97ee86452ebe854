"""Orders about services that no daemon serves."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.store import Transaction
from noded.identity.attributes import changed, merged
from noded.identity.endpoints.commands import remove_endpoints_of
from noded.identity.limits.commands import forget_service as forget_limits
from noded.identity.places import StoredService
from noded.identity.policies.commands import forget_service


class CreateService(Command, frozen=True, kw_only=True, tag="catalog_service.create.1"):
    """The catalogue lists one more API."""

    TOLD: ClassVar[str] = "created the service {name} of type {type}"

    service_id: str
    type: str
    name: str = ""
    description: str | None = None
    enabled: bool = True
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        tx.put(
            StoredService(
                id=self.service_id,
                type=self.type,
                name=self.name,
                description=self.description,
                enabled=self.enabled,
                extra=self.extra,
            )
        )


class UpdateService(Command, frozen=True, kw_only=True, tag="catalog_service.update.1"):
    """What shall be different from now on."""

    TOLD: ClassVar[str] = "changed the service {service_id}"

    service_id: str
    type: str | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)

    def apply(self, tx: Transaction) -> None:
        before = tx.need(StoredService, self.service_id)
        tx.put(changed(before, self, merged(before.extra, self.extra)))


class DeleteService(Command, frozen=True, kw_only=True, tag="catalog_service.delete.1"):
    """The service goes, with its endpoints."""

    TOLD: ClassVar[str] = "deleted the service {service_id}"

    FREES_ROOM: ClassVar[bool] = True

    service_id: str

    def apply(self, tx: Transaction) -> None:
        service = tx.need(StoredService, self.service_id)
        remove_endpoints_of(tx, service.id)
        forget_service(tx, service.id)
        forget_limits(tx, service.id)
        tx.delete(StoredService, service.id)
