"""Answers /services."""

from typing import Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden
from noded.core.route import Allow, Done, Request, Response, Route
from noded.gateway.catalog import Catalog
from noded.identity.attributes import Name255, Text, read
from noded.identity.listing import chosen, listed
from noded.identity.offers import all_services, need_service, service_body
from noded.identity.services.commands import CreateService, DeleteService, UpdateService
from noded.identity.views import link


class ServiceBody(msgspec.Struct, frozen=True):
    """`{"service": {...}}`."""

    service: dict[str, Any]


class ServiceForm(msgspec.Struct, frozen=True):
    """A new service."""

    type: Name255
    name: Name255 | None = None
    description: Text | None = None
    enabled: bool = True


class ServiceChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    type: Name255 | msgspec.UnsetType = msgspec.UNSET
    name: Name255 | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


async def create_service(request: Request) -> Response:
    """POST /services."""
    form, extra = read((await request.json(ServiceBody)).service, ServiceForm)
    service_id = new_hex_id()
    await request.cluster.propose(
        CreateService(
            service_id=service_id,
            type=form.type,
            name=form.name or "",
            description=form.description,
            enabled=form.enabled,
            extra=extra,
        )
    )
    return _answer(request, service_id)


async def list_services(request: Request) -> Response:
    """GET /services, by `type` and `name`."""
    services = all_services(request.cluster.view(), request.driver(Catalog))
    entries = [service_body(request.base_url, service) for service in services]
    found = chosen(entries, request.query, ("type", "name"))
    return listed(request, "services", found, link(request.base_url, "services"))


async def show_service(request: Request) -> Response:
    """GET /services/{service_id}."""
    return _answer(request, request.params["service_id"])


async def update_service(request: Request) -> Response:
    """PATCH /services/{service_id}."""
    change, extra = read((await request.json(ServiceBody)).service, ServiceChange)
    service_id = request.params["service_id"]
    _expect_stored(request, service_id, "changed")
    await request.cluster.propose(
        UpdateService(
            service_id=service_id,
            type=change.type,
            name=change.name,
            description=change.description,
            enabled=change.enabled,
            extra=extra,
        )
    )
    return _answer(request, service_id)


async def delete_service(request: Request) -> Response:
    """DELETE /services/{service_id}."""
    _expect_stored(request, request.params["service_id"], "deleted")
    await request.cluster.propose(DeleteService(service_id=request.params["service_id"]))
    return Response()


def _expect_stored(request: Request, service_id: str, deed: str) -> None:
    service = need_service(request.cluster.view(), request.driver(Catalog), service_id)
    if service.own:
        raise Forbidden(f"The service {service.record.name} can't be {deed}: every node of this cloud serves it.")


def _answer(request: Request, service_id: str) -> Response:
    service = need_service(request.cluster.view(), request.driver(Catalog), service_id)
    return Response(body={"service": service_body(request.base_url, service)})


_ONE = "/services/{service_id}"

ROUTES = (
    Route(verb="POST", path="/services", handler=create_service, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/services", handler=list_services, allow=Allow.OVERSEER),
    Route(verb="GET", path=_ONE, handler=show_service, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_ONE, handler=update_service, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_service, allow=Allow.ADMIN, done=Done.EMPTY),
)
