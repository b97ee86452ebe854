"""Which roles are there, and what do they imply? For the cloud's administrators."""

from collections.abc import Mapping
from urllib.parse import quote

from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import people, session
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import IDENTITY


async def list_roles(request: Request) -> Response:
    """GET /roles: all of them, and a form for a new one."""
    return await _listing(request, {}, "")


async def _listing(request: Request, form: Mapping[str, str], fault: str) -> Response:
    found = await ask_all(request, roles=f"{IDENTITY}/roles", inferences=f"{IDENTITY}/role_inferences")
    implied = {
        each["prior_role"]["id"]: [role["name"] for role in each["implies"]]
        for each in found["inferences"].all("role_inferences")
    }
    return show(
        request,
        "roles.html",
        roles=people.by_name(found["roles"].all("roles")),
        implied=implied,
        form=form,
        fault=fault or found["roles"].fault,
    )


async def create_role(request: Request) -> Response:
    """POST /roles; what is refused is shown in place."""
    form = dict(await request.form())
    session.expect_own_form(request)
    role = {"name": form.get("name", "").strip(), "description": form.get("description", "").strip()}
    answer = await ask(request, "POST", f"{IDENTITY}/roles", {"role": role})
    return go("/roles", f"Role {role['name']} is made.") if answer.ok else await _listing(request, form, answer.fault)


async def delete_role(request: Request) -> Response:
    """POST /roles/{role_id}/delete: whoever held it holds it no more."""
    await request.form()
    session.expect_own_form(request)
    answer = await ask(request, "DELETE", f"{IDENTITY}/roles/{quote(request.params['role_id'], safe='')}")
    return go("/roles", "The role is deleted." if answer.ok else answer.fault)


ROUTES = (
    Route(verb="GET", path="/roles", handler=list_roles, allow=Allow.ADMIN),
    Route(verb="POST", path="/roles", handler=create_role, allow=Allow.ADMIN),
    Route(verb="POST", path="/roles/{role_id}/delete", handler=delete_role, allow=Allow.ADMIN),
)
