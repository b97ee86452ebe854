"""What the snapshot routes do, and those of volumes that concern their snapshots (Cinder v3, "Volume snapshots")."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.ids import VolumeId
from noded.core.route import Allow, Done, Request, Response, Route, owned
from noded.core.store import View
from storage import inputs
from storage.actions import Action
from storage.inputs import Body, Flag
from storage.lookup import named_volume, volume_of
from storage.paging import paged
from storage.snapshots.commands import (
    ChangeSnapshot,
    CreateSnapshot,
    DeleteSnapshot,
    ResetSnapshotStatus,
    RevertVolume,
    UpdateSnapshotStatus,
)
from storage.snapshots.model import Snapshot, snapshots_of, status
from storage.snapshots.views import snapshot_brief, snapshot_detail
from storage.volumes.commands import DeleteVolume
from storage.volumes.model import Volume

FORCE_IMPLIED: Final = (3, 66)  # from here on snapshots of attached volumes need no word, and may not be refused one
LIKE_FILTERS: Final = (3, 34)
COUNT: Final = (3, 45)
REVERT: Final = (3, 40)
DELETE_FORCE: Final = (3, 23)
STATUSES: Final = ("available", "backing-up", "creating", "deleted", "deleting", "error", "error_deleting")


class NewSnapshot(Body, frozen=True):
    """The body of a creation."""

    volume_id: str | None  # clients send null and are told that there is no such volume
    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    display_description: str | None = None
    force: Flag | None = None
    metadata: dict[str, str] | None = None


class NewSnapshotBody(Struct, frozen=True):
    """Its wrapper."""

    snapshot: NewSnapshot


class SnapshotChange(Body, frozen=True):
    """The body of a change."""

    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    display_description: str | None = None


class SnapshotChangeBody(Struct, frozen=True):
    """Its wrapper."""

    snapshot: SnapshotChange


class MetadataBody(Body, frozen=True):
    """Metadata to set."""

    metadata: dict[str, str]


class MetaBody(Body, frozen=True):
    """One item to set."""

    meta: dict[str, str]


class Status(Body, frozen=True):
    """What an administrator, or a driver, says."""

    status: str
    progress: str | None = None


class Reversion(Body, frozen=True):
    """The value of `revert`."""

    snapshot_id: str


async def create_snapshot(request: Request) -> Response:
    """A snapshot of a volume; also of one that is in use, if it is said."""
    new = (await request.json(NewSnapshotBody)).snapshot
    volume = volume_of(request, new.volume_id if new.volume_id is not None else "None")
    force = new.force is not None and inputs.flag(new.force, "force")
    if request.microversion >= FORCE_IMPLIED:
        if new.force is not None and not force:
            raise Invalid("Invalid input for field/attribute force: since microversion 3.66 it can't be false.")
        force = True
    snapshot_id = VolumeId(dice.new_uuid())
    await request.cluster.propose(
        CreateSnapshot(
            snapshot_id=snapshot_id,
            cut_id=dice.new_uuid(),
            volume_id=volume.volume_id,
            project_id=volume.project_id,
            user_id=request.caller.user_id,
            name=inputs.text(new.name if new.name is not None else new.display_name, "name").strip(),
            description=inputs.text(
                new.description if new.description is not None else new.display_description, "description"
            ),
            metadata=inputs.metadata(new.metadata or {}),
            force=force,
            now_ms=now_ms(),
        )
    )
    view = request.cluster.view()
    snapshot = view.need(Snapshot, snapshot_id)
    body = snapshot_brief(view, snapshot, request.microversion)
    return Response(body={"snapshot": body | {"status": "creating"}})


async def list_snapshots(request: Request) -> Response:
    """The short list."""
    return _listed(request, snapshot_brief)


async def list_snapshots_detail(request: Request) -> Response:
    """The full list."""
    return _listed(request, snapshot_detail)


def _listed(request: Request, shown: Callable[[View, Snapshot, tuple[int, int]], dict[str, object]]) -> Response:
    view, query, version = request.cluster.view(), request.query, request.microversion
    everyones = inputs.everyones(request.caller, query)
    found = view.all(Snapshot) if everyones else view.find(Snapshot, "project_id", request.caller.project)
    found = [each for each in found if _matches(view, each, query, version)]
    url = request.base_url + request.path
    page, links = paged(found, query, url, _sort_keys(view), word="snapshots", noun="Snapshot")
    body: dict[str, object] = {"snapshots": [shown(view, each, version) for each in page], **links}
    if version >= COUNT and "with_count" in query and inputs.flag(query["with_count"], "with_count"):
        body["count"] = len(found)
    return Response(body=body)


def _sort_keys(view: View) -> Mapping[str, Callable[[Snapshot], Any]]:
    return {
        "id": lambda each: each.id,
        "name": lambda each: each.name,
        "status": lambda each: status(view, each),
        "volume_id": lambda each: each.volume_id,
        "size": lambda each: each.size_bytes,
        "created_at": lambda each: each.created_at_ms,
        "updated_at": lambda each: each.updated_at_ms,
    }


def _matches(view: View, snapshot: Snapshot, query: Mapping[str, str], version: tuple[int, int]) -> bool:
    facts = {
        "id": snapshot.id,
        "name": snapshot.name,
        "display_name": snapshot.name,
        "status": status(view, snapshot),
        "volume_id": snapshot.volume_id,
        "project_id": snapshot.project_id,
        "user_id": snapshot.user_id,
    }
    for word, value in query.items():
        if word == "metadata":
            if not inputs.pairs(value, word).items() <= snapshot.metadata.items():
                return False
        elif word.endswith("~") and version >= LIKE_FILTERS and word[:-1] in facts:
            if value.lower() not in facts[word[:-1]].lower():
                return False
        elif word in facts and facts[word].lower() != value.lower():
            return False
    return True


async def show_snapshot(request: Request) -> Response:
    """One snapshot."""
    found = snapshot_detail(request.cluster.view(), _named(request), request.microversion)
    return Response(body={"snapshot": found})


async def update_snapshot(request: Request) -> Response:
    """New words on a snapshot."""
    change = (await request.json(SnapshotChangeBody)).snapshot
    name = change.name if change.name is not None else change.display_name
    description = change.description if change.description is not None else change.display_description
    if name is None and description is None:
        raise Invalid("Invalid input for field/attribute snapshot. It names nothing to change.")
    await request.cluster.propose(
        ChangeSnapshot(
            snapshot_id=_named(request).frozen_id,
            name=None if name is None else inputs.text(name.strip(), "name"),
            description=None if description is None else inputs.text(description.strip(), "description"),
            now_ms=now_ms(),
        )
    )
    found = snapshot_brief(request.cluster.view(), _named(request), request.microversion)
    return Response(body={"snapshot": found})


async def delete_snapshot(request: Request) -> Response:
    """Delete a snapshot; volumes that were made from it stay as they are."""
    await request.cluster.propose(DeleteSnapshot(snapshot_id=_named(request).frozen_id))
    return Response()


async def show_metadata(request: Request) -> Response:
    """All metadata of a snapshot."""
    return Response(body={"metadata": dict(_named(request).metadata)})


async def add_metadata(request: Request) -> Response:
    """Some more metadata."""
    added = inputs.metadata((await request.json(MetadataBody)).metadata)
    await _change(request, ChangeSnapshot(snapshot_id=_named(request).frozen_id, added=added, now_ms=now_ms()))
    return await show_metadata(request)


async def replace_metadata(request: Request) -> Response:
    """These metadata and no others."""
    words = inputs.metadata((await request.json(MetadataBody)).metadata)
    await _change(request, ChangeSnapshot(snapshot_id=_named(request).frozen_id, metadata=words, now_ms=now_ms()))
    return await show_metadata(request)


async def show_item(request: Request) -> Response:
    """One item."""
    words, key = _named(request).metadata, request.params["key"]
    if key not in words:
        raise NotFound(f"Metadata item was not found: the snapshot has none with key {key[:255]}.")
    return Response(body={"meta": {key: words[key]}})


async def set_item(request: Request) -> Response:
    """Set one item; the body names the same key as the path."""
    meta = (await request.json(MetaBody)).meta
    if set(meta) != {request.params["key"]}:
        raise Invalid("Request body and URI mismatch: the body must have the key of the path, and no other.")
    added = inputs.metadata(meta)
    await _change(request, ChangeSnapshot(snapshot_id=_named(request).frozen_id, added=added, now_ms=now_ms()))
    return Response(body={"meta": meta})


async def remove_item(request: Request) -> Response:
    """One item less."""
    removed = (request.params["key"],)
    await _change(request, ChangeSnapshot(snapshot_id=_named(request).frozen_id, removed=removed, now_ms=now_ms()))
    return Response()


async def _change(request: Request, command: ChangeSnapshot) -> None:
    await request.cluster.propose(command)


async def act_on_snapshot(request: Request) -> Response:
    """One of the actions; the body says which. A driver's progress is for members, the others for administrators."""
    body = await request.json(dict[str, Raw])
    [(name, value)] = body.items() if len(body) == 1 else [("", Raw(b"null"))]
    if name not in ("os-reset_status", "os-update_snapshot_status", "os-force_delete"):
        raise Invalid("There is no such action: os-reset_status, os-update_snapshot_status and os-force_delete are.")
    if name != "os-update_snapshot_status" and not request.caller.is_admin:
        raise Forbidden(f"Policy doesn't allow {name} to be performed: it is for administrators.")
    snapshot = _named(request)
    if name == "os-force_delete":
        await request.cluster.propose(DeleteSnapshot(snapshot_id=snapshot.frozen_id, force=True))
        return Response()
    said = _status(value)
    if name == "os-reset_status":
        await request.cluster.propose(ResetSnapshotStatus(snapshot_id=snapshot.frozen_id, status=said.status))
        return Response()
    progress = inputs.text(said.progress, "progress")
    if progress and not (progress.endswith("%") and progress[:-1].isascii() and progress[:-1].isdecimal()):
        raise Invalid(f"Invalid input for field/attribute progress. Value: {progress[:64]}. It must look like 80%.")
    await request.cluster.propose(
        UpdateSnapshotStatus(snapshot_id=snapshot.frozen_id, status=said.status, progress=progress)
    )
    return Response()


def _status(value: Raw) -> Status:
    try:
        said = msgspec.json.decode(value, type=Status)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"Invalid input: {wrong}.") from None
    if said.status not in STATUSES:
        raise Invalid(f"Invalid input for field/attribute status. Value: {said.status[:64]}. One of {STATUSES}.")
    return said


async def delete_volume(request: Request) -> Response:
    """Delete the volume and what is in it; with `cascade` its snapshots too, which would keep it otherwise.

    With `force`, for administrators, whatever goes on with it.
    """
    volume, query = named_volume(request), request.query
    asked = query.get("force", "false") if request.microversion >= DELETE_FORCE else "false"
    force = inputs.flag(asked, "force")
    if force and not request.caller.is_admin:
        raise Forbidden("Policy doesn't allow volume_extension:volume_admin_actions:force_delete to be performed.")
    orders: list[DeleteSnapshot] = []
    if "cascade" in query and inputs.flag(query["cascade"], "cascade"):
        found = snapshots_of(request.cluster.view(), volume.volume_id)
        orders = [DeleteSnapshot(snapshot_id=each.frozen_id, force=True) for each in found]
    await request.cluster.propose(*orders, DeleteVolume(volume_id=volume.volume_id, force=force))
    return Response()


async def _revert(request: Request, volume: Volume, value: Reversion) -> Response:
    snapshot = _snapshot(request, value.snapshot_id)
    await request.cluster.propose(
        RevertVolume(
            volume_id=volume.volume_id,
            snapshot_id=snapshot.frozen_id,
            leftover_id=VolumeId(dice.new_uuid()),
            layer_id=dice.new_uuid(),
        )
    )
    return Response()


def _named(request: Request) -> Snapshot:
    return _snapshot(request, request.params["snapshot_id"])


def _snapshot(request: Request, snapshot_id: str) -> Snapshot:
    found = request.cluster.view().get(Snapshot, snapshot_id)
    try:
        return owned(request.caller, found, found.project_id if found else None, snapshot_id)
    except NotFound:
        raise NotFound(f"Snapshot {snapshot_id[:255]} could not be found.") from None


ACTIONS: Final[dict[str, Action]] = {
    "revert": Action(act=_revert, form=Reversion, since=REVERT),
}

_ONE = "/v3/snapshots/{snapshot_id}"

ROUTES = (
    Route(verb="DELETE", path="/v3/volumes/{volume_id}", handler=delete_volume, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="POST", path="/v3/snapshots", handler=create_snapshot, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="GET", path="/v3/snapshots", handler=list_snapshots, allow=Allow.READER),
    Route(verb="GET", path="/v3/snapshots/detail", handler=list_snapshots_detail, allow=Allow.READER),
    Route(verb="GET", path=_ONE, handler=show_snapshot, allow=Allow.READER),
    Route(verb="PUT", path=_ONE, handler=update_snapshot, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_ONE, handler=delete_snapshot, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="POST", path=_ONE + "/action", handler=act_on_snapshot, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="GET", path=_ONE + "/metadata", handler=show_metadata, allow=Allow.READER),
    Route(verb="POST", path=_ONE + "/metadata", handler=add_metadata, allow=Allow.MEMBER),
    Route(verb="PUT", path=_ONE + "/metadata", handler=replace_metadata, allow=Allow.MEMBER),
    Route(verb="GET", path=_ONE + "/metadata/{key}", handler=show_item, allow=Allow.READER),
    Route(verb="PUT", path=_ONE + "/metadata/{key}", handler=set_item, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_ONE + "/metadata/{key}", handler=remove_item, allow=Allow.MEMBER),
)
