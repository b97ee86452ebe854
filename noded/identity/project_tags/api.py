"""Answers /projects/{project_id}/tags."""

import msgspec

from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.store import View
from noded.identity import views
from noded.identity.attributes import Tag, Tags
from noded.identity.domains.commands import UpdateDomain
from noded.identity.model import Domain, Project, Scope
from noded.identity.overseeing import expect_command, expect_sight
from noded.identity.projects.commands import UpdateProject
from noded.identity.standing import roles_of

_TAGS_MAX = 80


class TagsBody(msgspec.Struct, frozen=True):
    """`{"tags": [...]}`."""

    tags: Tags


async def list_tags(request: Request) -> Response:
    """GET /projects/{project_id}/tags."""
    return _answer(request, _visible(request).tags)


async def replace_tags(request: Request) -> Response:
    """PUT /projects/{project_id}/tags."""
    tags = (await request.json(TagsBody)).tags
    if len(set(tags)) < len(tags):
        raise Invalid("Invalid input: the tags of a project must be unique - at `$.tags`.")
    await _set(request, _commanded(request), tags)
    return _answer(request, tags)


async def clear_tags(request: Request) -> Response:
    """DELETE /projects/{project_id}/tags."""
    await _set(request, _commanded(request), ())
    return Response()


async def check_tag(request: Request) -> Response:
    """GET and HEAD /projects/{project_id}/tags/{tag}."""
    _need(_visible(request), request.params["tag"])
    return Response()


async def add_tag(request: Request) -> Response:
    """PUT /projects/{project_id}/tags/{tag}."""
    tagged, tag = _commanded(request), request.params["tag"]
    try:
        msgspec.convert(tag, Tag)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"Invalid input: {wrong} - at the tag in the path.") from None
    if tag not in tagged.tags:
        if len(tagged.tags) >= _TAGS_MAX:
            raise Invalid(f"A project has at most {_TAGS_MAX} tags; take one away first.")
        await _set(request, tagged, (*tagged.tags, tag))
    return Response(headers={"Location": request.base_url + request.path})


async def remove_tag(request: Request) -> Response:
    """DELETE /projects/{project_id}/tags/{tag}."""
    tagged, tag = _commanded(request), request.params["tag"]
    _need(tagged, tag)
    await _set(request, tagged, tuple(each for each in tagged.tags if each != tag))
    return Response()


def _tagged(request: Request) -> Project | Domain:
    view, id = request.cluster.view(), request.params["project_id"]
    return view.get(Domain, id) or view.need(Project, id)


def _visible(request: Request) -> Project | Domain:
    """What has the tags, for who holds a role there, and for who oversees its domain."""
    view, caller = request.cluster.view(), request.caller
    id = request.params["project_id"]
    scope = Scope.PROJECT if view.get(Domain, id) is None else Scope.DOMAIN
    if not roles_of(view, caller.user_id, scope, id):
        expect_sight(caller, _domain_id(view, id))
    return _tagged(request)


def _commanded(request: Request) -> Project | Domain:
    """What has the tags, which the caller may change."""
    expect_command(request.caller, _domain_id(request.cluster.view(), request.params["project_id"]))
    return _tagged(request)


def _domain_id(view: View, id: str) -> str | None:
    project = view.get(Project, id)
    if project is not None:
        return project.domain_id
    return None if view.get(Domain, id) is None else id


def _need(tagged: Project | Domain, tag: str) -> None:
    if tag not in tagged.tags:
        raise NotFound(f"Could not find project tag: {tag}.")


async def _set(request: Request, tagged: Project | Domain, tags: tuple[str, ...]) -> None:
    if isinstance(tagged, Project):
        await request.cluster.propose(UpdateProject(project_id=tagged.id, tags=tags))
    else:
        await request.cluster.propose(UpdateDomain(domain_id=tagged.id, tags=tags))


def _answer(request: Request, tags: tuple[str, ...]) -> Response:
    self_url = views.link(request.base_url, "projects", request.params["project_id"])
    return Response(body={"tags": list(tags), "links": {"next": None, "previous": None, "self": self_url}})


_ALL, _ONE = "/projects/{project_id}/tags", "/projects/{project_id}/tags/{tag}"

ROUTES = (
    Route(verb="GET", path=_ALL, handler=list_tags, allow=Allow.ANY_TOKEN),
    Route(verb="PUT", path=_ALL, handler=replace_tags, allow=Allow.DOMAIN_MANAGER),
    Route(verb="DELETE", path=_ALL, handler=clear_tags, allow=Allow.DOMAIN_MANAGER, done=Done.EMPTY),
    Route(verb="GET", path=_ONE, handler=check_tag, allow=Allow.ANY_TOKEN, done=Done.EMPTY),
    Route(verb="PUT", path=_ONE, handler=add_tag, allow=Allow.DOMAIN_MANAGER, done=Done.CREATED),
    Route(verb="DELETE", path=_ONE, handler=remove_tag, allow=Allow.DOMAIN_MANAGER, done=Done.EMPTY),
)
