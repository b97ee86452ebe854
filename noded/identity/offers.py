"""What does the catalogue list? The APIs that this daemon serves and those told of by hand, as one list. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from noded.core.ids import ProjectId
from noded.core.store import View
from noded.gateway.catalog import Catalog, CatalogEndpoint, CatalogService
from noded.identity.places import (
    OWN_REGION,
    EndpointGroup,
    EndpointLink,
    StoredEndpoint,
    StoredService,
)
from noded.identity.views import link


@dataclass(frozen=True, slots=True)
class OfferedService:
    """A service. `own`: the daemons serve it, so there is no record to change."""

    record: StoredService
    own: bool


@dataclass(frozen=True, slots=True)
class OfferedEndpoint:
    """An endpoint. `own`: the daemons answer there; its address is below the one by which the client came."""

    record: StoredEndpoint
    own: bool

    def url(self, base_url: str) -> str:
        """The address, placeholders still in it."""
        return base_url + self.record.url if self.own else self.record.url


def all_services(view: View, catalog: Catalog) -> list[OfferedService]:
    """Every service, the daemons' own ones first."""
    own = (OfferedService(_service_record(each), own=True) for each in catalog.services)
    return [*own, *(OfferedService(each, own=False) for each in view.all(StoredService))]


def need_service(view: View, catalog: Catalog, service_id: str) -> OfferedService:
    """The service of that id; raises `NotFound`."""
    for each in catalog.services:
        if each.id == service_id:
            return OfferedService(_service_record(each), own=True)
    return OfferedService(view.need(StoredService, service_id), own=False)


def is_own(catalog: Catalog, service_id: str) -> bool:
    """Whether the daemons serve it."""
    return any(each.id == service_id for each in catalog.services)


def knows_service(view: View, catalog: Catalog, service_id: str) -> bool:
    """Whether there is a service of that id."""
    return is_own(catalog, service_id) or view.get(StoredService, service_id) is not None


def all_endpoints(view: View, catalog: Catalog) -> list[OfferedEndpoint]:
    """Every endpoint, the daemons' own ones first."""
    own = (OfferedEndpoint(_endpoint_record(each), own=True) for each in _own_endpoints(catalog))
    return [*own, *(OfferedEndpoint(each, own=False) for each in view.all(StoredEndpoint))]


def need_endpoint(view: View, catalog: Catalog, endpoint_id: str) -> OfferedEndpoint:
    """The endpoint of that id; raises `NotFound`."""
    for each in _own_endpoints(catalog):
        if each.id == endpoint_id:
            return OfferedEndpoint(_endpoint_record(each), own=True)
    return OfferedEndpoint(view.need(StoredEndpoint, endpoint_id), own=False)


def endpoints_of_group(view: View, catalog: Catalog, group: EndpointGroup) -> list[OfferedEndpoint]:
    """The endpoints that are as the group's filters say."""
    return [each for each in all_endpoints(view, catalog) if _fits(each.record, group)]


def endpoints_seen_by(view: View, catalog: Catalog, project_id: str) -> list[OfferedEndpoint]:
    """The endpoints that a project was given, one by one or by groups; none if there is nothing of the kind."""
    links = view.find(EndpointLink, "project_id", project_id)
    if not links:
        return []
    one_by_one = {each.endpoint_id for each in links}
    groups = [view.need(EndpointGroup, each.group_id) for each in links if each.group_id is not None]
    return [
        each
        for each in all_endpoints(view, catalog)
        if each.record.id in one_by_one or any(_fits(each.record, group) for group in groups)
    ]


def catalogue(
    view: View, catalog: Catalog, base_url: str, user_id: str, project_id: ProjectId | None
) -> list[dict[str, object]]:
    """The catalogue as a token carries it.

    What is disabled is left out, and addresses that name a project where the token has none. A project that was given
    endpoints sees those alone.
    """
    seen = [] if project_id is None else endpoints_seen_by(view, catalog, project_id)
    if not seen and view.count(StoredService) == 0 and view.count(StoredEndpoint) == 0:
        return catalog.entries(base_url, project_id)
    by_service: dict[str, list[dict[str, object]]] = {}
    left_out: set[str] = set()
    for endpoint in seen or all_endpoints(view, catalog):
        address = _filled_in(endpoint.url(base_url), user_id, project_id)
        if address is None:
            left_out.add(endpoint.record.service_id)
        elif endpoint.record.enabled:
            by_service.setdefault(endpoint.record.service_id, []).append(_entry(endpoint.record, address))
    return [
        {
            "id": service.record.id,
            "type": service.record.type,
            "name": service.record.name,
            "endpoints": by_service.get(service.record.id, []),
        }
        for service in all_services(view, catalog)
        if service.record.enabled
        and (service.record.id in by_service or (not seen and service.record.id not in left_out))
    ]


def service_body(base_url: str, service: OfferedService) -> dict[str, object]:
    """A service, as the API writes it."""
    record = service.record
    body: dict[str, object] = {
        **record.extra,
        "id": record.id,
        "type": record.type,
        "name": record.name,
        "enabled": record.enabled,
        "links": {"self": link(base_url, "services", record.id)},
    }
    if record.description is not None:
        body["description"] = record.description
    return body


def endpoint_body(base_url: str, endpoint: OfferedEndpoint) -> dict[str, object]:
    """An endpoint, as the API writes it."""
    record = endpoint.record
    return {
        **record.extra,
        "id": record.id,
        "service_id": record.service_id,
        "interface": record.interface,
        "region": record.region_id,
        "region_id": record.region_id,
        "url": endpoint.url(base_url),
        "enabled": record.enabled,
        "links": {"self": link(base_url, "endpoints", record.id)},
    }


def _entry(record: StoredEndpoint, address: str) -> dict[str, object]:
    return {
        "id": record.id,
        "interface": record.interface,
        "region": record.region_id,
        "region_id": record.region_id,
        "url": address,
    }


def _filled_in(url: str, user_id: str, project_id: str | None) -> str | None:
    """The address with user and project in their places; None if it names a project and there is none."""
    if "(" not in url:
        return url
    for mark in ("%", "$"):
        url = url.replace(f"{mark}(user_id)s", user_id)
        for name in ("project_id", "tenant_id"):
            word = f"{mark}({name})s"
            if word in url and project_id is None:
                return None
            url = url.replace(word, project_id or "")
    return url


def _fits(record: StoredEndpoint, group: EndpointGroup) -> bool:
    has = {
        "interface": record.interface,
        "service_id": record.service_id,
        "region_id": record.region_id,
        "enabled": record.enabled,
    }
    return all(has.get(name) == value for name, value in group.filters.items())


def _own_endpoints(catalog: Catalog) -> Iterator[CatalogEndpoint]:
    for service in catalog.services:
        yield from service.endpoints


def _service_record(service: CatalogService) -> StoredService:
    return StoredService(id=service.id, type=service.type, name=service.name, description="")


def _endpoint_record(endpoint: CatalogEndpoint) -> StoredEndpoint:
    return StoredEndpoint(
        id=endpoint.id,
        service_id=endpoint.service_id,
        interface=endpoint.interface,
        url=endpoint.path.replace("{project_id}", "%(project_id)s"),
        region_id=OWN_REGION,
    )
