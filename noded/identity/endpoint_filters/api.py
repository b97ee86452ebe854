"""Answers /OS-EP-FILTER: endpoint groups, and which endpoints and groups a project was given."""

from typing import Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.gateway.catalog import Catalog
from noded.identity import views
from noded.identity.attributes import Name255, Text
from noded.identity.endpoint_filters.commands import (
    CreateEndpointGroup,
    DeleteEndpointGroup,
    LinkEndpoint,
    UnlinkEndpoint,
    UpdateEndpointGroup,
)
from noded.identity.listing import chosen, listed
from noded.identity.model import Project
from noded.identity.offers import endpoint_body, endpoints_of_group, endpoints_seen_by, need_endpoint
from noded.identity.places import EndpointGroup, EndpointLink, link_id

_EXT = "OS-EP-FILTER"
_INTERFACES = ("admin", "internal", "public")


class GroupForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new endpoint group."""

    name: Name255
    filters: dict[str, Any]
    description: Text | None = None


class GroupBody(msgspec.Struct, frozen=True):
    """`{"endpoint_group": {...}}`."""

    endpoint_group: GroupForm


class GroupChange(msgspec.Struct, frozen=True):
    """What shall be different. The openstack client sends null for what shall stay."""

    name: Name255 | msgspec.UnsetType | None = msgspec.UNSET
    filters: dict[str, Any] | msgspec.UnsetType | None = msgspec.UNSET
    description: Text | msgspec.UnsetType | None = msgspec.UNSET


class GroupChangeBody(msgspec.Struct, frozen=True):
    """`{"endpoint_group": {...}}` of a change."""

    endpoint_group: GroupChange


async def create_group(request: Request) -> Response:
    """POST /OS-EP-FILTER/endpoint_groups."""
    form = (await request.json(GroupBody)).endpoint_group
    _expect_filters(form.filters)
    group_id = new_hex_id()
    await request.cluster.propose(
        CreateEndpointGroup(group_id=group_id, name=form.name, description=form.description, filters=form.filters)
    )
    return _answer(request, group_id)


async def list_groups(request: Request) -> Response:
    """GET /OS-EP-FILTER/endpoint_groups, by `name`."""
    entries = [_body(request.base_url, group) for group in request.cluster.view().all(EndpointGroup)]
    found = chosen(entries, request.query, ("name",))
    return listed(request, "endpoint_groups", found, views.link(request.base_url, _EXT, "endpoint_groups"))


async def show_group(request: Request) -> Response:
    """GET and HEAD /OS-EP-FILTER/endpoint_groups/{group_id}."""
    return _answer(request, request.params["group_id"])


async def update_group(request: Request) -> Response:
    """PATCH /OS-EP-FILTER/endpoint_groups/{group_id}."""
    change = (await request.json(GroupChangeBody)).endpoint_group
    filters = msgspec.UNSET if change.filters is None else change.filters
    if filters is not msgspec.UNSET:
        _expect_filters(filters)
    group_id = request.params["group_id"]
    await request.cluster.propose(
        UpdateEndpointGroup(
            group_id=group_id,
            name=msgspec.UNSET if change.name is None else change.name,
            description=change.description,
            filters=filters,
        )
    )
    return _answer(request, group_id)


async def delete_group(request: Request) -> Response:
    """DELETE /OS-EP-FILTER/endpoint_groups/{group_id}."""
    await request.cluster.propose(DeleteEndpointGroup(group_id=request.params["group_id"]))
    return Response()


async def list_group_endpoints(request: Request) -> Response:
    """GET /OS-EP-FILTER/endpoint_groups/{group_id}/endpoints."""
    view = request.cluster.view()
    group = view.need(EndpointGroup, request.params["group_id"])
    found = endpoints_of_group(view, request.driver(Catalog), group)
    entries = [endpoint_body(request.base_url, endpoint) for endpoint in found]
    return listed(request, "endpoints", entries, request.base_url + request.path)


async def list_group_projects(request: Request) -> Response:
    """GET /OS-EP-FILTER/endpoint_groups/{group_id}/projects."""
    request.cluster.view().need(EndpointGroup, request.params["group_id"])
    return _projects(request, "group_id", request.params["group_id"])


async def list_endpoint_projects(request: Request) -> Response:
    """GET /OS-EP-FILTER/endpoints/{endpoint_id}/projects."""
    need_endpoint(request.cluster.view(), request.driver(Catalog), request.params["endpoint_id"])
    return _projects(request, "endpoint_id", request.params["endpoint_id"])


async def list_project_endpoints(request: Request) -> Response:
    """GET /OS-EP-FILTER/projects/{project_id}/endpoints: those given one by one and by groups."""
    view = request.cluster.view()
    project = view.need(Project, request.params["project_id"])
    found = endpoints_seen_by(view, request.driver(Catalog), project.id)
    entries = [endpoint_body(request.base_url, endpoint) for endpoint in found]
    return listed(request, "endpoints", entries, request.base_url + request.path)


async def list_project_groups(request: Request) -> Response:
    """GET /OS-EP-FILTER/projects/{project_id}/endpoint_groups."""
    view = request.cluster.view()
    project = view.need(Project, request.params["project_id"])
    links = view.find(EndpointLink, "project_id", project.id)
    groups = [view.need(EndpointGroup, each.group_id) for each in links if each.group_id is not None]
    entries = [_body(request.base_url, group) for group in groups]
    return listed(request, "endpoint_groups", entries, request.base_url + request.path)


async def link_endpoint(request: Request) -> Response:
    """PUT /OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}."""
    need_endpoint(request.cluster.view(), request.driver(Catalog), request.params["endpoint_id"])
    await request.cluster.propose(
        LinkEndpoint(project_id=request.params["project_id"], target_id=request.params["endpoint_id"])
    )
    return Response()


async def check_endpoint(request: Request) -> Response:
    """GET and HEAD /OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}."""
    need_endpoint(request.cluster.view(), request.driver(Catalog), request.params["endpoint_id"])
    _need_link(request, request.params["endpoint_id"])
    return Response()


async def unlink_endpoint(request: Request) -> Response:
    """DELETE /OS-EP-FILTER/projects/{project_id}/endpoints/{endpoint_id}."""
    await request.cluster.propose(
        UnlinkEndpoint(project_id=request.params["project_id"], target_id=request.params["endpoint_id"])
    )
    return Response()


async def link_group(request: Request) -> Response:
    """PUT /OS-EP-FILTER/endpoint_groups/{group_id}/projects/{project_id}."""
    params = request.params
    await request.cluster.propose(
        LinkEndpoint(project_id=params["project_id"], target_id=params["group_id"], is_group=True)
    )
    return Response()


async def check_group(request: Request) -> Response:
    """GET and HEAD /OS-EP-FILTER/endpoint_groups/{group_id}/projects/{project_id}."""
    group_id, project_id = request.params["group_id"], request.params["project_id"]
    request.cluster.view().need(EndpointGroup, group_id)
    _need_link(request, group_id)
    place = {"endpoint_group_id": group_id, "project_id": project_id}
    return Response(body={"project_endpoint_group": {**place, "links": {"self": request.base_url + request.path}}})


async def unlink_group(request: Request) -> Response:
    """DELETE /OS-EP-FILTER/endpoint_groups/{group_id}/projects/{project_id}."""
    params = request.params
    await request.cluster.propose(UnlinkEndpoint(project_id=params["project_id"], target_id=params["group_id"]))
    return Response()


def _expect_filters(filters: dict[str, Any]) -> None:
    kinds: dict[str, type] = {"service_id": str, "region_id": str, "interface": str, "enabled": bool}
    for name, value in filters.items():
        if name not in kinds:
            raise Invalid(f"Invalid endpoint filter {name}: an endpoint has {', '.join(sorted(kinds))} to go by.")
        if not isinstance(value, kinds[name]):
            raise Invalid(f"Invalid endpoint filter {name}: it must be a {kinds[name].__name__}.")
    if filters.get("interface", "public") not in _INTERFACES:
        raise Invalid(f"Invalid endpoint filter interface: it is one of {', '.join(_INTERFACES)}.")


def _need_link(request: Request, target_id: str) -> None:
    view, project_id = request.cluster.view(), request.params["project_id"]
    view.need(Project, project_id)
    if view.get(EndpointLink, link_id(project_id, target_id)) is None:
        raise NotFound(f"Endpoint {target_id} not found in project {project_id}.")


def _projects(request: Request, field: str, value: str) -> Response:
    view = request.cluster.view()
    projects = [view.need(Project, each.project_id) for each in view.find(EndpointLink, field, value)]
    entries = [views.project(request.base_url, project) for project in projects]
    return listed(request, "projects", entries, request.base_url + request.path)


def _body(base_url: str, group: EndpointGroup) -> dict[str, object]:
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "filters": group.filters,
        "links": {"self": views.link(base_url, _EXT, "endpoint_groups", group.id)},
    }


def _answer(request: Request, group_id: str) -> Response:
    group = request.cluster.view().need(EndpointGroup, group_id)
    return Response(body={"endpoint_group": _body(request.base_url, group)})


_GROUPS = f"/{_EXT}/endpoint_groups"
_GROUP = _GROUPS + "/{group_id}"
_GROUP_PROJECT = _GROUP + "/projects/{project_id}"
_PROJECT = f"/{_EXT}/projects/{{project_id}}"
_PROJECT_ENDPOINT = _PROJECT + "/endpoints/{endpoint_id}"

ROUTES = (
    Route(verb="POST", path=_GROUPS, handler=create_group, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_GROUPS, handler=list_groups, allow=Allow.OVERSEER),
    Route(verb="GET", path=_GROUP, handler=show_group, allow=Allow.OVERSEER),
    Route(verb="PATCH", path=_GROUP, handler=update_group, allow=Allow.ADMIN),
    Route(verb="DELETE", path=_GROUP, handler=delete_group, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(verb="GET", path=f"{_GROUP}/endpoints", handler=list_group_endpoints, allow=Allow.OVERSEER),
    Route(verb="GET", path=f"{_GROUP}/projects", handler=list_group_projects, allow=Allow.OVERSEER),
    Route(verb="PUT", path=_GROUP_PROJECT, handler=link_group, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(verb="GET", path=_GROUP_PROJECT, handler=check_group, allow=Allow.OVERSEER),
    Route(verb="DELETE", path=_GROUP_PROJECT, handler=unlink_group, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(
        verb="GET",
        path=f"/{_EXT}/endpoints/{{endpoint_id}}/projects",
        handler=list_endpoint_projects,
        allow=Allow.OVERSEER,
    ),
    Route(verb="GET", path=f"{_PROJECT}/endpoints", handler=list_project_endpoints, allow=Allow.OVERSEER),
    Route(verb="GET", path=f"{_PROJECT}/endpoint_groups", handler=list_project_groups, allow=Allow.OVERSEER),
    Route(verb="PUT", path=_PROJECT_ENDPOINT, handler=link_endpoint, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(verb="GET", path=_PROJECT_ENDPOINT, handler=check_endpoint, allow=Allow.OVERSEER, done=Done.EMPTY),
    Route(verb="DELETE", path=_PROJECT_ENDPOINT, handler=unlink_endpoint, allow=Allow.ADMIN, done=Done.EMPTY),
)
