"""Answers /projects. A domain is there too, as the root of its projects."""

from typing import Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, Invalid
from noded.core.ids import DomainId, ProjectId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity import views
from noded.identity.attributes import Id, Name64, ResourceOptions, Tags, Text, read, told_options, truth
from noded.identity.domains.commands import CreateDomain, DeleteDomain, UpdateDomain
from noded.identity.listing import listed
from noded.identity.model import DEFAULT_DOMAIN, Domain, Project, Scope
from noded.identity.overseeing import expect_command, expect_sight
from noded.identity.projects.commands import CreateProject, DeleteProject, UpdateProject
from noded.identity.projects.filters import fits_tags
from noded.identity.projects.tree import around
from noded.identity.standing import roles_of


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
    tags: Tags = ()
    options: ResourceOptions | msgspec.UnsetType = msgspec.UNSET


class ProjectChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    name: Name64 | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    tags: Tags | msgspec.UnsetType = msgspec.UNSET
    domain_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    parent_id: Id | msgspec.UnsetType | None = msgspec.UNSET
    is_domain: bool | msgspec.UnsetType = msgspec.UNSET
    options: ResourceOptions | msgspec.UnsetType = msgspec.UNSET


async def create_project(request: Request) -> Response:
    """POST /projects; with `is_domain` it makes a domain."""
    form, extra = read((await request.json(ProjectBody)).project, ProjectForm)
    _expect_unique(form.tags)
    if form.is_domain:
        return await _create_domain(request, form, extra)
    domain_id, parent_id = _place(request, form)
    expect_command(request.caller, domain_id)
    project_id = ProjectId(new_hex_id())
    await request.cluster.propose(
        CreateProject(
            project_id=project_id,
            domain_id=domain_id,
            parent_id=parent_id,
            name=form.name,
            description=form.description or "",
            enabled=form.enabled,
            tags=form.tags,
            extra=extra,
            options=told_options(form.options),
        )
    )
    return _answer(request, project_id)


async def _create_domain(request: Request, form: ProjectForm, extra: dict[str, Any]) -> Response:
    _expect_cloud_admin(request)
    if form.parent_id is not None or form.domain_id is not None:
        raise Invalid("A project that acts as a domain stands above all others: leave out parent_id and domain_id.")
    domain_id = DomainId(new_hex_id())
    await request.cluster.propose(
        CreateDomain(
            domain_id=domain_id,
            name=form.name,
            description=form.description or "",
            enabled=form.enabled,
            extra=extra,
            options=told_options(form.options),
            tags=form.tags,
        )
    )
    return _answer(request, domain_id)


def _expect_cloud_admin(request: Request) -> None:
    if not request.caller.is_admin or request.caller.domain_id is not None:
        raise Forbidden("You are not authorized to perform this: domains are made and changed by administrators alone.")


def _place(request: Request, form: ProjectForm) -> tuple[DomainId, ProjectId | None]:
    """The domain and the parent: a parent that is a domain means directly below it."""
    view = request.cluster.view()
    if form.parent_id is not None and view.get(Domain, form.parent_id) is None:
        parent = view.need(Project, form.parent_id)
        return DomainId(form.domain_id or parent.domain_id), parent.id
    own = request.caller.domain_id or request.caller.user_domain_id
    domain_id = form.domain_id or form.parent_id or own
    if form.parent_id not in (None, domain_id):
        raise Invalid("A project and the domain above it must be the same domain.")
    return DomainId(domain_id), None


async def list_projects(request: Request) -> Response:
    """GET /projects, by `name`, `domain_id`, `parent_id`, `enabled`, `is_domain` and tags."""
    view, query, only = request.cluster.view(), request.query, request.caller.domain_id
    if "is_domain" in query and truth(query["is_domain"]):
        domains = [each for each in view.all(Domain) if fits_tags(each.tags, query) and only in (None, each.id)]
        entries = [views.domain_as_project(request.base_url, each) for each in domains]
    else:
        found = view.find(Project, "name", query["name"]) if "name" in query else view.all(Project)
        fitting = [each for each in found if fits_tags(each.tags, query) and only in (None, each.domain_id)]
        entries = [views.project(request.base_url, each) for each in fitting]
    self_url = views.link(request.base_url, "projects")
    return listed(request, "projects", entries, self_url, "name", "domain_id", "parent_id", "enabled")


async def show_project(request: Request) -> Response:
    """GET /projects/{project_id}: for who holds a role there, and for who oversees its domain."""
    view, caller, project_id = request.cluster.view(), request.caller, request.params["project_id"]
    if (domain := view.get(Domain, project_id)) is not None:
        expect_sight(caller, domain.id)
        return Response(body={"project": views.domain_as_project(request.base_url, domain)})
    found = view.get(Project, project_id)
    if found is None or not roles_of(view, caller.user_id, Scope.PROJECT, found.id):
        expect_sight(caller, None if found is None else found.domain_id)
    project = view.need(Project, project_id)
    body = views.project(request.base_url, project)
    parts = around(view, request.base_url, project, request.query, caller.user_id)
    return Response(body={"project": {**body, **parts}})


async def update_project(request: Request) -> Response:
    """PATCH /projects/{project_id}."""
    change, extra = read((await request.json(ProjectBody)).project, ProjectChange)
    if change.tags is not msgspec.UNSET:
        _expect_unique(change.tags)
    view, id = request.cluster.view(), request.params["project_id"]
    if (domain := view.get(Domain, id)) is not None:
        return await _update_domain(request, domain, change, extra)
    before = _commanded(request)
    if change.domain_id not in (msgspec.UNSET, before.domain_id):
        raise Invalid("A project can't move to another domain.")
    if change.parent_id not in (msgspec.UNSET, before.parent_id or before.domain_id):
        raise Forbidden("Update of `parent_id` is not allowed.")
    if change.is_domain is True:
        raise Invalid("Update of `is_domain` is not allowed.")
    await request.cluster.propose(
        UpdateProject(
            project_id=before.id,
            name=change.name,
            description="" if change.description is None else change.description,
            enabled=change.enabled,
            tags=change.tags,
            extra=extra,
            options=told_options(change.options),
        )
    )
    return _answer(request, before.id)


async def _update_domain(request: Request, before: Domain, change: ProjectChange, extra: dict[str, Any]) -> Response:
    _expect_cloud_admin(request)
    if change.domain_id not in (msgspec.UNSET, None) or change.parent_id not in (msgspec.UNSET, None):
        raise Forbidden("A project that acts as a domain stands above all others.")
    if change.is_domain is False:
        raise Invalid("Update of `is_domain` is not allowed.")
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
            tags=change.tags,
        )
    )
    return _answer(request, before.id)


async def delete_project(request: Request) -> Response:
    """DELETE /projects/{project_id}."""
    id = request.params["project_id"]
    if request.cluster.view().get(Domain, id) is not None:
        _expect_cloud_admin(request)
        await request.cluster.propose(DeleteDomain(domain_id=DomainId(id)))
    else:
        await request.cluster.propose(DeleteProject(project_id=_commanded(request).id))
    return Response()


def _commanded(request: Request) -> Project:
    """The project that the path names, which the caller may change."""
    view, id = request.cluster.view(), request.params["project_id"]
    project = view.get(Project, id)
    expect_command(request.caller, None if project is None else project.domain_id)
    return view.need(Project, id)


def _expect_unique(tags: Tags) -> None:
    if len(set(tags)) < len(tags):
        raise Invalid("Invalid input: the tags of a project must be unique - at `$.tags`.")


def _answer(request: Request, id: str) -> Response:
    view, base_url = request.cluster.view(), request.base_url
    domain = view.get(Domain, id)
    if domain is not None:
        return Response(body={"project": views.domain_as_project(base_url, domain)})
    return Response(body={"project": views.project(base_url, view.need(Project, id))})


ROUTES = (
    Route(verb="POST", path="/projects", handler=create_project, allow=Allow.DOMAIN_MANAGER, done=Done.CREATED),
    Route(verb="GET", path="/projects", handler=list_projects, allow=Allow.DOMAIN_READER),
    Route(verb="GET", path="/projects/{project_id}", handler=show_project, allow=Allow.ANY_TOKEN),
    Route(verb="PATCH", path="/projects/{project_id}", handler=update_project, allow=Allow.DOMAIN_MANAGER),
    Route(
        verb="DELETE",
        path="/projects/{project_id}",
        handler=delete_project,
        allow=Allow.DOMAIN_MANAGER,
        done=Done.EMPTY,
    ),
)
