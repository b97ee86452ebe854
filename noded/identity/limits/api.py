"""Answers /limits and /limits/model."""

from typing import Annotated

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, Invalid
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View
from noded.gateway.catalog import Catalog
from noded.identity.attributes import Name255, Text
from noded.identity.limits.commands import CreateLimits, DeleteLimit, UpdateLimit
from noded.identity.limits.model import Limit
from noded.identity.limits.views import MODEL, Amount, limit_body
from noded.identity.listing import chosen, listed
from noded.identity.model import Project
from noded.identity.offers import knows_service
from noded.identity.views import link

_FIELDS = ("service_id", "region_id", "resource_name", "project_id", "domain_id")


class LimitForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new limit, of a project or of a domain."""

    service_id: Name255
    resource_name: Name255
    resource_limit: Amount
    region_id: Name255 | None = None
    project_id: Name255 | None = None
    domain_id: Name255 | None = None
    description: Text | None = None


class LimitsBody(msgspec.Struct, frozen=True):
    """`{"limits": [...]}`."""

    limits: Annotated[tuple[LimitForm, ...], msgspec.Meta(min_length=1, max_length=1000)]


class LimitChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be different."""

    resource_limit: Amount | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET


class LimitBody(msgspec.Struct, frozen=True):
    """`{"limit": {...}}`."""

    limit: LimitChange


async def create_limits(request: Request) -> Response:
    """POST /limits."""
    forms = (await request.json(LimitsBody)).limits
    view, catalog = request.cluster.view(), request.driver(Catalog)
    for form in forms:
        if (form.project_id is None) == (form.domain_id is None):
            raise Invalid("Invalid input: a limit is for one project (`project_id`) or for one domain (`domain_id`).")
        if not knows_service(view, catalog, form.service_id):
            raise Invalid(f"Expecting to find a valid service_id in limit: no service {form.service_id} is known.")
    limits = tuple(
        Limit(
            id=new_hex_id(),
            service_id=form.service_id,
            resource_name=form.resource_name,
            resource_limit=form.resource_limit,
            region_id=form.region_id,
            project_id=form.project_id,
            domain_id=form.domain_id,
            description=form.description,
        )
        for form in forms
    )
    await request.cluster.propose(CreateLimits(limits=limits))
    return Response(body={"limits": [limit_body(request.base_url, each) for each in limits]})


async def list_limits(request: Request) -> Response:
    """GET /limits: all for administrators and services, else those of the token's project or domain."""
    view, caller = request.cluster.view(), request.caller
    found = [limit for limit in view.all(Limit) if _may_see(view, caller, limit)]
    entries = chosen([limit_body(request.base_url, each) for each in found], request.query, _FIELDS)
    return listed(request, "limits", entries, link(request.base_url, "limits"))


async def show_limit(request: Request) -> Response:
    """GET /limits/{limit_id}."""
    view, caller = request.cluster.view(), request.caller
    limit = view.get(Limit, request.params["limit_id"])
    if not _sees_all(caller) and (limit is None or not _may_see(view, caller, limit)):
        raise Forbidden("You are not authorized to perform this: it is not a limit of your project or domain.")
    return _answer(request, request.params["limit_id"])


async def update_limit(request: Request) -> Response:
    """PATCH /limits/{limit_id}."""
    change = (await request.json(LimitBody)).limit
    limit_id = request.params["limit_id"]
    await request.cluster.propose(
        UpdateLimit(limit_id=limit_id, resource_limit=change.resource_limit, description=change.description)
    )
    return _answer(request, limit_id)


async def delete_limit(request: Request) -> Response:
    """DELETE /limits/{limit_id}."""
    await request.cluster.propose(DeleteLimit(limit_id=request.params["limit_id"]))
    return Response()


async def show_model(request: Request) -> Response:
    """GET /limits/model: a project's limit counts by itself, whatever stands above it."""
    return Response(body={"model": MODEL, "links": {"self": link(request.base_url, "limits", "model")}})


def _sees_all(caller: Caller) -> bool:
    return caller.is_system or not caller.roles.isdisjoint({"admin", "service"})


def _may_see(view: View, caller: Caller, limit: Limit) -> bool:
    if _sees_all(caller):
        return True
    if caller.domain_id is not None:
        project = None if limit.project_id is None else view.get(Project, limit.project_id)
        return caller.domain_id in (limit.domain_id, None if project is None else project.domain_id)
    return caller.project_id is not None and caller.project_id == limit.project_id


def _answer(request: Request, limit_id: str) -> Response:
    limit = request.cluster.view().need(Limit, limit_id)
    return Response(body={"limit": limit_body(request.base_url, limit)})


_ONE = "/limits/{limit_id}"

ROUTES = (
    Route(verb="POST", path="/limits", handler=create_limits, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/limits", handler=list_limits, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path="/limits/model", handler=show_model, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=_ONE, handler=show_limit, allow=Allow.ANY_TOKEN),
    Route(verb="PATCH", path=_ONE, handler=update_limit, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_ONE, handler=delete_limit, allow=Allow.ADMIN, done=Done.EMPTY),
)
