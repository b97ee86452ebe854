"""Answers /users/{user_id}/credentials/OS-EC2: the same credentials as /credentials, in EC2's words."""

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, NotFound
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.identity.attributes import Id
from noded.identity.credentials.commands import CreateCredential, DeleteCredential
from noded.identity.credentials.model import EC2, Credential, Ec2Blob, ec2_blob, ec2_id, made_through
from noded.identity.listing import listed
from noded.identity.model import Project, User
from noded.identity.overseeing import expect_reach, expect_unrestricted, reaches
from noded.identity.views import link


class Ec2Form(msgspec.Struct, frozen=True):
    """For which project."""

    tenant_id: Id


async def create_ec2(request: Request) -> Response:
    """POST /users/{user_id}/credentials/OS-EC2."""
    user_id = request.params["user_id"]
    _expect_self(request, looking=False)
    if not request.caller.is_admin and "member" not in request.caller.roles:
        raise Forbidden("You are not authorized to perform this: it needs the role member.")
    expect_unrestricted(request.caller)
    form = await request.json(Ec2Form)
    expect_reach(request.caller, form.tenant_id)
    view = request.cluster.view()
    view.need(User, user_id)
    view.need(Project, form.tenant_id)
    blob = Ec2Blob(access=new_hex_id(), secret=new_hex_id())
    if request.caller.delegation is not None:
        blob = made_through(blob, request.caller.delegation)
    await request.cluster.propose(
        CreateCredential(
            credential_id=ec2_id(blob.access),
            user_id=user_id,
            type=EC2,
            blob=msgspec.json.encode(blob).decode(),
            project_id=form.tenant_id,
        )
    )
    return _answer(request, blob.access, looking=False)


async def list_ec2(request: Request) -> Response:
    """GET /users/{user_id}/credentials/OS-EC2."""
    user_id = request.params["user_id"]
    _expect_self(request, looking=True)
    view = request.cluster.view()
    view.need(User, user_id)
    entries = [
        _body(request.base_url, credential, blob)
        for credential in view.find(Credential, "user_id", user_id)
        if (blob := ec2_blob(credential)) is not None and reaches(request.caller, credential.project_id)
    ]
    return listed(request, "credentials", entries, request.base_url + request.path)


async def show_ec2(request: Request) -> Response:
    """GET /users/{user_id}/credentials/OS-EC2/{access}."""
    return _answer(request, request.params["access"], looking=True)


async def delete_ec2(request: Request) -> Response:
    """DELETE /users/{user_id}/credentials/OS-EC2/{access}."""
    credential, _ = _need(request, request.params["access"], looking=False)
    expect_reach(request.caller, credential.project_id)
    await request.cluster.propose(DeleteCredential(credential_id=credential.id))
    return Response()


def _may_any(caller: Caller, *, looking: bool) -> bool:
    """Whether anyone's may be looked at, or changed."""
    return (caller.oversees if looking else caller.is_admin) and caller.domain_id is None


def _expect_self(request: Request, *, looking: bool, owner_id: str | None = None) -> None:
    """Oneself, with a token that is not of a domain: those open no secrets of projects."""
    caller = request.caller
    mine = caller.domain_id is None and {request.params["user_id"], owner_id or caller.user_id} == {caller.user_id}
    if not mine and not _may_any(caller, looking=looking):
        raise Forbidden("You are not authorized to perform this: it is someone else's credential.")


def _need(request: Request, access: str, *, looking: bool) -> tuple[Credential, Ec2Blob]:
    """As Keystone: whether there is such a key is told to everyone, and what it is to few."""
    credential = request.cluster.view().get(Credential, ec2_id(access))
    blob = None if credential is None else ec2_blob(credential)
    if credential is None or blob is None:
        raise NotFound(f"Could not find credential: {access[:64]}.")
    _expect_self(request, looking=looking, owner_id=credential.user_id)
    return credential, blob


def _body(base_url: str, credential: Credential, blob: Ec2Blob) -> dict[str, object]:
    return {
        "user_id": credential.user_id,
        "tenant_id": credential.project_id,
        "access": blob.access,
        "secret": blob.secret,
        "trust_id": blob.trust_id,
        "links": {"self": link(base_url, "users", credential.user_id, "credentials", "OS-EC2", blob.access)},
    }


def _answer(request: Request, access: str, *, looking: bool) -> Response:
    credential, blob = _need(request, access, looking=looking)
    expect_reach(request.caller, credential.project_id)
    return Response(body={"credential": _body(request.base_url, credential, blob)})


_ALL = "/users/{user_id}/credentials/OS-EC2"
_ONE = _ALL + "/{access}"

ROUTES = (
    Route(verb="POST", path=_ALL, handler=create_ec2, allow=Allow.ANY_TOKEN, done=Done.CREATED),
    Route(verb="GET", path=_ALL, handler=list_ec2, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=_ONE, handler=show_ec2, allow=Allow.ANY_TOKEN),
    Route(verb="DELETE", path=_ONE, handler=delete_ec2, allow=Allow.ANY_TOKEN, done=Done.EMPTY),
)
