"""What the backup routes do (Cinder v3, "Backups", "Backup actions")."""

import re
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

from consensus.liveness.links import Watch
from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import Invalid, NotFound
from noded.core.ids import VolumeId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Done, Request, Response, Route, owned
from storage import inputs
from storage.backups.commands import (
    ChangeBackup,
    CreateBackup,
    DeleteBackup,
    ImportBackup,
    ResetBackup,
    file_bytes,
)
from storage.backups.model import CONTAINER, POOL, Backup, default_target
from storage.backups.records import exported, imported, safe_container
from storage.backups.views import (
    COUNT,
    LIKE_FILTERS,
    METADATA,
    SORT_KEYS,
    UPDATE,
    backup_brief,
    backup_detail,
    restoring,
    status,
)
from storage.backups.work import BeginRestore
from storage.extents.layout import extent_count
from storage.inputs import Body, Flag
from storage.lookup import volume_of
from storage.paging import paged
from storage.types.model import default_type
from storage.volumes.commands import PLACES_CHANGED, choose_layout
from storage.volumes.model import VOLUME_BYTES_MAX, Volume, extent_bytes_for, whole_blocks

_UUID: Final = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


class NewBackup(Body, frozen=True):
    """The body of a creation."""

    volume_id: str
    name: str | None = None
    description: str | None = None
    container: str | None = None
    incremental: Flag | None = None
    force: Flag | None = None
    snapshot_id: str | None = None
    metadata: dict[str, str] | None = None
    availability_zone: str | None = None


class NewBackupBody(Struct, frozen=True):
    """Its wrapper."""

    backup: NewBackup


class BackupChange(Body, frozen=True):
    """The body of a change."""

    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None


class BackupChangeBody(Struct, frozen=True):
    """Its wrapper."""

    backup: BackupChange


class Restore(Body, frozen=True):
    """The body of a restore."""

    volume_id: str | None = None
    name: str | None = None


class RestoreBody(Struct, frozen=True):
    """Its wrapper."""

    restore: Restore


class RecordForm(Body, frozen=True):
    """A record to import."""

    backup_service: str
    backup_url: str


class RecordBody(Struct, frozen=True):
    """Its wrapper."""

    record: RecordForm = msgspec.field(name="backup-record")


class StatusForm(Body, frozen=True):
    """The status that a backup is set to."""

    status: str


class ActionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """One of the actions."""

    reset: StatusForm | None = msgspec.field(name="os-reset_status", default=None)
    force_delete: dict[str, object] | msgspec.UnsetType | None = msgspec.field(
        name="os-force_delete", default=msgspec.UNSET
    )


async def create_backup(request: Request) -> Response:
    """Back up a volume, all of it or what changed since its last backup."""
    new = (await request.json(NewBackupBody)).backup
    if new.metadata is not None and request.microversion < METADATA:
        raise Invalid("Additional properties are not allowed ('metadata' was unexpected before microversion 3.43).")
    _uuid(new.volume_id, "volume_id")
    volume = volume_of(request, new.volume_id)
    incremental = new.incremental is not None and inputs.flag(new.incremental, "incremental")
    force = inputs.flag(new.force or False, "force")
    if new.snapshot_id is not None:
        _need_snapshot(request, new.snapshot_id, volume)
    backup_id = dice.new_uuid()
    file_id, frozen_id = VolumeId(dice.new_uuid()), VolumeId(dice.new_uuid())
    name, description = inputs.text(new.name, "name").strip(), inputs.text(new.description, "description")
    container = safe_container(new.container) if new.container else CONTAINER
    metadata = inputs.metadata(new.metadata or {})

    def chosen() -> CreateBackup:
        view = request.cluster.view()
        in_use = new.snapshot_id is None and _must_be_frozen(view.need(Volume, volume.id), forced=force)
        target = default_target(view)
        size_bytes = file_bytes(volume.size_bytes)
        extent_bytes = extent_bytes_for(size_bytes)
        in_pool = target == POOL
        if in_pool and size_bytes > VOLUME_BYTES_MAX:
            raise Invalid(f"Volume {volume.id} is too large to be backed up in the pool: add another backup target.")
        extents = range(extent_count(whole_blocks(size_bytes), extent_bytes))
        return CreateBackup(
            backup_id=backup_id,
            project_id=volume.project_id,
            user_id=request.caller.user_id,
            name=name,
            description=description,
            metadata=metadata,
            volume_id=volume.volume_id,
            parent_id=_newest(request, volume).id if incremental else None,
            target_id=target,
            container=container,
            file_id=file_id if in_pool else None,
            file_extent_bytes=extent_bytes if in_pool else 0,
            file_layout=choose_layout(view, request.driver(Watch).usable(), file_id, extents) if in_pool else (),
            snapshot_id=new.snapshot_id,
            frozen_id=frozen_id if in_use else None,
            now_ms=now_ms(),
        )

    await propose_chosen(request.cluster, chosen, PLACES_CHANGED)
    return Response(body={"backup": backup_brief(_need(request, backup_id), request.base_url)})


def _must_be_frozen(volume: Volume, *, forced: bool) -> bool:
    """Whether a snapshot of the volume must be made to read it: somebody uses it. Raises `Invalid` as Cinder does."""
    if volume.status not in ("available", "in-use"):
        raise Invalid(
            "Invalid volume: Volume to be backed up must be available or in-use, but the current status is"
            f' "{volume.status}".'
        )
    if volume.status == "in-use" and not forced:
        raise Invalid("Invalid volume: Backing up a volume in use must use the force flag.")
    return volume.status == "in-use"


def _need_snapshot(request: Request, snapshot_id: str, volume: Volume) -> None:
    _uuid(snapshot_id, "snapshot_id")
    snapshot = request.cluster.view().get(Volume, snapshot_id)
    if snapshot is None or snapshot.deleting or snapshot.snapshot_of != volume.id:
        raise NotFound(f"Snapshot {snapshot_id} could not be found.")


def _newest(request: Request, volume: Volume) -> Backup:
    """What an incremental backup builds on: the volume's newest backup."""
    backups = [
        backup
        for backup in request.cluster.view().find(Backup, "volume_id", volume.id)
        if backup.project_id == volume.project_id and status(backup) not in ("error", "deleting")
    ]
    if not backups:
        raise Invalid("Invalid backup: No backups available to do an incremental backup.")
    newest = max(backups, key=lambda backup: (backup.data_at_ms, backup.id))
    if status(newest) != "available":
        raise Invalid("Invalid backup: The parent backup must be available for incremental backup.")
    return newest


async def list_backups(request: Request) -> Response:
    """The short list."""
    page, rest = _page(request)
    return Response(body={"backups": [backup_brief(backup, request.base_url) for backup in page], **rest})


async def list_backups_detail(request: Request) -> Response:
    """The full list."""
    page, rest = _page(request)
    return Response(body={"backups": [_detail(request, backup) for backup in page], **rest})


def _page(request: Request) -> tuple[list[Backup], dict[str, object]]:
    view, query, caller = request.cluster.view(), request.query, request.caller
    everyones = caller.is_admin and inputs.flag(query.get("all_tenants", "0") or "1", "all_tenants")
    found = view.all(Backup) if everyones else view.find(Backup, "project_id", caller.project)
    facts: dict[str, Callable[[Backup], str]] = {
        "name": lambda each: each.name,
        "status": status,
        "volume_id": lambda each: str(each.volume_id),
    }
    if everyones:
        facts["project_id"] = lambda each: str(each.project_id)
    for word, value in query.items():
        like = word.endswith("~") and request.microversion >= LIKE_FILTERS
        fact = facts.get(word.removesuffix("~") if like else word)
        if fact is not None:
            found = [each for each in found if (value in fact(each) if like else fact(each) == value)]
    page, links = paged(found, query, request.base_url + request.path, SORT_KEYS, word="backups", noun="Backup")
    if request.microversion >= COUNT and inputs.flag(query.get("with_count", "0"), "with_count"):
        links["count"] = len(found)
    return page, links


async def show_backup(request: Request) -> Response:
    """One backup."""
    return Response(body={"backup": _detail(request, _own(request))})


async def update_backup(request: Request) -> Response:
    """New words on a backup."""
    change = (await request.json(BackupChangeBody)).backup
    if change.metadata is not None and request.microversion < METADATA:
        raise Invalid("Additional properties are not allowed ('metadata' was unexpected before microversion 3.43).")
    if change.name is None and change.description is None and change.metadata is None:
        raise Invalid("Invalid input for field/attribute backup. It names nothing to change.")
    backup = _own(request)
    await request.cluster.propose(
        ChangeBackup(
            backup_id=backup.id,
            name=None if change.name is None else inputs.text(change.name, "name").strip(),
            description=None if change.description is None else inputs.text(change.description, "description"),
            metadata=None if change.metadata is None else inputs.metadata(change.metadata),
            now_ms=now_ms(),
        )
    )
    return Response(body={"backup": backup_brief(_need(request, backup.id), request.base_url)})


async def delete_backup(request: Request) -> Response:
    """Delete a backup on which no other builds."""
    await request.cluster.propose(DeleteBackup(backup_id=_own(request).id, now_ms=now_ms()))
    return Response()


async def restore_backup(request: Request) -> Response:
    """Write a backup over a volume that nobody uses, or to a new one."""
    form = (await request.json(RestoreBody)).restore
    backup = _own(request)
    if form.volume_id:
        _uuid(form.volume_id, "volume_id")
        volume = volume_of(request, form.volume_id)
        await request.cluster.propose(
            BeginRestore(
                backup_id=backup.id,
                volume_id=volume.volume_id,
                project_id=request.caller.project,
                user_id=request.caller.user_id,
                new=False,
                now_ms=now_ms(),
            )
        )
        return Response(body=restoring(backup, volume.id, volume.name))
    name = inputs.text(form.name, "name").strip() or f"restore_backup_{backup.id}"
    volume_id = VolumeId(dice.new_uuid())
    await propose_chosen(request.cluster, lambda: restore_to_new(request, backup, volume_id, name), PLACES_CHANGED)
    return Response(body=restoring(backup, volume_id, name))


def restore_to_new(request: Request, backup: Backup, volume_id: VolumeId, name: str) -> BeginRestore:
    """The order to restore a backup to a new volume of its size."""
    extent_bytes = extent_bytes_for(backup.size_bytes)
    extents = range(extent_count(backup.size_bytes, extent_bytes))
    view = request.cluster.view()
    kind = default_type(view, request.caller.project)
    usable = request.driver(Watch).usable()
    return BeginRestore(
        backup_id=backup.id,
        volume_id=volume_id,
        project_id=request.caller.project,
        user_id=request.caller.user_id,
        new=True,
        name=name,
        description="auto-created_from_restore_from_backup",
        extent_bytes=extent_bytes,
        layout=choose_layout(view, usable, volume_id, extents, replicas=kind.replicas),
        size_bytes=backup.size_bytes,
        type_id=kind.id,
        now_ms=now_ms(),
    )


async def export_record(request: Request) -> Response:
    """What another cluster needs to find the backup again."""
    backup = _own(request)
    if status(backup) != "available":
        raise Invalid(f'Invalid backup: Backup status must be available and not "{status(backup)}".')
    return Response(body=exported(request.cluster.view(), backup))


async def import_record(request: Request) -> Response:
    """A backup that another cluster made, or this one before it forgot."""
    form = (await request.json(RecordBody)).record
    backup = imported(
        request.cluster.view(),
        form.backup_service,
        form.backup_url,
        project_id=request.caller.project,
        user_id=request.caller.user_id,
        now_ms=now_ms(),
    )
    await request.cluster.propose(ImportBackup(backup=backup))
    return Response(body={"backup": backup_brief(_need(request, backup.id), request.base_url)})


async def act_on_backup(request: Request) -> Response:
    """What only an administrator does: set a status, delete by force."""
    body = await request.json(ActionBody)
    backup = _own(request)
    if body.reset is not None:
        if body.reset.status not in ("available", "error"):
            raise Invalid(
                f"Invalid input for field/attribute status. Value: {body.reset.status[:64]}. It must be available or"
                " error."
            )
        await request.cluster.propose(ResetBackup(backup_id=backup.id, status=body.reset.status, now_ms=now_ms()))
    elif body.force_delete is not msgspec.UNSET:
        await request.cluster.propose(DeleteBackup(backup_id=backup.id, force=True, now_ms=now_ms()))
    else:
        raise Invalid("There is no such action: os-reset_status and os-force_delete are.")
    return Response()


def _detail(request: Request, backup: Backup) -> dict[str, object]:
    return backup_detail(
        request.cluster.view(),
        backup,
        request.base_url,
        request.microversion,
        for_admin=request.caller.is_admin,
    )


def _need(request: Request, backup_id: str) -> Backup:
    return request.cluster.view().need(Backup, backup_id)


def _own(request: Request) -> Backup:
    backup_id = request.params["backup_id"]
    backup = request.cluster.view().get(Backup, backup_id)
    try:
        return owned(request.caller, backup, backup.project_id if backup else None, backup_id)
    except NotFound:
        raise NotFound(f"Backup {backup_id[:255]} could not be found.") from None


def _uuid(value: str, field: str) -> None:
    if not _UUID.fullmatch(value):
        raise Invalid(
            f"Invalid input for field/attribute {field}. Value: {value[:64]}. '{value[:64]}' is not a 'uuid'."
        )


_BACKUP = "/v3/backups/{backup_id}"

ROUTES = (
    Route(verb="POST", path="/v3/backups", handler=create_backup, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="GET", path="/v3/backups", handler=list_backups, allow=Allow.READER),
    Route(verb="GET", path="/v3/backups/detail", handler=list_backups_detail, allow=Allow.READER),
    Route(verb="POST", path="/v3/backups/import_record", handler=import_record, allow=Allow.ADMIN, done=Done.CREATED),
    Route(verb="GET", path=_BACKUP, handler=show_backup, allow=Allow.READER),
    Route(verb="PUT", path=_BACKUP, handler=update_backup, allow=Allow.MEMBER, since=UPDATE),
    Route(verb="DELETE", path=_BACKUP, handler=delete_backup, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="POST", path=_BACKUP + "/restore", handler=restore_backup, allow=Allow.MEMBER, done=Done.ACCEPTED),
    Route(verb="GET", path=_BACKUP + "/export_record", handler=export_record, allow=Allow.ADMIN),
    Route(verb="POST", path=_BACKUP + "/action", handler=act_on_backup, allow=Allow.ADMIN, done=Done.ACCEPTED),
)
