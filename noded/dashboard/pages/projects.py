"""Which projects are there, who may do what in one, and what may be done to it? For the cloud's administrators."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route
from noded.dashboard import people, session
from noded.dashboard.pages.asking import ask, ask_all, go, show
from noded.dashboard.pages.paths import IDENTITY


async def list_projects(request: Request) -> Response:
    """GET /projects: all of them, and a form for a new one."""
    return await _listing(request, {"domain_id": "default"}, "")


async def _listing(request: Request, form: Mapping[str, str], fault: str) -> Response:
    found = await ask_all(request, projects=f"{IDENTITY}/projects", domains=f"{IDENTITY}/domains")
    return show(
        request,
        "projects.html",
        projects=people.by_name(found["projects"].all("projects")),
        domains=people.by_name(found["domains"].all("domains")),
        names=people.names(found["domains"].all("domains")),
        form=form,
        fault=fault or found["projects"].fault,
    )


async def create_project(request: Request) -> Response:
    """POST /projects; what is refused is shown in place."""
    form = dict(await request.form())
    session.expect_own_form(request)
    answer = await ask(request, "POST", f"{IDENTITY}/projects", {"project": people.project(form)})
    if not answer.ok:
        return await _listing(request, form, answer.fault)
    return go(f"/projects/{answer.body['project']['id']}", f"Project {answer.body['project']['name']} is made.")


async def show_project(request: Request) -> Response:
    """GET /projects/{project_id}: what it is, and who may do what in it."""
    return await _project(request, None, "")


async def _project(request: Request, form: Mapping[str, str] | None, fault: str) -> Response:
    project_id = quote(request.params["project_id"], safe="")
    found = await ask_all(
        request,
        project=f"{IDENTITY}/projects/{project_id}",
        held=f"{IDENTITY}/role_assignments?include_names&scope.project.id={project_id}",
    )
    if not found["project"].ok:
        raise NotFound(found["project"].fault)
    project: dict[str, Any] = found["project"].body["project"]
    return show(
        request,
        "project.html",
        project=project,
        held=people.held(found["held"].all("role_assignments")),
        form={**people.form_of(project), **(form or {})},
        fault=fault,
    )


async def change_project(request: Request) -> Response:
    """POST /projects/{project_id}: its name, what it is for, whether it may be used."""
    form = dict(await request.form())
    session.expect_own_form(request)
    project_id = quote(request.params["project_id"], safe="")
    answer = await ask(request, "PATCH", f"{IDENTITY}/projects/{project_id}", {"project": people.project(form)})
    return go(f"/projects/{project_id}", "Changed.") if answer.ok else await _project(request, form, answer.fault)


async def delete_project(request: Request) -> Response:
    """POST /projects/{project_id}/delete."""
    await request.form()
    session.expect_own_form(request)
    project_id = quote(request.params["project_id"], safe="")
    answer = await ask(request, "DELETE", f"{IDENTITY}/projects/{project_id}")
    return go("/projects", "The project is deleted.") if answer.ok else go(f"/projects/{project_id}", answer.fault)


ROUTES = (
    Route(verb="GET", path="/projects", handler=list_projects, allow=Allow.ADMIN),
    Route(verb="POST", path="/projects", handler=create_project, allow=Allow.ADMIN),
    Route(verb="GET", path="/projects/{project_id}", handler=show_project, allow=Allow.ADMIN),
    Route(verb="POST", path="/projects/{project_id}", handler=change_project, allow=Allow.ADMIN),
    Route(verb="POST", path="/projects/{project_id}/delete", handler=delete_project, allow=Allow.ADMIN),
)
