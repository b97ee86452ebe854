"""Answers who holds which role where: /projects|domains|system/…/users|groups/…/roles, /OS-INHERIT/… (the same, for
all projects below), and /role_assignments."""

from collections.abc import Iterable, Iterator
from typing import TypedDict

from noded.core.command import Command
from noded.core.errors import Invalid
from noded.core.ids import GroupId, RoleId, UserId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.store import View
from noded.identity import views
from noded.identity.attributes import truth
from noded.identity.grants.commands import (
    GrantGroupRole,
    GrantRole,
    Place,
    RevokeGroupRole,
    RevokeRole,
    expect_sides,
    need_assignment,
)
from noded.identity.grants.effective import Held, assigned, effective
from noded.identity.grants.reach import domain_of, expect_grantor, expect_witness
from noded.identity.grants.views import assignment_body
from noded.identity.listing import listed, listing
from noded.identity.model import SYSTEM_ID, Actor, Assignment, Project, Role, Scope
from noded.identity.overseeing import expect_sight
from noded.identity.standing import actors_of, below_project

_INHERIT = "/OS-INHERIT"


def _place(request: Request) -> Place:
    """Who holds what where, as the path names it."""
    params = request.params
    scope, target_id = Scope.SYSTEM, SYSTEM_ID
    if "project_id" in params:
        scope, target_id = Scope.PROJECT, params["project_id"]
    elif "domain_id" in params:
        scope, target_id = Scope.DOMAIN, params["domain_id"]
    actor = Actor.USER if "user_id" in params else Actor.GROUP
    return Place(
        actor=actor,
        actor_id=params["user_id" if actor is Actor.USER else "group_id"],
        scope=scope,
        target_id=target_id,
        inherited=f"{_INHERIT}/" in request.path,
    )


class _Where(TypedDict):
    """What all orders about roles say."""

    scope: Scope
    target_id: str
    inherited: bool


def _where(place: Place) -> _Where:
    return {"scope": place.scope, "target_id": place.target_id, "inherited": place.inherited}


async def grant_role(request: Request) -> Response:
    """PUT …/users|groups/{id}/roles/{role_id}."""
    place, role_id = _place(request), RoleId(request.params["role_id"])
    expect_grantor(request.cluster.view(), request.caller, place, role_id)
    if place.actor is Actor.USER:
        order: Command = GrantRole(user_id=UserId(place.actor_id), role_id=role_id, **_where(place))
    else:
        order = GrantGroupRole(group_id=GroupId(place.actor_id), role_id=role_id, **_where(place))
    await request.cluster.propose(order)
    return Response()


async def check_role(request: Request) -> Response:
    """GET and HEAD …/users|groups/{id}/roles/{role_id}."""
    view, place = request.cluster.view(), _place(request)
    expect_witness(view, request.caller, place, request.params["role_id"])
    expect_sides(view, place, request.params["role_id"])
    need_assignment(view, place, request.params["role_id"])
    return Response()


async def revoke_role(request: Request) -> Response:
    """DELETE …/users|groups/{id}/roles/{role_id}."""
    place, role_id = _place(request), RoleId(request.params["role_id"])
    expect_grantor(request.cluster.view(), request.caller, place, role_id)
    if place.actor is Actor.USER:
        order: Command = RevokeRole(user_id=UserId(place.actor_id), role_id=role_id, **_where(place))
    else:
        order = RevokeGroupRole(group_id=GroupId(place.actor_id), role_id=role_id, **_where(place))
    await request.cluster.propose(order)
    return Response()


async def list_roles(request: Request) -> Response:
    """GET …/users|groups/{id}/roles: the roles assigned there, without implied ones."""
    view, place = request.cluster.view(), _place(request)
    expect_witness(view, request.caller, place, None)
    expect_sides(view, place, None)
    held = view.find(Assignment, "holding", place.holding)
    roles = [view.need(Role, assignment.role_id) for assignment in held]
    self_url = request.base_url + request.path
    return listed(request, "roles", [views.role(request.base_url, role) for role in roles], self_url)


async def list_assignments(request: Request) -> Response:
    """GET /role_assignments, by `user.id`, `group.id`, `role.id`, `scope.*`; `effective` says what comes of them."""
    view = request.cluster.view()
    _expect_sense(request)
    if _is_given(request, "include_subtree") and not request.caller.is_admin and not request.caller.is_system:
        project = view.get(Project, request.query["scope.project.id"])
        expect_sight(request.caller, None if project is None else project.domain_id)
    entries = _entries(view, request, _wanted_projects(view, request))
    names = _is_given(request, "include_names")
    bodies = [assignment_body(view, request.base_url, held, names=names) for held in entries]
    self_url = views.link(request.base_url, "role_assignments")
    return Response(body=listing("role_assignments", bodies, self_url))


def _expect_sense(request: Request) -> None:
    query = request.query
    if "user.id" in query and "group.id" in query:
        raise Invalid("Specify a user or group, not both.")
    if sum(name in query for name in ("scope.project.id", "scope.domain.id", "scope.system")) > 1:
        raise Invalid("Specify a domain or project, not both: one of scope.project.id, scope.domain.id, scope.system.")
    if _is_given(request, "effective"):
        if "group.id" in query:
            raise Invalid("Combining effective and group filter will always result in an empty list.")
        if "scope.domain.id" in query and "scope.OS-INHERIT:inherited_to" in query:
            raise Invalid("Combining effective, domain and inherited filters will always result in an empty list.")
    if query.get("scope.OS-INHERIT:inherited_to", "projects") != "projects":
        raise Invalid("scope.OS-INHERIT:inherited_to can only be `projects`.")
    if _is_given(request, "include_subtree") and "scope.project.id" not in query:
        raise Invalid("scope.project.id must be specified if include_subtree is also specified.")


def _wanted_projects(view: View, request: Request) -> frozenset[str] | None:
    """The projects that the query asks for; None: it names none."""
    project_id = request.query.get("scope.project.id")
    if project_id is None:
        return None
    below: list[Project] = below_project(view, project_id) if _is_given(request, "include_subtree") else []
    return frozenset({project_id, *(project.id for project in below)})


def _entries(view: View, request: Request, projects: frozenset[str] | None) -> Iterator[Held]:
    query, wants_effective = request.query, _is_given(request, "effective")
    found = _candidates(view, request, wants_effective=wants_effective)
    if "scope.OS-INHERIT:inherited_to" in query:
        found = [each for each in found if each.inherited]
    if wants_effective:
        only = next(iter(projects)) if projects is not None and len(projects) == 1 else None
        every: Iterable[Held] = effective(view, found, project_id=only)
    else:
        every = assigned(view, found)
    only_in = request.caller.domain_id
    seen = set[tuple[str, str, Scope, str, str]]()
    for held in every:
        key = (held.source.id, held.actor_id, held.scope, held.target_id, held.role.id)
        is_seen = only_in is None or domain_of(view, held.scope, held.target_id) == only_in
        if key not in seen and is_seen and _fits(held, request, projects):
            seen.add(key)
            yield held


def _candidates(view: View, request: Request, *, wants_effective: bool) -> list[Assignment]:
    query = request.query
    if "user.id" in query:
        actor_ids = actors_of(view, query["user.id"]) if wants_effective else (query["user.id"],)
        return [each for actor_id in actor_ids for each in view.find(Assignment, "actor_id", actor_id)]
    if "group.id" in query:
        return view.find(Assignment, "actor_id", query["group.id"])
    if "scope.domain.id" in query:
        return view.find(Assignment, "target_id", query["scope.domain.id"])
    if "scope.system" in query:
        return view.find(Assignment, "target_id", SYSTEM_ID)
    return view.all(Assignment)


def _fits(held: Held, request: Request, projects: frozenset[str] | None) -> bool:
    query = request.query
    return (
        query.get("role.id", held.role.id) == held.role.id
        and query.get("user.id", held.actor_id) == held.actor_id
        and (projects is None or (held.scope is Scope.PROJECT and held.target_id in projects))
        and ("scope.domain.id" not in query or (held.scope, held.target_id) == (Scope.DOMAIN, query["scope.domain.id"]))
        and ("scope.system" not in query or held.scope is Scope.SYSTEM)
    )


def _is_given(request: Request, name: str) -> bool:
    """A yes in the query; the bare name is one."""
    return name in request.query and truth(request.query[name])


def _routes_at(target: str, tail: str = "", *, look: Allow, change: Allow, of: str = "") -> Iterator[Route]:
    grant, check, revoke, list_ = (f"{verb}_{of}role" for verb in ("grant", "check", "revoke", "list"))
    for actor in ("users/{user_id}", "groups/{group_id}"):
        all_ = f"{target}/{actor}/roles"
        one = f"{all_}/{{role_id}}{tail}"
        yield Route(verb="PUT", path=one, handler=grant_role, allow=change, done=Done.EMPTY, action=grant)
        yield Route(verb="GET", path=one, handler=check_role, allow=look, done=Done.EMPTY, action=check)
        yield Route(verb="DELETE", path=one, handler=revoke_role, allow=change, done=Done.EMPTY, action=revoke)
        yield Route(verb="GET", path=all_ + tail, handler=list_roles, allow=look, action=f"{list_}s")


_BELOW = "/inherited_to_projects"
_IN_DOMAINS = {"look": Allow.DOMAIN_READER, "change": Allow.DOMAIN_MANAGER}

ROUTES = (
    *_routes_at("/projects/{project_id}", **_IN_DOMAINS),
    *_routes_at("/domains/{domain_id}", **_IN_DOMAINS),
    *_routes_at("/system", look=Allow.OVERSEER, change=Allow.ADMIN, of="system_"),
    *_routes_at(f"{_INHERIT}/projects/{{project_id}}", _BELOW, **_IN_DOMAINS),
    *_routes_at(f"{_INHERIT}/domains/{{domain_id}}", _BELOW, **_IN_DOMAINS),
    Route(verb="GET", path="/role_assignments", handler=list_assignments, allow=Allow.DOMAIN_READER),
)
