"""Where are the APIs? The service catalogue, written with the address by which the client reached this node.

So it is right behind any name, tunnel or port, and stays right when a node's address changes.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from noded.core.ids import ProjectId
from noded.core.service import Endpoint, Service

REGION: Final = "RegionOne"
INTERFACES: Final = ("public", "internal", "admin")
_PROJECT: Final = "{project_id}"


@dataclass(frozen=True, slots=True)
class CatalogEndpoint:
    """One address of one API."""

    id: str
    interface: str
    service_id: str
    path: str  # may hold {project_id}


@dataclass(frozen=True, slots=True)
class CatalogService:
    """One API under one of its types; the ids follow from name and type, so every node says the same."""

    id: str
    type: str
    name: str
    endpoints: tuple[CatalogEndpoint, ...]


class Catalog:
    """Every API of the registered services."""

    def __init__(self, services: Iterable[Service]) -> None:
        endpoints: dict[str, Endpoint] = {}
        for service in services:
            if service.endpoint is not None and service.endpoint.in_catalog:
                endpoints.setdefault(service.endpoint.name, service.endpoint)
        self.services = tuple(_service(endpoint, word) for endpoint in endpoints.values() for word in endpoint.types)

    def entries(self, base_url: str, project_id: ProjectId | None) -> list[dict[str, object]]:
        """The catalogue as a token carries it; APIs whose address names a project are left out without one."""
        return [
            {
                "id": service.id,
                "type": service.type,
                "name": service.name,
                "endpoints": [
                    {
                        "id": endpoint.id,
                        "interface": endpoint.interface,
                        "region": REGION,
                        "region_id": REGION,
                        "url": url(endpoint, base_url, project_id),
                    }
                    for endpoint in service.endpoints
                ],
            }
            for service in self.services
            if project_id is not None or _PROJECT not in service.endpoints[0].path
        ]


def url(endpoint: CatalogEndpoint, base_url: str, project_id: ProjectId | None) -> str:
    """The address, with the project filled in where it names one."""
    path = endpoint.path if project_id is None else endpoint.path.replace(_PROJECT, project_id)
    return base_url + path


def _service(endpoint: Endpoint, word: str) -> CatalogService:
    service_id = _id("service", endpoint.name, word)
    path = endpoint.prefix if endpoint.catalog_path is None else endpoint.catalog_path
    places = (CatalogEndpoint(_id("endpoint", word, each), each, service_id, path) for each in INTERFACES)
    return CatalogService(service_id, word, endpoint.name, tuple(places))


def _id(*words: str) -> str:
    return hashlib.sha256("/".join(words).encode()).hexdigest()[:32]
