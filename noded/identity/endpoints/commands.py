"""Orders about endpoints that were told of by hand."""

from typing import Any, ClassVar

import msgspec

from noded.core.command import Command
from noded.core.errors import Invalid
from noded.core.store import Transaction
from noded.identity.attributes import changed, merged
from noded.identity.endpoint_filters.commands import forget_endpoint as forget_filters
from noded.identity.places import Region, StoredEndpoint, StoredService, region_of
from noded.identity.policies.commands import forget_endpoint as forget_policies


class CreateEndpoint(Command, frozen=True, kw_only=True, tag="catalog_endpoint.create.1"):
    """A service has one more address.

    `new_region`: a region that is not there yet is made. `own_service`: the service is one of the daemon's own, which
    has no record.
    """

    TOLD: ClassVar[str] = "created the {interface} endpoint {url} of service {service_id}"

    endpoint_id: str
    service_id: str
    interface: str
    url: str
    region_id: str | None = None
    enabled: bool = True
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    new_region: bool = False
    own_service: bool = False

    def apply(self, tx: Transaction) -> None:
        _expect_sides(tx, self.service_id, self.region_id, own_service=self.own_service, new_region=self.new_region)
        tx.put(
            StoredEndpoint(
                id=self.endpoint_id,
                service_id=self.service_id,
                interface=self.interface,
                url=self.url,
                region_id=self.region_id,
                enabled=self.enabled,
                extra=self.extra,
            )
        )


class UpdateEndpoint(Command, frozen=True, kw_only=True, tag="catalog_endpoint.update.1"):
    """What shall be different from now on. `own_service` as when it was made."""

    TOLD: ClassVar[str] = "changed the endpoint {endpoint_id}"

    endpoint_id: str
    service_id: str | msgspec.UnsetType = msgspec.UNSET
    interface: str | msgspec.UnsetType = msgspec.UNSET
    url: str | msgspec.UnsetType = msgspec.UNSET
    region_id: str | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    extra: dict[str, Any] = msgspec.field(default_factory=dict)
    new_region: bool = False
    own_service: bool = False

    def apply(self, tx: Transaction) -> None:
        before = tx.need(StoredEndpoint, self.endpoint_id)
        after = changed(before, self, merged(before.extra, self.extra))
        own = self.own_service or after.service_id == before.service_id
        _expect_sides(tx, after.service_id, after.region_id, own_service=own, new_region=self.new_region)
        tx.put(after)


class DeleteEndpoint(Command, frozen=True, kw_only=True, tag="catalog_endpoint.delete.1"):
    """The address goes."""

    TOLD: ClassVar[str] = "deleted the endpoint {endpoint_id}"

    FREES_ROOM: ClassVar[bool] = True

    endpoint_id: str

    def apply(self, tx: Transaction) -> None:
        _remove(tx, tx.need(StoredEndpoint, self.endpoint_id))


def remove_endpoints_of(tx: Transaction, service_id: str) -> None:
    """The service goes: so do its addresses."""
    for endpoint in tx.find(StoredEndpoint, "service_id", service_id):
        _remove(tx, endpoint)


def _remove(tx: Transaction, endpoint: StoredEndpoint) -> None:
    forget_filters(tx, endpoint.id)
    forget_policies(tx, endpoint.id)
    tx.delete(StoredEndpoint, endpoint.id)


def _expect_sides(
    tx: Transaction, service_id: str, region_id: str | None, *, own_service: bool, new_region: bool
) -> None:
    if not own_service and tx.get(StoredService, service_id) is None:
        raise Invalid(f"No service {service_id} is known: `service_id` must name one that GET /v3/services lists.")
    if region_id is None or region_of(tx, region_id) is not None:
        return
    if not new_region:
        raise Invalid(f"No region {region_id} is known: `region_id` must name one that GET /v3/regions lists.")
    tx.put(Region(id=region_id))
