"""What the one action route of volumes does: which action is asked, may the caller, and the plain ones (Cinder v3)."""

from typing import Any, Final

import msgspec
from msgspec import Raw

import storage.attachments
import storage.snapshots
import storage.volume_sizes
import storage.volume_uploads
from noded.core.clock import now_ms
from noded.core.command import Command
from noded.core.errors import Forbidden, Invalid
from noded.core.route import Allow, Done, Request, Response, Route
from storage import inputs
from storage.actions import NOTHING, Action
from storage.inputs import Body, Flag
from storage.lookup import named_volume
from storage.types.model import get_type, type_named
from storage.volume_actions.commands import (
    BeginDetaching,
    ForceDeleteVolume,
    ReleaseVolume,
    ReserveVolume,
    ResetStatus,
    RetypeVolume,
    RollDetaching,
    SetImageMetadata,
    SetVolumeFlags,
)
from storage.volumes.model import Volume

# What an administrator may say of a volume.
STATUSES: Final = frozenset(
    (
        "attaching", "available", "awaiting-transfer", "backing-up", "creating", "deleting", "detaching",
        "downloading", "error", "error_backing-up", "error_deleting", "error_extending", "error_managing",
        "error_restoring", "extending", "in-use", "maintenance", "managing", "reserved", "restoring-backup",
        "retyping", "uploading",
    )
)  # fmt: skip


class Bootable(Body, frozen=True):
    """The value of `os-set_bootable`."""

    bootable: Flag


class Readonly(Body, frozen=True):
    """The value of `os-update_readonly_flag`."""

    readonly: Flag


class Status(Body, frozen=True):
    """The value of `os-reset_status`."""

    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


class Retype(Body, frozen=True):
    """The value of `os-retype`."""

    new_type: str
    migration_policy: str | None = None


class Migration(Body, frozen=True):
    """The value of `os-migrate_volume`."""

    host: str | None = None
    cluster: str | None = None
    force_host_copy: Flag | None = None
    lock_volume: Flag | None = None


class Words(Body, frozen=True):
    """The value of `os-set_image_metadata`."""

    metadata: dict[str, str]


class Key(Body, frozen=True):
    """The value of `os-unset_image_metadata`."""

    key: str


async def act_on_volume(request: Request) -> Response:
    """One of the actions; the body says which."""
    body = await request.json(dict[str, Raw])
    if len(body) != 1:
        raise Invalid("There is no such action: the body must name exactly one.")
    [(name, value)] = body.items()
    action = ACTIONS.get(name)
    if action is None or request.microversion < action.since:
        raise Invalid(f"There is no such action: {name[:64]}.")
    if action.allow is Allow.ADMIN and not request.caller.is_admin:
        raise Forbidden(f"Policy doesn't allow {name} to be performed: it is for administrators.")
    volume = named_volume(request)
    response = await action.act(request, volume, _decoded(value, action.form))
    response.done = response.done or action.done
    return response


def _decoded(value: Raw, form: Any) -> object:
    try:
        decoded: object = msgspec.json.decode(value, type=form)
    except msgspec.ValidationError as wrong:
        raise Invalid(f"Invalid input: {wrong}.") from None
    return decoded


async def _propose(request: Request, command: Command) -> Response:
    await request.cluster.propose(command)
    return Response()


async def _reserve(request: Request, volume: Volume, _: object) -> Response:
    return await _propose(request, ReserveVolume(volume_id=volume.volume_id))


async def _release(request: Request, volume: Volume, _: object) -> Response:
    return await _propose(request, ReleaseVolume(volume_id=volume.volume_id))


async def _begin_detaching(request: Request, volume: Volume, _: object) -> Response:
    return await _propose(request, BeginDetaching(volume_id=volume.volume_id))


async def _roll_detaching(request: Request, volume: Volume, _: object) -> Response:
    return await _propose(request, RollDetaching(volume_id=volume.volume_id))


async def _reset(request: Request, volume: Volume, status: Status) -> Response:
    if status.status is None and status.attach_status is None and status.migration_status is None:
        raise Invalid("Must specify 'status', 'attach_status' or 'migration_status' for update.")
    word = (status.status or "").lower()
    if word and word not in STATUSES:
        raise Invalid(f"Invalid input for field/attribute status. Value: {word[:64]}. One of {sorted(STATUSES)}.")
    if status.attach_status not in (None, "attached", "detached"):
        raise Invalid("Invalid input for field/attribute attach_status. It is attached or detached.")
    if not word:
        return Response()  # the other two follow from the records and can't be wrong
    return await _propose(request, ResetStatus(volume_id=volume.volume_id, phase=word))


async def _retype(request: Request, volume: Volume, value: Retype) -> Response:
    if value.migration_policy not in (None, "never", "on-demand"):
        raise Invalid(
            f"Invalid input for field/attribute migration_policy. Value: {value.migration_policy[:64]}. It is never or"
            " on-demand."
        )
    view = request.cluster.view()
    kind = (get_type(view, value.new_type) if value.new_type else None) or type_named(view, value.new_type)
    if kind is None or not kind.is_open_to(request.caller.project_id):
        raise Invalid(f"Invalid input received: Invalid volume_type passed: {value.new_type[:255]}.")
    return await _propose(request, RetypeVolume(volume_id=volume.volume_id, type_id=kind.id, now_ms=now_ms()))


async def _migrate(_: Request, volume: Volume, value: Migration) -> Response:
    raise Invalid(
        f"Invalid input received: volume {volume.id} can't be migrated to {(value.host or value.cluster or '')[:255]}:"
        " a volume lies on the disks of several nodes at once and is served where it is used. To empty a disk, drain"
        " it (noded disk drain)."
    )


async def _force_delete(request: Request, volume: Volume, _: object) -> Response:
    return await _propose(request, ForceDeleteVolume(volume_id=volume.volume_id))


async def _set_bootable(request: Request, volume: Volume, value: Bootable) -> Response:
    flag = inputs.flag(value.bootable, "bootable")
    return await _propose(request, SetVolumeFlags(volume_id=volume.volume_id, bootable=flag, now_ms=now_ms()))


async def _set_readonly(request: Request, volume: Volume, value: Readonly) -> Response:
    flag = inputs.flag(value.readonly, "readonly")
    return await _propose(request, SetVolumeFlags(volume_id=volume.volume_id, readonly=flag, now_ms=now_ms()))


async def _set_image_metadata(request: Request, volume: Volume, words: Words) -> Response:
    added = inputs.metadata(words.metadata)
    await request.cluster.propose(SetImageMetadata(volume_id=volume.volume_id, added=added))
    return await _show_image_metadata(request, named_volume(request), None)


async def _unset_image_metadata(request: Request, volume: Volume, key: Key) -> Response:
    return await _propose(request, SetImageMetadata(volume_id=volume.volume_id, removed=(key.key,)))


async def _show_image_metadata(_: Request, volume: Volume, __: object) -> Response:
    return Response(body={"metadata": dict(volume.image_metadata)})


_OWN: Final[dict[str, Action]] = {
    "os-reserve": Action(act=_reserve, form=NOTHING),
    "os-unreserve": Action(act=_release, form=NOTHING),
    "os-begin_detaching": Action(act=_begin_detaching, form=NOTHING),
    "os-roll_detaching": Action(act=_roll_detaching, form=NOTHING),
    "os-reset_status": Action(act=_reset, form=Status, allow=Allow.ADMIN),
    "os-retype": Action(act=_retype, form=Retype),
    "os-migrate_volume": Action(act=_migrate, form=Migration, allow=Allow.ADMIN),
    "os-force_delete": Action(act=_force_delete, form=NOTHING, allow=Allow.ADMIN),
    "os-set_bootable": Action(act=_set_bootable, form=Bootable, done=Done.OK),
    "os-update_readonly_flag": Action(act=_set_readonly, form=Readonly),
    "os-set_image_metadata": Action(act=_set_image_metadata, form=Words, done=Done.OK),
    "os-unset_image_metadata": Action(act=_unset_image_metadata, form=Key, done=Done.OK),
    "os-show_image_metadata": Action(act=_show_image_metadata, form=NOTHING, done=Done.OK),
}
# Every action of every service: a service that has some is one more line here.
ACTIONS: Final[dict[str, Action]] = {
    **_OWN,
    **storage.attachments.ACTIONS,
    **storage.snapshots.ACTIONS,
    **storage.volume_sizes.ACTIONS,
    **storage.volume_uploads.ACTIONS,
}

ROUTES = (Route(verb="POST", path="/v3/volumes/{volume_id}/action", handler=act_on_volume, allow=Allow.MEMBER),)
