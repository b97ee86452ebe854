"""Answers /projects."""

from typing import Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, Invalid
from noded.core.ids import DomainId, ProjectId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity import views
from noded.identity.attributes import Id, Name64, Tag, Text, read, truth
from noded.identity.listing import listing
from noded.identity.model import Domain, Project, Scope
from noded.identity.projects.commands import CreateProject, DeleteProject, UpdateProject
from noded.identity.standing import projects_of, roles_of


class ProjectBody(msgspec.Struct, frozen=True):
    """`{"project": {...}}`."""

    project: dict[str, Any]


class ProjectForm(msgspec.Struct, frozen=True):
    """A new project."""

    name: Name64
    domain_id: Id | None = None
    parent_id: Id | None = None
    description: Text | None = None
    enabled: bool = True
    is_domain: bool = False
    tags: tuple[Tag, ...] = ()


class ProjectChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    name: Name64 | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    tags: tuple[Tag, ...] | msgspec.UnsetType = msgspec.UNSET
    domain_id: Id | msgspec.UnsetType = msgspec.UNSET
    parent_id: Id | msgspec.UnsetType | None = msgspec.UNSET


async def create_project(request: Request) -> Response:
    """POST /projects."""
    form, extra = read((await request.json(ProjectBody)).project, ProjectForm)
    if form.is_domain:
        raise Invalid("A domain is made by POST /v3/domains and not as a project.")
    domain_id, parent_id = _place(request, form)
    project_id = ProjectId(new_hex_id())
    await request.cluster.propose(
        CreateProject(
            project_id=project_id,
            domain_id=domain_id,
            parent_id=parent_id,
            name=form.name,
            description=form.description or "",
            enabled=form.enabled,
            tags=tuple(dict.fromkeys(form.tags)),
            extra=extra,
        )
    )
    return _answer(request, project_id)


def _place(request: Request, form: ProjectForm) -> tuple[DomainId, ProjectId | None]:
    """The domain and the parent: a parent that is a domain means directly below it."""
    view = request.cluster.view()
    if form.parent_id is not None and view.get(Domain, form.parent_id) is None:
        parent = view.need(Project, form.parent_id)
        return DomainId(form.domain_id or parent.domain_id), parent.id
    domain_id = form.domain_id or form.parent_id or request.caller.user_domain_id
    if form.parent_id not in (None, domain_id):
        raise Invalid("A project and the domain above it must be the same domain.")
    return DomainId(domain_id), None


async def list_projects(request: Request) -> Response:
    """GET /projects, by `name`, `domain_id`, `parent_id`, `enabled`, `tags`: all for administrators, else one's own."""
    view, query = request.cluster.view(), request.query
    if not request.caller.is_admin:
        found = projects_of(view, request.caller.user_id)
    elif "name" in query:
        found = view.find(Project, "name", query["name"])
    else:
        found = view.all(Project)
    entries = [views.project(request.base_url, project) for project in found if _fits(project, query)]
    return Response(body=listing("projects", entries, views.link(request.base_url, "projects")))


def _fits(project: Project, query: Any) -> bool:
    wanted_tags = [tag for tag in query.get("tags", "").split(",") if tag]
    return (
        query.get("name", project.name) == project.name
        and query.get("domain_id", project.domain_id) == project.domain_id
        and query.get("parent_id") in (None, project.parent_id or project.domain_id)
        and ("enabled" not in query or truth(query["enabled"]) == project.enabled)
        and not ("is_domain" in query and truth(query["is_domain"]))
        and all(tag in project.tags for tag in wanted_tags)
    )


async def show_project(request: Request) -> Response:
    """GET /projects/{project_id}: for administrators, and for who holds a role there."""
    return Response(body={"project": views.project(request.base_url, _visible(request))})


async def update_project(request: Request) -> Response:
    """PATCH /projects/{project_id}."""
    change, extra = read((await request.json(ProjectBody)).project, ProjectChange)
    before = request.cluster.view().need(Project, request.params["project_id"])
    if change.domain_id not in (msgspec.UNSET, before.domain_id):
        raise Invalid("A project can't move to another domain.")
    if change.parent_id not in (msgspec.UNSET, before.parent_id or before.domain_id):
        raise Forbidden("Update of `parent_id` is not allowed.")
    await request.cluster.propose(
        UpdateProject(
            project_id=before.id,
            name=change.name,
            description="" if change.description is None else change.description,
            enabled=change.enabled,
            tags=change.tags if change.tags is msgspec.UNSET else tuple(dict.fromkeys(change.tags)),
            extra=extra,
        )
    )
    return _answer(request, before.id)


async def delete_project(request: Request) -> Response:
    """DELETE /projects/{project_id}."""
    await request.cluster.propose(DeleteProject(project_id=ProjectId(request.params["project_id"])))
    return Response()


def _visible(request: Request) -> Project:
    view, caller = request.cluster.view(), request.caller
    project = view.need(Project, request.params["project_id"])
    if not caller.is_admin and not roles_of(view, caller.user_id, Scope.PROJECT, project.id):
        raise Forbidden("You are not authorized to perform this: you hold no role on that project.")
    return project


def _answer(request: Request, project_id: ProjectId) -> Response:
    project = request.cluster.view().need(Project, project_id)
    return Response(body={"project": views.project(request.base_url, project)})


ROUTES = (
    Route(verb="POST", path="/projects", handler=create_project, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path="/projects", handler=list_projects, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path="/projects/{project_id}", handler=show_project, allow=Allow.ANY_TOKEN),
    Route(verb="PATCH", path="/projects/{project_id}", handler=update_project, allow=Allow.ADMIN),
    Route(verb="DELETE", path="/projects/{project_id}", handler=delete_project, allow=Allow.ADMIN, done=Done.EMPTY),
)
