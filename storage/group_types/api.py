"""What the group type routes do (Cinder v3, "Group types", "Group type specs", from microversion 3.11 on)."""

from typing import Any, Final

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from storage import inputs
from storage.group_types.commands import ChangeGroupType, CreateGroupType, DeleteGroupType
from storage.group_types.model import GroupType
from storage.inputs import Body, Flag, Plain
from storage.paging import paged

SINCE: Final = (3, 11)
_SORT: Any = {
    "id": lambda kind: kind.id,
    "name": lambda kind: kind.name,
    "is_public": lambda kind: kind.is_public,
    "created_at": lambda kind: kind.created_at_ms,
}


class NewGroupType(Body, frozen=True):
    """The body of a creation."""

    name: str
    description: str | None = None
    is_public: Flag = True
    group_specs: dict[str, Plain] | None = None


class NewGroupTypeBody(Body, frozen=True):
    """Its wrapper."""

    group_type: NewGroupType


class GroupTypeChange(Body, frozen=True):
    """The body of a change."""

    name: str | None = None
    description: str | None = None
    is_public: Flag | None = None


class GroupTypeChangeBody(Body, frozen=True):
    """Its wrapper."""

    group_type: GroupTypeChange


class SpecsBody(Body, frozen=True):
    """Specs to set."""

    group_specs: dict[str, Plain]


def _body(kind: GroupType, *, for_admin: bool) -> dict[str, object]:
    """A group type; its specs are for administrators."""
    body: dict[str, object] = {
        "id": kind.id,
        "name": kind.name,
        "description": kind.description,
        "is_public": kind.is_public,
    }
    return body | ({"group_specs": dict(kind.group_specs)} if for_admin else {})


def _visible(request: Request) -> GroupType:
    type_id = request.params["type_id"]
    kind = request.cluster.view().get(GroupType, type_id)
    if kind is None or not (kind.is_public or request.caller.is_admin):
        raise NotFound(f"Group type {type_id[:255]} could not be found.")
    return kind


def _shown(request: Request, type_id: str) -> Response:
    kind = request.cluster.view().need(GroupType, type_id)
    return Response(body={"group_type": _body(kind, for_admin=request.caller.is_admin)})


async def list_group_types(request: Request) -> Response:
    """The public ones; an administrator asks for the others with `is_public`."""
    query, for_admin = request.query, request.caller.is_admin
    types = request.cluster.view().all(GroupType)
    public = query.get("is_public", "true")
    if not for_admin or public.lower() != "none":
        wanted = inputs.flag(public, "is_public") if for_admin else True
        types = [kind for kind in types if kind.is_public is wanted]
    page, links = paged(types, query, request.base_url + request.path, _SORT, word="group_type", noun="Group type")
    return Response(body={"group_types": [_body(kind, for_admin=for_admin) for kind in page], **links})


async def show_default(request: Request) -> Response:  # noqa: ARG001  # every handler takes the request
    """None is the default: a group names its type."""
    raise NotFound("Default group type can not be found.")


async def show_group_type(request: Request) -> Response:
    """One."""
    return _shown(request, _visible(request).id)


async def create_group_type(request: Request) -> Response:
    """A new kind of groups."""
    new, type_id = (await request.json(NewGroupTypeBody)).group_type, dice.new_uuid()
    await request.cluster.propose(
        CreateGroupType(
            type_id=type_id,
            name=inputs.name(new.name),
            description=None if new.description is None else inputs.text(new.description, "description"),
            is_public=inputs.flag(new.is_public, "is_public"),
            group_specs=inputs.specs(new.group_specs or {}, "group_specs"),
            now_ms=now_ms(),
        )
    )
    return _shown(request, type_id)


async def update_group_type(request: Request) -> Response:
    """New words on it."""
    change, kind = (await request.json(GroupTypeChangeBody)).group_type, _visible(request)
    if change.name is None and change.description is None and change.is_public is None:
        raise Invalid("Specify group type name, description, is_public or a combination thereof.")
    await request.cluster.propose(
        ChangeGroupType(
            type_id=kind.id,
            name=None if change.name is None else inputs.name(change.name),
            description=None if change.description is None else inputs.text(change.description, "description"),
            is_public=None if change.is_public is None else inputs.flag(change.is_public, "is_public"),
        )
    )
    return _shown(request, kind.id)


async def delete_group_type(request: Request) -> Response:
    """Take a kind of groups away."""
    await request.cluster.propose(DeleteGroupType(type_id=_visible(request).id))
    return Response()


async def list_specs(request: Request) -> Response:
    """Every spec of it."""
    return Response(body={"group_specs": dict(_visible(request).group_specs)})


async def show_spec(request: Request) -> Response:
    """One spec."""
    kind, key = _visible(request), request.params["key"]
    if key not in kind.group_specs:
        raise NotFound(f"Group Type {kind.id} has no extra spec with key {key[:255]}.")
    return Response(body={key: kind.group_specs[key]})


async def set_specs(request: Request) -> Response:
    """Add or change specs."""
    changed = inputs.specs((await request.json(SpecsBody)).group_specs, "group_specs")
    await request.cluster.propose(ChangeGroupType(type_id=_visible(request).id, changed=changed))
    return Response(body={"group_specs": changed})


async def set_spec(request: Request) -> Response:
    """Change one spec; the body names the same key as the path."""
    changed = inputs.specs(await request.json(dict[str, Plain]), "group_specs")
    if set(changed) != {request.params["key"]}:
        raise Invalid("Request body and URI mismatch: the body must have the key of the path, and no other.")
    await request.cluster.propose(ChangeGroupType(type_id=_visible(request).id, changed=changed))
    return Response(body=changed)


async def delete_spec(request: Request) -> Response:
    """Remove one spec."""
    await request.cluster.propose(ChangeGroupType(type_id=_visible(request).id, removed=(request.params["key"],)))
    return Response()


_ALL, _ONE = "/v3/group_types", "/v3/group_types/{type_id}"
_SPECS, _SPEC = _ONE + "/group_specs", _ONE + "/group_specs/{key}"
_ADMIN, _LATER = Allow.ADMIN, Done.ACCEPTED

ROUTES = (
    Route(verb="GET", path=_ALL, handler=list_group_types, allow=Allow.READER, since=SINCE),
    Route(verb="POST", path=_ALL, handler=create_group_type, allow=_ADMIN, done=_LATER, since=SINCE),
    Route(verb="GET", path=_ALL + "/default", handler=show_default, allow=Allow.READER, since=SINCE),
    Route(verb="GET", path=_ONE, handler=show_group_type, allow=Allow.READER, since=SINCE),
    Route(verb="PUT", path=_ONE, handler=update_group_type, allow=_ADMIN, since=SINCE),
    Route(verb="DELETE", path=_ONE, handler=delete_group_type, allow=_ADMIN, done=_LATER, since=SINCE),
    Route(verb="GET", path=_SPECS, handler=list_specs, allow=_ADMIN, since=SINCE),
    Route(verb="POST", path=_SPECS, handler=set_specs, allow=_ADMIN, done=_LATER, since=SINCE),
    Route(verb="GET", path=_SPEC, handler=show_spec, allow=_ADMIN, since=SINCE),
    Route(verb="PUT", path=_SPEC, handler=set_spec, allow=_ADMIN, since=SINCE),
    Route(verb="DELETE", path=_SPEC, handler=delete_spec, allow=_ADMIN, done=_LATER, since=SINCE),
)
