"""What the group routes do (Cinder v3, "Groups", from microversion 3.13 on)."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

import storage.volumes
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.command import Command
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.ids import VolumeId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View
from noded.core.times import naive_micro
from storage import inputs
from storage.endpoint import ZONE
from storage.group_snapshots.model import GroupSnapshot, snapshots_in
from storage.group_types.model import GroupType
from storage.groups.commands import ChangeGroup, CreateGroup, DeleteGroup, ResetGroupStatus, status
from storage.inputs import Body, Flag
from storage.lookup import group_of
from storage.paging import paged
from storage.types.model import VolumeType, get_type, type_named
from storage.volumes.commands import PLACES_CHANGED
from storage.volumes.model import Group, Volume, volumes_in

SINCE: Final = (3, 13)
FROM_SOURCE: Final = (3, 14)
RESET: Final = (3, 20)
VOLUMES: Final = (3, 25)
REPLICATION: Final = (3, 38)
PROJECT: Final = (3, 58)
STATUSES: Final = ("available", "creating", "deleted", "deleting", "error", "error_deleting", "updating")


class NewGroup(Body, frozen=True):
    """The body of a creation."""

    group_type: str
    volume_types: list[str]
    name: str | None = None
    description: str | None = None
    availability_zone: str | None = None


class NewGroupBody(Body, frozen=True):
    """Its wrapper."""

    group: NewGroup


class GroupSource(Body, frozen=True):
    """The value of `create-from-src`."""

    name: str | None = None
    description: str | None = None
    group_snapshot_id: str | None = None
    source_group_id: str | None = None


class GroupSourceBody(Body, frozen=True):
    """Its wrapper: the only action without a group there is."""

    source: GroupSource = msgspec.field(name="create-from-src")


class GroupChange(Body, frozen=True):
    """The body of a change; volumes are ids with commas between."""

    name: str | None = None
    description: str | None = None
    add_volumes: str | None = None
    remove_volumes: str | None = None


class GroupChangeBody(Body, frozen=True):
    """Its wrapper."""

    group: GroupChange


class Deletion(Body, frozen=True):
    """The value of `delete`."""

    with_volumes: Flag = msgspec.field(name="delete-volumes", default=False)


class Status(Body, frozen=True):
    """The value of `reset_status`."""

    status: str


class ActionBody(Body, frozen=True):
    """The actions of a group; one of them."""

    delete: Deletion | None = None
    reset_status: Status | None = None


def _brief(group: Group) -> dict[str, object]:
    return {"id": group.id, "name": group.name}


def _detail(view: View, group: Group, version: tuple[int, int], *, volumes: bool) -> dict[str, object]:
    body: dict[str, object] = {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "status": status(view, group),
        "availability_zone": ZONE,
        "created_at": naive_micro(group.created_at_ms),
        "group_type": group.group_type_id,
        "volume_types": list(group.volume_type_ids),
    }
    if version >= FROM_SOURCE:
        body |= {"group_snapshot_id": group.group_snapshot_id, "source_group_id": group.source_group_id}
    if version >= VOLUMES and volumes:
        body["volumes"] = [volume.id for volume in volumes_in(view, group.id)]
    if version >= REPLICATION:
        body["replication_status"] = "not-capable"
    if version >= PROJECT:
        body["project_id"] = group.project_id
    return body


async def create_group(request: Request) -> Response:
    """A group without volumes."""
    new, view, group_id = (await request.json(NewGroupBody)).group, request.cluster.view(), dice.new_uuid()
    if new.availability_zone not in (None, "", ZONE):
        raise Invalid(f"Availability zone {new.availability_zone[:255]!r} is invalid; the only one is {ZONE}.")
    if not new.volume_types:
        raise Invalid(f"volume_types must be provided to create group {(new.name or '')[:255]}.")
    types = [_volume_type(view, request.caller, word).id for word in new.volume_types]
    await request.cluster.propose(
        CreateGroup(
            group_id=group_id,
            project_id=request.caller.project,
            user_id=request.caller.user_id,
            name=inputs.text(new.name, "name").strip(),
            description=None if new.description is None else inputs.text(new.description, "description"),
            group_type_id=_group_type(view, request.caller, new.group_type).id,
            volume_type_ids=tuple(dict.fromkeys(types)),
            now_ms=now_ms(),
        )
    )
    return Response(body={"group": _brief(request.cluster.view().need(Group, group_id))})


async def create_group_from_source(request: Request) -> Response:
    """A group whose volumes begin as what those of a group snapshot, or of another group, are at one moment."""
    new, group_id = (await request.json(GroupSourceBody)).source, dice.new_uuid()
    if bool(new.group_snapshot_id) == bool(new.source_group_id):
        raise Invalid(
            "Either 'group_snapshot_id' or 'source_group_id' must be provided to create a group from source, and not"
            " both."
        )
    await propose_chosen(request.cluster, partial(_copies, request, new, group_id), PLACES_CHANGED)
    return Response(body={"group": _brief(request.cluster.view().need(Group, group_id))})


def _copies(request: Request, new: GroupSource, group_id: str) -> list[Command]:
    """The group, and for each volume the clone that comes into it; of a group all with one cut, at one moment."""
    view = request.cluster.view()
    if new.group_snapshot_id:
        found = _group_snapshot(request, new.group_snapshot_id)
        source = view.need(Group, found.group_id)
        originals = [view.get(Volume, each.id) for each in snapshots_in(view, found.id)]
    else:
        source = group_of(request, new.source_group_id or "")
        originals = list(volumes_in(view, source.id))
    if not originals or None in originals:
        raise Invalid("Invalid group: the source has no volumes, or snapshots that are not there yet.")
    cut_id, moment = dice.new_uuid(), now_ms()
    group = CreateGroup(
        group_id=group_id,
        project_id=request.caller.project,
        user_id=request.caller.user_id,
        name=inputs.text(new.name, "name").strip(),
        description=None if new.description is None else inputs.text(new.description, "description"),
        group_type_id=source.group_type_id,
        volume_type_ids=source.volume_type_ids,
        now_ms=moment,
        group_snapshot_id=new.group_snapshot_id or None,
        source_group_id=new.source_group_id or None,
    )
    clones = [
        storage.volumes.CreateClone(
            volume_id=VolumeId(dice.new_uuid()),
            source_id=original.volume_id,
            frozen_id=VolumeId(dice.new_uuid()),
            cut_id=cut_id,
            project_id=request.caller.project,
            user_id=request.caller.user_id,
            name="",
            size_bytes=original.size_bytes,
            tail=(),
            now_ms=moment,
            type_id=original.type_id,
            multiattach=original.multiattach,
            group_id=group_id,
        )
        for original in originals
        if original is not None
    ]
    return [group, *clones]


async def list_groups(request: Request) -> Response:
    """The short list."""
    page, links = _page(request)
    return Response(body={"groups": [_brief(group) for group in page], **links})


async def list_groups_detail(request: Request) -> Response:
    """The full list."""
    page, links = _page(request)
    view, version, volumes = request.cluster.view(), request.microversion, _with_volumes(request)
    return Response(body={"groups": [_detail(view, group, version, volumes=volumes) for group in page], **links})


def _page(request: Request) -> tuple[list[Group], dict[str, object]]:
    view, query, caller = request.cluster.view(), request.query, request.caller
    found = view.all(Group) if inputs.everyones(caller, query) else view.find(Group, "project_id", caller.project)
    facts: dict[str, Callable[[Group], str]] = {
        "id": lambda group: group.id,
        "name": lambda group: group.name,
        "status": lambda group: status(view, group),
        "group_type": lambda group: group.group_type_id,
    }
    wanted = {word: value for word, value in query.items() if word in facts}
    found = [group for group in found if all(facts[word](group) == value for word, value in wanted.items())]
    keys: dict[str, Any] = facts | {"created_at": lambda group: group.created_at_ms}
    return paged(found, query, request.base_url + request.path, keys, word="group", noun="Group")


def _with_volumes(request: Request) -> bool:
    return inputs.flag(request.query.get("list_volume", "false"), "list_volume")


async def show_group(request: Request) -> Response:
    """One group."""
    view, group = request.cluster.view(), _named(request)
    return Response(body={"group": _detail(view, group, request.microversion, volumes=_with_volumes(request))})


async def update_group(request: Request) -> Response:
    """New words on a group; volumes into it and out of it."""
    change, group = (await request.json(GroupChangeBody)).group, _named(request)
    added, removed = _ids(change.add_volumes), _ids(change.remove_volumes)
    if change.name is None and change.description is None and not added and not removed:
        raise Invalid("Name, description, add_volumes, and remove_volumes can not be all empty in the request body.")
    if set(added) & set(removed):
        raise Invalid("Invalid volume: a volume can't be in both the add_volumes list and the remove_volumes list.")
    await request.cluster.propose(
        ChangeGroup(
            group_id=group.id,
            name=None if change.name is None else inputs.text(change.name.strip(), "name"),
            description=None if change.description is None else inputs.text(change.description, "description"),
            added=added,
            removed=removed,
        )
    )
    return Response()


def _ids(written: str | None) -> tuple[VolumeId, ...]:
    return tuple(dict.fromkeys(VolumeId(word.strip()) for word in (written or "").split(",") if word.strip()))


async def act_on_group(request: Request) -> Response:
    """Delete it, with its volumes where that is said; or, for administrators, say its status."""
    body, group = await request.json(ActionBody), _named(request)
    if (body.delete is None) == (body.reset_status is None):
        raise Invalid("There is no such action: the body must name exactly one of delete and reset_status.")
    if body.delete is not None:
        flag = inputs.flag(body.delete.with_volumes, "delete-volumes")
        await request.cluster.propose(DeleteGroup(group_id=group.id, with_volumes=flag))
    elif body.reset_status is not None:
        if request.microversion < RESET:
            raise Invalid("There is no such action: reset_status is there since microversion 3.20.")
        if not request.caller.is_admin:
            raise Forbidden("Policy doesn't allow group:reset_status to be performed: it is for administrators.")
        word = body.reset_status.status
        if word not in STATUSES:
            raise Invalid(f"Invalid input for field/attribute status. Value: {word[:64]}. One of {STATUSES}.")
        await request.cluster.propose(ResetGroupStatus(group_id=group.id, status=word))
    return Response()


def _named(request: Request) -> Group:
    return group_of(request, request.params["group_id"])


def _group_snapshot(request: Request, wanted: str) -> GroupSnapshot:
    found = request.cluster.view().get(GroupSnapshot, wanted)
    if found is None or (found.project_id != request.caller.project_id and not request.caller.is_admin):
        raise NotFound(f"GroupSnapshot {wanted[:255]} could not be found.")
    return found


def _group_type(view: View, caller: Caller, word: str) -> GroupType:
    kind = view.get(GroupType, word) or next(iter(view.find(GroupType, "name", word)), None)
    if kind is None or not (kind.is_public or caller.is_admin):
        raise NotFound(f"Group type {word[:255]} could not be found.")
    return kind


def _volume_type(view: View, caller: Caller, word: str) -> VolumeType:
    kind = get_type(view, word) if word else None
    kind = kind or type_named(view, word)
    if kind is None or not kind.is_open_to(caller.project_id):
        raise NotFound(f"Volume type {word[:255]} could not be found.")
    return kind


_ALL, _ONE = "/v3/groups", "/v3/groups/{group_id}"
_MEMBER, _LATER = Allow.MEMBER, Done.ACCEPTED

ROUTES = (
    Route(verb="POST", path=_ALL, handler=create_group, allow=_MEMBER, done=_LATER, since=SINCE),
    Route(verb="GET", path=_ALL, handler=list_groups, allow=Allow.READER, since=SINCE),
    Route(verb="GET", path=_ALL + "/detail", handler=list_groups_detail, allow=Allow.READER, since=SINCE),
    Route(
        verb="POST",
        path=_ALL + "/action",
        handler=create_group_from_source,
        allow=_MEMBER,
        done=_LATER,
        since=FROM_SOURCE,
    ),
    Route(verb="GET", path=_ONE, handler=show_group, allow=Allow.READER, since=SINCE),
    Route(verb="PUT", path=_ONE, handler=update_group, allow=_MEMBER, done=_LATER, since=SINCE),
    Route(verb="POST", path=_ONE + "/action", handler=act_on_group, allow=_MEMBER, done=_LATER, since=SINCE),
)
