"""Answers who holds which role where: /projects|domains|system/…/users/…/roles and /role_assignments."""

from collections.abc import Iterator

from noded.core.ids import RoleId, UserId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.store import View
from noded.identity import views
from noded.identity.attributes import truth
from noded.identity.grants.commands import GrantRole, RevokeRole, expect_sides, need_assignment
from noded.identity.grants.views import assignment_body
from noded.identity.listing import listing
from noded.identity.model import SYSTEM_ID, Assignment, Role, Scope, holding_of
from noded.identity.standing import with_implied


def _place(request: Request) -> tuple[UserId, Scope, str]:
    """The user and the target that the path names."""
    params = request.params
    user_id = UserId(params["user_id"])
    if "project_id" in params:
        return user_id, Scope.PROJECT, params["project_id"]
    if "domain_id" in params:
        return user_id, Scope.DOMAIN, params["domain_id"]
    return user_id, Scope.SYSTEM, SYSTEM_ID


async def grant_role(request: Request) -> Response:
    """PUT …/users/{user_id}/roles/{role_id}."""
    user_id, scope, target_id = _place(request)
    role_id = RoleId(request.params["role_id"])
    await request.cluster.propose(GrantRole(user_id=user_id, scope=scope, target_id=target_id, role_id=role_id))
    return Response()


async def check_role(request: Request) -> Response:
    """GET and HEAD …/users/{user_id}/roles/{role_id}."""
    view = request.cluster.view()
    user_id, scope, target_id = _place(request)
    expect_sides(view, user_id, scope, target_id, request.params["role_id"])
    need_assignment(view, user_id, scope, target_id, request.params["role_id"])
    return Response()


async def revoke_role(request: Request) -> Response:
    """DELETE …/users/{user_id}/roles/{role_id}."""
    user_id, scope, target_id = _place(request)
    role_id = RoleId(request.params["role_id"])
    await request.cluster.propose(RevokeRole(user_id=user_id, scope=scope, target_id=target_id, role_id=role_id))
    return Response()


async def list_roles(request: Request) -> Response:
    """GET …/users/{user_id}/roles: the roles assigned there, without implied ones."""
    view = request.cluster.view()
    user_id, scope, target_id = _place(request)
    expect_sides(view, user_id, scope, target_id, None)
    held = view.find(Assignment, "holding", holding_of(user_id, scope, target_id))
    roles = [view.need(Role, assignment.role_id) for assignment in held]
    self_url = request.base_url + request.path
    return Response(body=listing("roles", [views.role(request.base_url, role) for role in roles], self_url))


async def list_assignments(request: Request) -> Response:
    """GET /role_assignments, by `user.id`, `role.id`, `scope.*`; `effective` adds implied roles."""
    view, query = request.cluster.view(), request.query
    names = "include_names" in query and truth(query["include_names"])
    effective = "effective" in query and truth(query["effective"])
    entries = []
    for assignment in _candidates(view, request):
        for role, prior in _roles(view, assignment, effective=effective):
            if query.get("role.id", role.id) == role.id:
                entries.append(assignment_body(view, request.base_url, assignment, role, prior, names=names))
    return Response(body=listing("role_assignments", entries, views.link(request.base_url, "role_assignments")))


def _candidates(view: View, request: Request) -> list[Assignment]:
    query = request.query
    if "group.id" in query:
        return []  # roles are held by users alone
    if "user.id" in query:
        found = view.find(Assignment, "user_id", query["user.id"])
    elif "scope.project.id" in query:
        found = view.find(Assignment, "target_id", query["scope.project.id"])
    else:
        found = view.all(Assignment)
    wanted = {
        Scope.PROJECT: query.get("scope.project.id"),
        Scope.DOMAIN: query.get("scope.domain.id"),
        Scope.SYSTEM: SYSTEM_ID if "scope.system" in query else None,
    }
    scopes = [(scope, target_id) for scope, target_id in wanted.items() if target_id is not None]
    return [each for each in found if all((each.scope, each.target_id) == scope for scope in scopes)]


def _roles(view: View, assignment: Assignment, *, effective: bool) -> Iterator[tuple[Role, Role | None]]:
    """The assigned role and, if wanted, each that it implies beside the one it comes from."""
    own = view.need(Role, assignment.role_id)
    yield own, None
    if effective:
        for role in with_implied(view, [own.id]):
            if role.id != own.id:
                yield role, own


def _routes_at(target: str) -> Iterator[Route]:
    one, all_ = f"{target}/users/{{user_id}}/roles/{{role_id}}", f"{target}/users/{{user_id}}/roles"
    yield Route(verb="PUT", path=one, handler=grant_role, allow=Allow.ADMIN, done=Done.EMPTY)
    yield Route(verb="GET", path=one, handler=check_role, allow=Allow.ADMIN, done=Done.EMPTY)
    yield Route(verb="DELETE", path=one, handler=revoke_role, allow=Allow.ADMIN, done=Done.EMPTY)
    yield Route(verb="GET", path=all_, handler=list_roles, allow=Allow.ADMIN)


ROUTES = (
    *_routes_at("/projects/{project_id}"),
    *_routes_at("/domains/{domain_id}"),
    *_routes_at("/system"),
    Route(verb="GET", path="/role_assignments", handler=list_assignments, allow=Allow.ADMIN),
)
