"""Answers /domains."""

from typing import Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden
from noded.core.ids import DomainId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity import views
from noded.identity.attributes import Name64, ResourceOptions, Text, read, told_options
from noded.identity.domains.commands import CreateDomain, DeleteDomain, UpdateDomain
from noded.identity.listing import listed
from noded.identity.model import DEFAULT_DOMAIN, Domain
from noded.identity.overseeing import expect_sight


class DomainBody(msgspec.Struct, frozen=True):
    """`{"domain": {...}}`."""

    domain: dict[str, Any]


class DomainForm(msgspec.Struct, frozen=True):
    """A new domain."""

    name: Name64
    description: Text | None = None
    enabled: bool = True
    options: ResourceOptions | msgspec.UnsetType = msgspec.UNSET


class DomainChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    name: Name64 | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    options: ResourceOptions | msgspec.UnsetType = msgspec.UNSET


async def create_domain(request: Request) -> Response:
    """POST /domains."""
    form, extra = read((await request.json(DomainBody)).domain, DomainForm)
    domain_id = DomainId(new_hex_id())
    await request.cluster.propose(
        CreateDomain(
            domain_id=domain_id,
            name=form.name,
            description=form.description or "",
            enabled=form.enabled,
            extra=extra,
            options=told_options(form.options),
        )
    )
    return _answer(request, domain_id)


async def list_domains(request: Request) -> Response:
    """GET /domains, by `name` and `enabled`."""
    view, query = request.cluster.view(), request.query
    found = view.find(Domain, "name", query["name"]) if "name" in query else view.all(Domain)
    only = request.caller.domain_id
    entries = [views.domain(request.base_url, domain) for domain in found if only in (None, domain.id)]
    return listed(request, "domains", entries, views.link(request.base_url, "domains"), "name", "enabled")


async def show_domain(request: Request) -> Response:
    """GET /domains/{domain_id}: for who oversees it, and for who is in it."""
    view, id = request.cluster.view(), request.params["domain_id"]
    if id != request.caller.user_domain_id or request.caller.domain_id is not None:
        expect_sight(request.caller, id if view.get(Domain, id) is not None else None)
    return Response(body={"domain": views.domain(request.base_url, view.need(Domain, id))})


async def update_domain(request: Request) -> Response:
    """PATCH /domains/{domain_id}."""
    change, extra = read((await request.json(DomainBody)).domain, DomainChange)
    before = request.cluster.view().need(Domain, request.params["domain_id"])
    if before.id == DEFAULT_DOMAIN and change.enabled is False:
        raise Forbidden("The default domain can't be disabled: the cloud's administrators sign in there.")
    await request.cluster.propose(
        UpdateDomain(
            domain_id=before.id,
            name=change.name,
            description="" if change.description is None else change.description,
            enabled=change.enabled,
            extra=extra,
            options=told_options(change.options),
        )
    )
    return _answer(request, before.id)


async def delete_domain(request: Request) -> Response:
    """DELETE /domains/{domain_id}."""
    await request.cluster.propose(DeleteDomain(domain_id=DomainId(request.params["domain_id"])))
    return Response()


def _answer(request: Request, domain_id: DomainId) -> Response:
    domain = request.cluster.view().need(Domain, domain_id)
    return Response(body={"domain": views.domain(request.base_url, domain)})


_ONE = "/domains/{domain_id}"

ROUTES = (
    Route(verb="POST", path="/domains", handler=create_domain, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/domains", handler=list_domains, allow=Allow.DOMAIN_READER),
    Route(verb="GET", path="/domains/{domain_id}", handler=show_domain, allow=Allow.ANY_TOKEN),
    Route(verb="PATCH", path=_ONE, handler=update_domain, allow=Allow.ADMIN, sought=(Domain, "domain_id")),
    Route(verb="DELETE", path="/domains/{domain_id}", handler=delete_domain, allow=Allow.ADMIN, done=Done.EMPTY),
)
