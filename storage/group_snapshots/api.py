"""What the group snapshot routes do (Cinder v3, "Group snapshots", from microversion 3.14 on)."""

from collections.abc import Callable
from typing import Any, Final

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.ids import VolumeId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Done, Request, Response, Route, owned
from noded.core.store import View
from noded.core.times import naive_micro
from storage import inputs
from storage.group_snapshots.commands import (
    GROUP_CHANGED,
    CreateGroupSnapshot,
    DeleteGroupSnapshot,
    Part,
    ResetGroupSnapshotStatus,
)
from storage.group_snapshots.model import GroupSnapshot, status
from storage.inputs import Body
from storage.lookup import group_of
from storage.paging import paged
from storage.volumes.model import volumes_in

SINCE: Final = (3, 14)
RESET: Final = (3, 19)
PROJECT: Final = (3, 58)
STATUSES: Final = ("available", "creating", "deleted", "deleting", "error", "error_deleting")


class NewGroupSnapshot(Body, frozen=True):
    """The body of a creation."""

    group_id: str
    name: str | None = None
    description: str | None = None


class NewGroupSnapshotBody(Body, frozen=True):
    """Its wrapper."""

    group_snapshot: NewGroupSnapshot


class Status(Body, frozen=True):
    """The value of `reset_status`."""

    status: str


class ResetBody(Body, frozen=True):
    """Its wrapper: the only action there is."""

    reset_status: Status


def _brief(_: View, found: GroupSnapshot, __: tuple[int, int]) -> dict[str, object]:
    return {"id": found.id, "name": found.name}


def _detail(view: View, found: GroupSnapshot, version: tuple[int, int]) -> dict[str, object]:
    body: dict[str, object] = {
        "id": found.id,
        "name": found.name,
        "description": found.description,
        "group_id": found.group_id,
        "group_type_id": found.group_type_id,
        "status": status(view, found),
        "created_at": naive_micro(found.created_at_ms),
    }
    return body | ({"project_id": found.project_id} if version >= PROJECT else {})


async def create_group_snapshot(request: Request) -> Response:
    """A snapshot of every volume of a group, all of the same moment."""
    new = (await request.json(NewGroupSnapshotBody)).group_snapshot
    group, made_id = group_of(request, new.group_id), dice.new_uuid()
    name = inputs.text(new.name, "name").strip()
    description = None if new.description is None else inputs.text(new.description, "description")

    def order() -> CreateGroupSnapshot:
        volumes = volumes_in(request.cluster.view(), group.id)
        return CreateGroupSnapshot(
            group_snapshot_id=made_id,
            cut_id=dice.new_uuid(),
            group_id=group.id,
            user_id=request.caller.user_id,
            name=name,
            description=description,
            parts=tuple(Part(volume_id=each.volume_id, snapshot_id=VolumeId(dice.new_uuid())) for each in volumes),
            now_ms=now_ms(),
        )

    await propose_chosen(request.cluster, order, GROUP_CHANGED)
    made = request.cluster.view().need(GroupSnapshot, made_id)
    return Response(body={"group_snapshot": {"id": made.id, "name": made.name, "group_type_id": made.group_type_id}})


async def list_group_snapshots(request: Request) -> Response:
    """The short list."""
    return _listed(request, _brief)


async def list_group_snapshots_detail(request: Request) -> Response:
    """The full list."""
    return _listed(request, _detail)


def _listed(request: Request, shown: Callable[[View, GroupSnapshot, tuple[int, int]], dict[str, object]]) -> Response:
    view, query, caller = request.cluster.view(), request.query, request.caller
    everyones = inputs.everyones(caller, query)
    found = view.all(GroupSnapshot) if everyones else view.find(GroupSnapshot, "project_id", caller.project)
    facts: dict[str, Callable[[GroupSnapshot], str]] = {
        "id": lambda each: each.id,
        "name": lambda each: each.name,
        "status": lambda each: status(view, each),
        "group_id": lambda each: each.group_id,
        "group_type_id": lambda each: each.group_type_id,
    }
    wanted = {word: value for word, value in query.items() if word in facts}
    found = [each for each in found if all(facts[word](each) == value for word, value in wanted.items())]
    keys: dict[str, Any] = facts | {"created_at": lambda each: each.created_at_ms}
    url = request.base_url + request.path
    page, links = paged(found, query, url, keys, word="group_snapshot", noun="Group snapshot")
    return Response(body={"group_snapshots": [shown(view, each, request.microversion) for each in page], **links})


async def show_group_snapshot(request: Request) -> Response:
    """One group snapshot."""
    found = _detail(request.cluster.view(), _named(request), request.microversion)
    return Response(body={"group_snapshot": found})


async def delete_group_snapshot(request: Request) -> Response:
    """Delete it with all its snapshots."""
    await request.cluster.propose(DeleteGroupSnapshot(group_snapshot_id=_named(request).id))
    return Response()


async def act_on_group_snapshot(request: Request) -> Response:
    """The one action that there is: an administrator says its status."""
    word = (await request.json(ResetBody)).reset_status.status
    if word not in STATUSES:
        raise Invalid(f"Invalid input for field/attribute status. Value: {word[:64]}. One of {STATUSES}.")
    await request.cluster.propose(ResetGroupSnapshotStatus(group_snapshot_id=_named(request).id, status=word))
    return Response()


def _named(request: Request) -> GroupSnapshot:
    wanted = request.params["group_snapshot_id"]
    found = request.cluster.view().get(GroupSnapshot, wanted)
    try:
        return owned(request.caller, found, found.project_id if found else None, wanted)
    except NotFound:
        raise NotFound(f"GroupSnapshot {wanted[:255]} could not be found.") from None


_ALL, _ONE = "/v3/group_snapshots", "/v3/group_snapshots/{group_snapshot_id}"
_LATER = Done.ACCEPTED

ROUTES = (
    Route(verb="POST", path=_ALL, handler=create_group_snapshot, allow=Allow.MEMBER, done=_LATER, since=SINCE),
    Route(verb="GET", path=_ALL, handler=list_group_snapshots, allow=Allow.READER, since=SINCE),
    Route(verb="GET", path=_ALL + "/detail", handler=list_group_snapshots_detail, allow=Allow.READER, since=SINCE),
    Route(verb="GET", path=_ONE, handler=show_group_snapshot, allow=Allow.READER, since=SINCE),
    Route(verb="DELETE", path=_ONE, handler=delete_group_snapshot, allow=Allow.MEMBER, done=_LATER, since=SINCE),
    Route(
        verb="POST", path=_ONE + "/action", handler=act_on_group_snapshot, allow=Allow.ADMIN, done=_LATER, since=RESET
    ),
)
