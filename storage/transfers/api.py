"""What the transfer routes do (Cinder v3, "Volume transfer", and "Volume transfers" from microversion 3.55 on)."""

import hashlib
from typing import Any

from noded.core import dice
from noded.core.clock import now_ms
from noded.core.errors import NotFound
from noded.core.ids import VolumeId
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.times import naive_micro
from storage import inputs
from storage.inputs import Body, Flag
from storage.lookup import volume_of
from storage.paging import paged
from storage.transfers.commands import AcceptTransfer, CreateTransfer, DeleteTransfer
from storage.transfers.model import Transfer

SINCE = (3, 55)
OWNERS_SINCE = (3, 57)
_OLD, _NEW = "/v3/os-volume-transfer", "/v3/volume-transfers"
_SORT: Any = {
    "id": lambda transfer: transfer.id,
    "name": lambda transfer: transfer.name,
    "volume_id": lambda transfer: transfer.volume_id,
    "created_at": lambda transfer: transfer.created_at_ms,
}


class NewTransfer(Body, frozen=True):
    """The body of an offer."""

    volume_id: str
    name: str | None = None
    no_snapshots: Flag = False


class NewTransferBody(Body, frozen=True):
    """Its wrapper."""

    transfer: NewTransfer


class Acceptance(Body, frozen=True):
    """The key that opens an offer."""

    auth_key: str


class AcceptanceBody(Body, frozen=True):
    """Its wrapper."""

    accept: Acceptance


def _hashed(salt: str, key: str) -> str:
    """The key itself is a random one of over 100 bits, so one round of a plain hash is enough."""
    return hashlib.sha256(f"{salt}:{key}".encode()).hexdigest()


def _is_new(request: Request) -> bool:
    return "/volume-transfers" in request.path


def _brief(request: Request, transfer: Transfer) -> dict[str, object]:
    word = "volume-transfers" if _is_new(request) else "os-volume-transfer"
    return {
        "id": transfer.id,
        "volume_id": transfer.volume_id,
        "name": transfer.name,
        "links": [
            {"rel": "self", "href": f"{request.base_url}/volume/v3/{word}/{transfer.id}"},
            {"rel": "bookmark", "href": f"{request.base_url}/volume/{word}/{transfer.id}"},
        ],
    }


def _detail(request: Request, transfer: Transfer) -> dict[str, object]:
    body = _brief(request, transfer) | {"created_at": naive_micro(transfer.created_at_ms)}
    if _is_new(request):
        body["no_snapshots"] = transfer.no_snapshots
        if request.microversion >= OWNERS_SINCE:
            body |= {
                "source_project_id": transfer.project_id,
                "destination_project_id": None,
                "accepted": False,
            }
    return body


def _own(request: Request) -> Transfer:
    transfer = _any(request)
    if transfer.project_id != request.caller.project_id and not request.caller.is_admin:
        raise NotFound(f"Transfer {transfer.id} could not be found.")
    return transfer


def _any(request: Request) -> Transfer:
    transfer_id = request.params["transfer_id"]
    transfer = request.cluster.view().get(Transfer, transfer_id)
    if transfer is None:
        raise NotFound(f"Transfer {transfer_id[:255]} could not be found.")
    return transfer


async def create_transfer(request: Request) -> Response:
    """Offer a volume. The answer has the key, which nobody can be told again."""
    new = (await request.json(NewTransferBody)).transfer
    volume = volume_of(request, new.volume_id)
    transfer_id, salt, key = dice.new_uuid(), dice.new_hex_id(), dice.new_password()
    await request.cluster.propose(
        CreateTransfer(
            transfer_id=transfer_id,
            volume_id=VolumeId(volume.id),
            name=inputs.text(new.name, "name"),
            salt=salt,
            key_hash=_hashed(salt, key),
            no_snapshots=inputs.flag(new.no_snapshots, "no_snapshots"),
            now_ms=now_ms(),
        )
    )
    made = request.cluster.view().need(Transfer, transfer_id)
    return Response(body={"transfer": _detail(request, made) | {"auth_key": key}})


async def list_transfers(request: Request) -> Response:
    """The project's offers, in short."""
    page, links = _page(request)
    return Response(body={"transfers": [_brief(request, transfer) for transfer in page], **links})


async def list_transfers_detail(request: Request) -> Response:
    """The project's offers."""
    page, links = _page(request)
    return Response(body={"transfers": [_detail(request, transfer) for transfer in page], **links})


def _page(request: Request) -> tuple[list[Transfer], dict[str, object]]:
    view, query, caller = request.cluster.view(), request.query, request.caller
    everyones = caller.is_admin and inputs.flag(query.get("all_tenants", "false") or "true", "all_tenants")
    found = view.all(Transfer) if everyones else view.find(Transfer, "project_id", caller.project)
    for word in ("name", "volume_id", "id"):
        if word in query:
            found = [transfer for transfer in found if getattr(transfer, word) == query[word]]
    return paged(found, query, request.base_url + request.path, _SORT, word="transfers", noun="Transfer")


async def show_transfer(request: Request) -> Response:
    """One offer."""
    return Response(body={"transfer": _detail(request, _own(request))})


async def accept_transfer(request: Request) -> Response:
    """Take the volume."""
    key, transfer = (await request.json(AcceptanceBody)).accept.auth_key, _any(request)
    await request.cluster.propose(
        AcceptTransfer(
            transfer_id=transfer.id,
            key_hash=_hashed(transfer.salt, key),
            project_id=request.caller.project,
            user_id=request.caller.user_id,
            now_ms=now_ms(),
        )
    )
    return Response(body={"transfer": _brief(request, transfer)})


async def delete_transfer(request: Request) -> Response:
    """Keep the volume."""
    await request.cluster.propose(DeleteTransfer(transfer_id=_named(request) or _own(request).id))
    return Response()


def _named(request: Request) -> str | None:
    """The id of the project's one offer of that name: clients that take names send them here as they are."""
    name = request.params["transfer_id"]
    found = request.cluster.view().find(Transfer, "project_id", request.caller.project)
    ids = [transfer.id for transfer in found if transfer.name == name]
    return ids[0] if len(ids) == 1 else None


def _routes(path: str, since: tuple[int, int]) -> tuple[Route, ...]:
    one, member = path + "/{transfer_id}", Allow.MEMBER
    return (
        Route(verb="POST", path=path, handler=create_transfer, allow=member, done=Done.ACCEPTED, since=since),
        Route(verb="GET", path=path, handler=list_transfers, allow=Allow.READER, since=since),
        Route(verb="GET", path=path + "/detail", handler=list_transfers_detail, allow=Allow.READER, since=since),
        Route(verb="GET", path=one, handler=show_transfer, allow=Allow.READER, since=since),
        Route(
            verb="POST", path=one + "/accept", handler=accept_transfer, allow=member, done=Done.ACCEPTED, since=since
        ),
        Route(verb="DELETE", path=one, handler=delete_transfer, allow=member, done=Done.ACCEPTED, since=since),
    )


ROUTES = (*_routes(_OLD, (0, 0)), *_routes(_NEW, SINCE))
