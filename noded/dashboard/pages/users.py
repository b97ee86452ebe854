"""Which users are there, which roles do they hold, and what may be done to one? For the cloud's administrators."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import people, session
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import IDENTITY


async def list_users(request: Request) -> Response:
    """GET /users: all of them, and a form for a new one."""
    return await _listing(request, {"domain_id": "default"}, "")


async def _listing(request: Request, form: Mapping[str, str], fault: str) -> Response:
    found = await ask_all(
        request, users=f"{IDENTITY}/users", domains=f"{IDENTITY}/domains", projects=f"{IDENTITY}/projects"
    )
    return show(
        request,
        "users.html",
        users=people.by_name(found["users"].all("users")),
        domains=people.by_name(found["domains"].all("domains")),
        projects=people.by_name(found["projects"].all("projects")),
        names=people.names(found["domains"].all("domains")),
        form=form,
        fault=fault or found["users"].fault,
    )


async def create_user(request: Request) -> Response:
    """POST /users: with a role on a project at once, if one is named; what is refused is shown in place."""
    form = dict(await request.form())
    session.expect_own_form(request)
    if form.get("password", "") != form.get("again", ""):
        return await _listing(request, form, "The two passwords are not the same.")
    answer = await ask(request, "POST", f"{IDENTITY}/users", {"user": people.new_user(form)})
    if not answer.ok:
        return await _listing(request, form, answer.fault)
    user, project = answer.body["user"], form.get("project_id", "")
    if project:
        given = await _grant(request, user["id"], project, "member")
        if given:
            return go(f"/users/{user['id']}", f"The user is made, but has no role: {given}")
    return go(f"/users/{user['id']}", f"User {user['name']} is made.")


async def show_user(request: Request) -> Response:
    """GET /users/{user_id}: what they are, what they hold."""
    return await _user(request, None, "")


async def _user(request: Request, form: Mapping[str, str] | None, fault: str) -> Response:
    user_id = quote(request.params["user_id"], safe="")
    found = await ask_all(
        request,
        user=f"{IDENTITY}/users/{user_id}",
        held=f"{IDENTITY}/role_assignments?include_names&user.id={user_id}",
        groups=f"{IDENTITY}/users/{user_id}/groups",
        projects=f"{IDENTITY}/projects",
        roles=f"{IDENTITY}/roles",
    )
    if not found["user"].ok:
        raise NotFound(found["user"].fault)
    user: dict[str, Any] = found["user"].body["user"]
    return show(
        request,
        "user.html",
        user=user,
        held=people.held(found["held"].all("role_assignments")),
        groups=people.by_name(found["groups"].all("groups")),
        projects=people.by_name(found["projects"].all("projects")),
        roles=people.by_name(found["roles"].all("roles")),
        form={**people.form_of(user), **(form or {})},
        fault=fault,
    )


async def change_user(request: Request) -> Response:
    """POST /users/{user_id}: its name, address, whether it may sign in, a new password."""
    form = dict(await request.form())
    session.expect_own_form(request)
    user_id = quote(request.params["user_id"], safe="")
    answer = await ask(request, "PATCH", f"{IDENTITY}/users/{user_id}", {"user": people.changed_user(form)})
    return go(f"/users/{user_id}", "Changed.") if answer.ok else await _user(request, form, answer.fault)


async def act_on_user(request: Request) -> Response:
    """POST /users/{user_id}/{action}: grant or revoke a role on a project; delete."""
    form = await request.form()
    session.expect_own_form(request)
    user_id, action = quote(request.params["user_id"], safe=""), request.params["action"]
    if action == "delete":
        answer = await ask(request, "DELETE", f"{IDENTITY}/users/{user_id}")
        return go("/users", "The user is deleted.") if answer.ok else go(f"/users/{user_id}", answer.fault)
    if action == "grant":
        fault = await _grant(request, user_id, form.get("project_id", ""), form.get("role_id", ""))
    elif action == "revoke":
        fault = (await ask(request, "DELETE", IDENTITY + people.grant_path(user_id, form))).fault
    else:
        raise NotFound.of("action", action)
    return go(f"/users/{user_id}", fault or "Changed.")


async def _grant(request: Request, user_id: str, project: str, role: str) -> str:
    """Why the role can't be given; empty if it is. `role` by id or by name."""
    roles = (await ask(request, "GET", f"{IDENTITY}/roles")).all("roles")
    role_id = next((each["id"] for each in roles if role in (each["id"], each["name"])), "")
    if not role_id or not project:
        return "Choose a project and a role."
    place = f"{IDENTITY}/projects/{quote(project, safe='')}/users/{user_id}/roles/{role_id}"
    return (await ask(request, "PUT", place)).fault


ROUTES = (
    Route(verb="GET", path="/users", handler=list_users, allow=Allow.ADMIN),
    Route(verb="POST", path="/users", handler=create_user, allow=Allow.ADMIN),
    Route(verb="GET", path="/users/{user_id}", handler=show_user, allow=Allow.ADMIN),
    Route(verb="POST", path="/users/{user_id}", handler=change_user, allow=Allow.ADMIN),
    Route(verb="POST", path="/users/{user_id}/{action}", handler=act_on_user, allow=Allow.ADMIN),
)
