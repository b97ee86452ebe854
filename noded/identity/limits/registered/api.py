"""Answers /registered_limits."""

from typing import Annotated

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Invalid
from noded.core.route import Allow, Done, Request, Response, Route
from noded.gateway.catalog import Catalog
from noded.identity.attributes import Name255, Text
from noded.identity.limits.commands import CreateRegisteredLimits, DeleteRegisteredLimit, UpdateRegisteredLimit
from noded.identity.limits.model import RegisteredLimit
from noded.identity.limits.views import Amount, registered_body
from noded.identity.listing import chosen, listed
from noded.identity.offers import knows_service
from noded.identity.views import link

_FIELDS = ("service_id", "region_id", "resource_name")


class RegisteredForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new registered limit."""

    service_id: Name255
    resource_name: Name255
    default_limit: Amount
    region_id: Name255 | None = None
    description: Text | None = None


class RegisteredBody(msgspec.Struct, frozen=True):
    """`{"registered_limits": [...]}`."""

    registered_limits: Annotated[tuple[RegisteredForm, ...], msgspec.Meta(min_length=1, max_length=1000)]


class RegisteredChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different."""

    service_id: Name255 | msgspec.UnsetType = msgspec.UNSET
    resource_name: Name255 | msgspec.UnsetType = msgspec.UNSET
    default_limit: Amount | msgspec.UnsetType = msgspec.UNSET
    region_id: Name255 | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET


class RegisteredChangeBody(msgspec.Struct, frozen=True):
    """`{"registered_limit": {...}}`."""

    registered_limit: RegisteredChange


async def create_registered(request: Request) -> Response:
    """POST /registered_limits."""
    forms = (await request.json(RegisteredBody)).registered_limits
    for form in forms:
        _expect_service(request, form.service_id)
    limits = tuple(
        RegisteredLimit(
            id=new_hex_id(),
            service_id=form.service_id,
            resource_name=form.resource_name,
            default_limit=form.default_limit,
            region_id=form.region_id,
            description=form.description,
        )
        for form in forms
    )
    await request.cluster.propose(CreateRegisteredLimits(limits=limits))
    return Response(body={"registered_limits": [registered_body(request.base_url, each) for each in limits]})


async def list_registered(request: Request) -> Response:
    """GET /registered_limits, by `service_id`, `region_id` and `resource_name`."""
    found = request.cluster.view().all(RegisteredLimit)
    entries = chosen([registered_body(request.base_url, each) for each in found], request.query, _FIELDS)
    return listed(request, "registered_limits", entries, link(request.base_url, "registered_limits"))


async def show_registered(request: Request) -> Response:
    """GET /registered_limits/{limit_id}."""
    return _answer(request, request.params["limit_id"])


async def update_registered(request: Request) -> Response:
    """PATCH /registered_limits/{limit_id}."""
    change = (await request.json(RegisteredChangeBody)).registered_limit
    if change.service_id is not msgspec.UNSET:
        _expect_service(request, change.service_id)
    limit_id = request.params["limit_id"]
    await request.cluster.propose(
        UpdateRegisteredLimit(
            limit_id=limit_id,
            service_id=change.service_id,
            region_id=change.region_id,
            resource_name=change.resource_name,
            default_limit=change.default_limit,
            description=change.description,
        )
    )
    return _answer(request, limit_id)


async def delete_registered(request: Request) -> Response:
    """DELETE /registered_limits/{limit_id}."""
    await request.cluster.propose(DeleteRegisteredLimit(limit_id=request.params["limit_id"]))
    return Response()


def _expect_service(request: Request, service_id: str) -> None:
    if not knows_service(request.cluster.view(), request.driver(Catalog), service_id):
        raise Invalid(f"Expecting to find a valid service_id in registered_limit: no service {service_id} is known.")


def _answer(request: Request, limit_id: str) -> Response:
    limit = request.cluster.view().need(RegisteredLimit, limit_id)
    return Response(body={"registered_limit": registered_body(request.base_url, limit)})


_ALL = "/registered_limits"
_ONE = _ALL + "/{limit_id}"

ROUTES = (
    Route(verb="POST", path=_ALL, handler=create_registered, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_ALL, handler=list_registered, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=_ONE, handler=show_registered, allow=Allow.ANY_TOKEN),
    Route(verb="PATCH", path=_ONE, handler=update_registered, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_registered, allow=Allow.ADMIN, done=Done.EMPTY),
)
