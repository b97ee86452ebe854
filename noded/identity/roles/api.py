"""Answers /roles and what they imply."""

from typing import Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden
from noded.core.ids import DomainId, RoleId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.store import View
from noded.identity import views
from noded.identity.attributes import Id, Name255, ResourceOptions, Text, read, told_options
from noded.identity.listing import listed
from noded.identity.model import Role
from noded.identity.roles.commands import (
    CreateRole,
    DeleteRole,
    ImplyRole,
    StopImplyingRole,
    UpdateRole,
    need_implication,
)


class RoleBody(msgspec.Struct, frozen=True):
    """`{"role": {...}}`."""

    role: dict[str, Any]


class RoleForm(msgspec.Struct, frozen=True):
    """A new role."""

    name: Name255
    domain_id: Id | None = None
    description: Text | None = None
    options: ResourceOptions | msgspec.UnsetType = msgspec.UNSET


class RoleChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    name: Name255 | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    options: ResourceOptions | msgspec.UnsetType = msgspec.UNSET


async def create_role(request: Request) -> Response:
    """POST /roles."""
    form, extra = read((await request.json(RoleBody)).role, RoleForm)
    role_id = RoleId(new_hex_id())
    await request.cluster.propose(
        CreateRole(
            role_id=role_id,
            name=form.name,
            domain_id=DomainId(form.domain_id) if form.domain_id else None,
            description=form.description,
            extra=extra,
            options=told_options(form.options),
        )
    )
    return _answer(request, role_id)


async def list_roles(request: Request) -> Response:
    """GET /roles, by `name` and `domain_id`; without the latter only roles of no domain, as Keystone."""
    view, query = request.cluster.view(), request.query
    _expect_sight(request, None if "domain_id" not in query else DomainId(query["domain_id"]))
    found = view.find(Role, "name", query["name"]) if "name" in query else view.all(Role)
    entries = [views.role(request.base_url, role) for role in found if role.domain_id == query.get("domain_id")]
    return listed(request, "roles", entries, views.link(request.base_url, "roles"), "name")


async def show_role(request: Request) -> Response:
    """GET /roles/{role_id}."""
    role = request.cluster.view().need(Role, request.params["role_id"])
    _expect_sight(request, role.domain_id)
    return _answer(request, RoleId(request.params["role_id"]))


def _expect_sight(request: Request, domain_id: DomainId | None) -> None:
    """With a domain's token only its managers see roles, which they grant; and those of no domain alone."""
    caller = request.caller
    if caller.domain_id is not None and (domain_id is not None or "manager" not in caller.roles):
        raise Forbidden(
            "You are not authorized to perform this: with the token of a domain, its managers see the roles"
            " of no domain."
        )


async def update_role(request: Request) -> Response:
    """PATCH /roles/{role_id}."""
    change, extra = read((await request.json(RoleBody)).role, RoleChange)
    before = request.cluster.view().need(Role, request.params["role_id"])
    await request.cluster.propose(
        UpdateRole(
            role_id=before.id,
            name=change.name,
            description=change.description,
            extra=extra,
            options=told_options(change.options),
        )
    )
    return _answer(request, before.id)


async def delete_role(request: Request) -> Response:
    """DELETE /roles/{role_id}."""
    await request.cluster.propose(DeleteRole(role_id=RoleId(request.params["role_id"])))
    return Response()


async def imply_role(request: Request) -> Response:
    """PUT /roles/{prior_id}/implies/{implied_id}."""
    prior_id, implied_id = RoleId(request.params["prior_id"]), RoleId(request.params["implied_id"])
    await request.cluster.propose(ImplyRole(prior_id=prior_id, implied_id=implied_id))
    return _inference(request, prior_id, implied_id)


async def show_implied_role(request: Request) -> Response:
    """GET /roles/{prior_id}/implies/{implied_id}."""
    prior_id, implied_id = request.params["prior_id"], request.params["implied_id"]
    need_implication(request.cluster.view(), prior_id, implied_id)
    return _inference(request, prior_id, implied_id)


async def check_implied_role(request: Request) -> Response:
    """HEAD /roles/{prior_id}/implies/{implied_id}."""
    need_implication(request.cluster.view(), request.params["prior_id"], request.params["implied_id"])
    return Response()


async def stop_implying_role(request: Request) -> Response:
    """DELETE /roles/{prior_id}/implies/{implied_id}."""
    prior_id, implied_id = RoleId(request.params["prior_id"]), RoleId(request.params["implied_id"])
    await request.cluster.propose(StopImplyingRole(prior_id=prior_id, implied_id=implied_id))
    return Response()


async def list_implied_roles(request: Request) -> Response:
    """GET /roles/{prior_id}/implies."""
    view = request.cluster.view()
    prior = view.need(Role, request.params["prior_id"])
    links = {"self": views.link(request.base_url, "roles", prior.id, "implies")}
    return Response(body={"role_inference": _rule(request, view, prior), "links": links})


async def list_inferences(request: Request) -> Response:
    """GET /role_inferences: every rule."""
    view = request.cluster.view()
    rules = [_rule(request, view, role) for role in view.all(Role) if role.implies]
    links = {"self": views.link(request.base_url, "role_inferences")}
    return Response(body={"role_inferences": rules, "links": links})


def _rule(request: Request, view: View, prior: Role) -> dict[str, object]:
    implied = [view.need(Role, role_id) for role_id in prior.implies]
    return {
        "prior_role": _short(request, prior),
        "implies": [_short(request, role) for role in sorted(implied, key=lambda role: role.name)],
    }


def _inference(request: Request, prior_id: str, implied_id: str) -> Response:
    view = request.cluster.view()
    rule = {
        "prior_role": _short(request, view.need(Role, prior_id)),
        "implies": _short(request, view.need(Role, implied_id)),
    }
    links = {"self": views.link(request.base_url, "roles", prior_id, "implies", implied_id)}
    return Response(body={"role_inference": rule, "links": links})


def _short(request: Request, role: Role) -> dict[str, object]:
    return {"id": role.id, "name": role.name, "links": {"self": views.link(request.base_url, "roles", role.id)}}


def _answer(request: Request, role_id: RoleId) -> Response:
    return Response(body={"role": views.role(request.base_url, request.cluster.view().need(Role, role_id))})


_IMPLIED = "/roles/{prior_id}/implies/{implied_id}"

_ONE = "/roles/{role_id}"
_SOUGHT = (Role, "role_id")

ROUTES = (
    Route(verb="POST", path="/roles", handler=create_role, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/roles", handler=list_roles, allow=Allow.DOMAIN_READER),
    Route(verb="GET", path=_ONE, handler=show_role, allow=Allow.DOMAIN_READER, sought=_SOUGHT),
    Route(verb="PATCH", path=_ONE, handler=update_role, allow=Allow.ADMIN, sought=_SOUGHT),
    Route(verb="DELETE", path=_ONE, handler=delete_role, allow=Allow.ADMIN, done=Done.EMPTY, sought=_SOUGHT),
    Route(verb="GET", path="/roles/{prior_id}/implies", handler=list_implied_roles, allow=Allow.OVERSEER),
    Route(verb="PUT", path=_IMPLIED, handler=imply_role, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_IMPLIED, handler=show_implied_role, allow=Allow.OVERSEER),
    Route(verb="HEAD", path=_IMPLIED, handler=check_implied_role, allow=Allow.OVERSEER, done=Done.EMPTY),
    Route(verb="DELETE", path=_IMPLIED, handler=stop_implying_role, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(verb="GET", path="/role_inferences", handler=list_inferences, allow=Allow.OVERSEER),
)
