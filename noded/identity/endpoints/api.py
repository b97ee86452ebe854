"""Answers /endpoints."""

import re
from typing import Any, Final, Literal

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, Invalid
from noded.core.route import Allow, Done, Request, Response, Route
from noded.gateway.catalog import Catalog
from noded.identity.attributes import Id, Name255, Url, read
from noded.identity.endpoints.commands import CreateEndpoint, DeleteEndpoint, UpdateEndpoint
from noded.identity.listing import chosen, listed
from noded.identity.offers import all_endpoints, endpoint_body, is_own, need_endpoint
from noded.identity.views import link

Interface = Literal["admin", "internal", "public"]

_PLACEHOLDER: Final = re.compile(r"[%$]\((?P<name>[^)]*)\)(?P<kind>.?)")
_FILLED_IN: Final = frozenset({"project_id", "tenant_id", "user_id"})


class EndpointBody(msgspec.Struct, frozen=True):
    """`{"endpoint": {...}}`."""

    endpoint: dict[str, Any]


class EndpointForm(msgspec.Struct, frozen=True):
    """A new endpoint. `region` is the older word for `region_id`, and makes a region that is not there."""

    service_id: Id
    interface: Interface
    url: Url
    region_id: Name255 | None = None
    region: Name255 | None = None
    enabled: bool = True


class EndpointChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    service_id: Id | msgspec.UnsetType = msgspec.UNSET
    interface: Interface | msgspec.UnsetType = msgspec.UNSET
    url: Url | msgspec.UnsetType = msgspec.UNSET
    region_id: Name255 | msgspec.UnsetType | None = msgspec.UNSET
    region: Name255 | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET


async def create_endpoint(request: Request) -> Response:
    """POST /endpoints."""
    form, extra = read((await request.json(EndpointBody)).endpoint, EndpointForm)
    _expect_sound(form.url)
    endpoint_id = new_hex_id()
    await request.cluster.propose(
        CreateEndpoint(
            endpoint_id=endpoint_id,
            service_id=form.service_id,
            interface=form.interface,
            url=form.url,
            region_id=form.region_id or form.region,
            enabled=form.enabled,
            extra=extra,
            new_region=form.region_id is None and form.region is not None,
            own_service=is_own(request.driver(Catalog), form.service_id),
        )
    )
    return _answer(request, endpoint_id)


async def list_endpoints(request: Request) -> Response:
    """GET /endpoints, by `service_id`, `interface` and `region_id`."""
    endpoints = all_endpoints(request.cluster.view(), request.driver(Catalog))
    entries = [endpoint_body(request.base_url, endpoint) for endpoint in endpoints]
    found = chosen(entries, request.query, ("service_id", "interface", "region_id"))
    return listed(request, "endpoints", found, link(request.base_url, "endpoints"))


async def show_endpoint(request: Request) -> Response:
    """GET /endpoints/{endpoint_id}."""
    return _answer(request, request.params["endpoint_id"])


async def update_endpoint(request: Request) -> Response:
    """PATCH /endpoints/{endpoint_id}."""
    change, extra = read((await request.json(EndpointBody)).endpoint, EndpointChange)
    endpoint_id = request.params["endpoint_id"]
    _expect_stored(request, endpoint_id, "changed")
    if change.url is not msgspec.UNSET:
        _expect_sound(change.url)
    by_old_word = change.region_id in (msgspec.UNSET, None) and change.region not in (msgspec.UNSET, None)
    await request.cluster.propose(
        UpdateEndpoint(
            endpoint_id=endpoint_id,
            service_id=change.service_id,
            interface=change.interface,
            url=change.url,
            region_id=change.region if by_old_word else change.region_id,
            enabled=change.enabled,
            extra=extra,
            new_region=by_old_word,
            own_service=change.service_id is not msgspec.UNSET and is_own(request.driver(Catalog), change.service_id),
        )
    )
    return _answer(request, endpoint_id)


async def delete_endpoint(request: Request) -> Response:
    """DELETE /endpoints/{endpoint_id}."""
    _expect_stored(request, request.params["endpoint_id"], "deleted")
    await request.cluster.propose(DeleteEndpoint(endpoint_id=request.params["endpoint_id"]))
    return Response()


def _expect_sound(url: str) -> None:
    """Only what the catalogue can fill in may stand in an address."""
    for found in _PLACEHOLDER.finditer(url):
        if found["name"] not in _FILLED_IN or found["kind"] != "s":
            raise Invalid(
                f"Malformed endpoint URL ({url}): {found[0]} can't be filled in; %(project_id)s and %(user_id)s can."
            )


def _expect_stored(request: Request, endpoint_id: str, deed: str) -> None:
    if need_endpoint(request.cluster.view(), request.driver(Catalog), endpoint_id).own:
        raise Forbidden(f"The endpoint {endpoint_id} can't be {deed}: it is where this cloud's own nodes answer.")


def _answer(request: Request, endpoint_id: str) -> Response:
    endpoint = need_endpoint(request.cluster.view(), request.driver(Catalog), endpoint_id)
    return Response(body={"endpoint": endpoint_body(request.base_url, endpoint)})


_ONE = "/endpoints/{endpoint_id}"

ROUTES = (
    Route(verb="POST", path="/endpoints", handler=create_endpoint, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/endpoints", handler=list_endpoints, allow=Allow.OVERSEER),
    Route(verb="GET", path=_ONE, handler=show_endpoint, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_ONE, handler=update_endpoint, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_endpoint, allow=Allow.ADMIN, done=Done.EMPTY),
)
