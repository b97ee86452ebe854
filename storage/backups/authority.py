"""What root on a node may ask of backup targets: `noded backup-target list|add|choose|forget`."""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from noded.core.clock import now_ms
from noded.core.errors import Invalid
from noded.core.service import PeerContext, PeerHandler
from noded.core.unreadable import UNREADABLE
from storage.backups.links import BackupBytes
from storage.backups.model import CONTAINER, POOL, Backup, BackupTarget, TargetKind
from storage.backups.reconcile import place_of
from storage.backups.records import safe_container
from storage.backups.targets import AddTarget, ChooseTarget, DropTarget

SEAL_KEY_HEX: Final = 64


class TargetForm(msgspec.Struct, frozen=True, kw_only=True):
    """A place for backups, as an operator names it."""

    name: str
    path: str = ""
    shared: bool = False  # the path is the same mount on every node
    url: str = ""
    bucket: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = ""
    seal_key: str = ""
    default: bool = False

    def __repr__(self) -> str:
        """The form without its secrets."""
        return f"{type(self).__name__}(name={self.name!r})"


async def _list(context: PeerContext, _payload: bytes) -> bytes:
    view = context.cluster.view()
    targets = view.all(BackupTarget)
    lines: list[dict[str, object]] = [
        {
            "name": POOL,
            "kind": TargetKind.POOL.value,
            "where": "hidden volumes with replicas of their own",
            "node": None,
            "sealed": False,
            "default": not any(target.default for target in targets),
            "backups": len(view.find(Backup, "target_id", POOL)),
        }
    ]
    lines += [
        {
            "name": target.id,
            "kind": target.kind.value,
            "where": target.path or f"{target.url}/{target.bucket}",
            "node": target.node_id,
            "sealed": bool(target.seal_key),
            "default": target.default,
            "backups": len(view.find(Backup, "target_id", target.id)),
        }
        for target in targets
    ]
    return msgspec.msgpack.encode(lines)


async def _add(context: PeerContext, payload: bytes) -> bytes:
    form = _decode(payload)
    target = _target(context, form)
    await context.drivers.get(BackupBytes).mark(place_of(target, CONTAINER))
    await context.cluster.propose(AddTarget(target=target))
    return await _list(context, b"")


def _target(context: PeerContext, form: TargetForm) -> BackupTarget:
    safe_container(form.name)
    if bool(form.path) == bool(form.url):
        raise Invalid("A backup target is a directory (--path) or a bucket (--url, --bucket): give one of both.")
    if form.seal_key:
        try:
            length = len(bytes.fromhex(form.seal_key)) * 2
        except ValueError:
            length = 0
        if length != SEAL_KEY_HEX:
            raise Invalid(f"The key that seals backups has {SEAL_KEY_HEX} hex digits, as `openssl rand -hex 32` makes.")
    if form.path:
        if not form.path.startswith("/"):
            raise Invalid(f"The directory must be an absolute path, not {form.path[:255]}.")
        return BackupTarget(
            id=form.name,
            kind=TargetKind.DIRECTORY,
            default=form.default,
            path=form.path,
            node_id=None if form.shared else context.cluster.node_id,
            seal_key=form.seal_key,
            created_at_ms=now_ms(),
        )
    if urlsplit(form.url).scheme not in ("http", "https") or not urlsplit(form.url).hostname:
        raise Invalid(f"The object store's URL must be http(s)://host[:port], not {form.url[:255]}.")
    if not (form.bucket and form.access_key and form.secret_key):
        raise Invalid("An object store needs --bucket, --access-key and a secret key.")
    return BackupTarget(
        id=form.name,
        kind=TargetKind.S3,
        default=form.default,
        url=form.url.rstrip("/"),
        bucket=safe_container(form.bucket),
        region=form.region or "us-east-1",
        access_key=form.access_key,
        secret_key=form.secret_key,
        seal_key=form.seal_key,
        created_at_ms=now_ms(),
    )


async def _choose(context: PeerContext, payload: bytes) -> bytes:
    await context.cluster.propose(ChooseTarget(target_id=_decode(payload).name))
    return await _list(context, b"")


async def _forget(context: PeerContext, payload: bytes) -> bytes:
    await context.cluster.propose(DropTarget(target_id=_decode(payload).name))
    return await _list(context, b"")


def _decode(payload: bytes) -> TargetForm:
    try:
        return msgspec.msgpack.decode(payload, type=TargetForm)
    except UNREADABLE as error:
        raise Invalid(f"This names no backup target: {error}") from error


CALLS: dict[str, PeerHandler] = {
    "backup_target.list": _list,
    "backup_target.add": _add,
    "backup_target.choose": _choose,
    "backup_target.forget": _forget,
}
