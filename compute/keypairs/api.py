"""What the keypair routes do. A user sees their own keys; an administrator may name another user."""

import re

import trio

from compute.inputs import Body
from compute.keypairs.commands import CreateKeypair, DeleteKeypair
from compute.keypairs.material import fingerprint, new_ssh_key
from compute.keypairs.model import Keypair, KeyType, keypair_id
from compute.keypairs.views import TYPE_SINCE, keypair_brief, keypair_created, keypair_detail
from compute.pages import page
from noded.core.clock import now_ms
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.ids import UserId
from noded.core.route import Allow, Done, Request, Response, Route

OTHER_USER_SINCE = (2, 10)
PAGES_SINCE = (2, 35)
NO_GENERATION_SINCE = (2, 92)
_OLD_NAME = re.compile(r"[A-Za-z0-9 _\-]{1,255}")
_NAME = re.compile(r"[A-Za-z0-9 _\-@.]{1,255}")


class NewKeypair(Body, frozen=True):
    """The body of a creation."""

    name: str
    public_key: str | None = None
    type: KeyType | None = None
    user_id: str | None = None


class NewKeypairBody(Body, frozen=True):
    """Its wrapper."""

    keypair: NewKeypair


def _whose(request: Request, user_id: str | None) -> UserId:
    if user_id is None or user_id == request.caller.user_id:
        return request.caller.user_id
    if request.microversion < OTHER_USER_SINCE:
        raise Invalid("Additional properties are not allowed ('user_id' was unexpected)")
    if not request.caller.is_admin:
        raise Forbidden("Policy doesn't allow os_compute_api:os-keypairs for another user to be performed.")
    return UserId(user_id)


def _named(request: Request) -> Keypair:
    user_id, name = _whose(request, request.query.get("user_id")), request.params["keypair_name"]
    keypair = request.cluster.view().get(Keypair, keypair_id(user_id, name))
    if keypair is None:
        raise NotFound(f"Keypair {name[:255]} not found for user {user_id}")
    return keypair


async def list_keypairs(request: Request) -> Response:
    """The user's keys by name."""
    user_id = _whose(request, request.query.get("user_id"))
    found = sorted(request.cluster.view().find(Keypair, "user_id", user_id), key=lambda keypair: keypair.name)
    links: list[dict[str, str]] = []
    if request.microversion >= PAGES_SINCE:
        found, links = page(request, found, lambda keypair: keypair.name)
    body: dict[str, object] = {"keypairs": [{"keypair": keypair_brief(each, request.microversion)} for each in found]}
    return Response(body=body | ({"keypairs_links": links} if links else {}))


async def create_keypair(request: Request) -> Response:
    """Keep a key that the user has, or make one and show its private half once."""
    new = (await request.json(NewKeypairBody)).keypair
    version = request.microversion
    if new.type is not None and version < TYPE_SINCE:
        raise Invalid("Additional properties are not allowed ('type' was unexpected)")
    pattern = _NAME if version >= NO_GENERATION_SINCE else _OLD_NAME
    if not pattern.fullmatch(new.name) or new.name != new.name.strip():
        raise Invalid(
            "Invalid input for field/attribute name. A key pair's name has 1 to 255 letters, digits, spaces, hyphens"
            " and underscores, and neither begins nor ends with space."
        )
    key_type = new.type or KeyType.SSH
    user_id = _whose(request, new.user_id)
    private_key, public_key = (None, new.public_key) if new.public_key else await _generated(key_type, version)
    await request.cluster.propose(
        CreateKeypair(
            user_id=user_id,
            name=new.name,
            type=key_type,
            public_key=public_key,
            fingerprint=fingerprint(key_type, public_key),
            now_ms=now_ms(),
        )
    )
    keypair = request.cluster.view().need(Keypair, keypair_id(user_id, new.name))
    done = Done.CREATED if version >= TYPE_SINCE else Done.OK
    return Response(body={"keypair": keypair_created(keypair, private_key, version)}, done=done)


async def _generated(key_type: KeyType, version: tuple[int, int]) -> tuple[str, str]:
    if version >= NO_GENERATION_SINCE:
        raise Invalid("'public_key' is a required property")
    if key_type is not KeyType.SSH:
        raise Invalid("Only ssh keys are generated here; give the certificate as public_key.")
    return await trio.to_thread.run_sync(new_ssh_key)


async def show_keypair(request: Request) -> Response:
    """One key."""
    return Response(body={"keypair": keypair_detail(_named(request), request.microversion)})


async def delete_keypair(request: Request) -> Response:
    """Forget a key."""
    keypair = _named(request)
    await request.cluster.propose(DeleteKeypair(user_id=keypair.user_id, name=keypair.name))
    return Response(done=Done.EMPTY if request.microversion >= TYPE_SINCE else Done.ACCEPTED)


ROUTES = (
    Route(verb="GET", path="/os-keypairs", handler=list_keypairs, allow=Allow.READER),
    Route(verb="POST", path="/os-keypairs", handler=create_keypair, allow=Allow.MEMBER),
    Route(verb="GET", path="/os-keypairs/{keypair_name}", handler=show_keypair, allow=Allow.READER),
    Route(verb="DELETE", path="/os-keypairs/{keypair_name}", handler=delete_keypair, allow=Allow.MEMBER),
)
