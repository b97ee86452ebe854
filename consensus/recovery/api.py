"""Answers who asks for a backup of the cluster's whole state, and for the lives that it had. Any node answers."""

import msgspec

from consensus.recovery.authority import open_backup, secret_of
from consensus.recovery.links import Backups
from consensus.recovery.model import Life, OpenBackupCall
from consensus.recovery.sealing import Recipient
from consensus.recovery.views import life_view
from noded.core.route import Allow, Request, Response, Route


class BackupForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a backup is sealed with."""

    passphrase: str | None = None
    recipient: str | None = None  # a public key, base64

    def __repr__(self) -> str:
        """The form without its secret."""
        return f"{type(self).__name__}(recipient={self.recipient!r})"


async def take_backup(request: Request) -> Response:
    """POST /noded/v1/backup: the file itself, sealed here; what leaves this node can be read by nobody on the way."""
    form = await request.json(BackupForm)
    secret = secret_of(form.passphrase, form.recipient)
    call = OpenBackupCall(
        passphrase=form.passphrase, recipient=secret.public_key if isinstance(secret, Recipient) else None
    )
    taking = await open_backup(request.cluster, request.driver(Backups), call)
    name = f"noded-{taking.revision}.nbk"
    return Response(
        content=taking.pieces(),
        content_type="application/octet-stream",
        headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
    )


async def list_lives(request: Request) -> Response:
    """GET /noded/v1/lives: when and how the cluster began anew; none if it never did."""
    lives = sorted(request.cluster.view().all(Life), key=lambda life: life.count)
    return Response(body={"lives": [life_view(life) for life in lives]})


ROUTES = (
    Route(verb="POST", path="/backup", handler=take_backup, allow=Allow.ADMIN),
    Route(verb="GET", path="/lives", handler=list_lives, allow=Allow.ADMIN),
)
