"""Answers /credentials: for their users, and for administrators; a reader of the whole system looks."""

from typing import Annotated, Any

import msgspec

from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, Invalid
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.identity.attributes import Id, Name255, read
from noded.identity.credentials.commands import CreateCredential, DeleteCredential, UpdateCredential
from noded.identity.credentials.model import EC2, Credential, Ec2Blob, ec2_id, made_through
from noded.identity.listing import chosen, listed
from noded.identity.overseeing import expect_reach, expect_unrestricted, reaches
from noded.identity.views import link

Blob = Annotated[str, msgspec.Meta(max_length=64 * 1024)]

_NOT_YOURS = "You are not authorized to perform this: it is someone else's credential."


class CredentialBody(msgspec.Struct, frozen=True):
    """`{"credential": {...}}`."""

    credential: dict[str, Any]

    def __repr__(self) -> str:
        return "CredentialBody()"  # there is a secret in it


class CredentialForm(msgspec.Struct, frozen=True):
    """A new credential."""

    blob: Blob
    type: Name255
    user_id: Id
    project_id: Id | None = None

    def __repr__(self) -> str:
        return f"CredentialForm(type={self.type!r})"


class CredentialChange(msgspec.Struct, frozen=True):
    """What shall be different."""

    blob: Blob | msgspec.UnsetType = msgspec.UNSET
    type: Name255 | msgspec.UnsetType = msgspec.UNSET
    user_id: Id | msgspec.UnsetType = msgspec.UNSET
    project_id: Id | msgspec.UnsetType | None = msgspec.UNSET

    def __repr__(self) -> str:
        return "CredentialChange()"


async def create_credential(request: Request) -> Response:
    """POST /credentials."""
    form, extra = read((await request.json(CredentialBody)).credential, CredentialForm)
    _expect_owner(request.caller, form.user_id)
    expect_reach(request.caller, form.project_id)
    credential_id, blob = new_hex_id(), form.blob
    if form.type.lower() == EC2:
        expect_unrestricted(request.caller)
        _expect_project(form.project_id)
        pair = _ec2(form.blob)
        credential_id = ec2_id(pair.access)
        if request.caller.delegation is not None:
            blob = msgspec.json.encode(made_through(pair, request.caller.delegation)).decode()
    await request.cluster.propose(
        CreateCredential(
            credential_id=credential_id,
            user_id=form.user_id,
            type=form.type,
            blob=blob,
            project_id=form.project_id,
            extra=extra,
        )
    )
    return _answer(request, credential_id)


async def list_credentials(request: Request) -> Response:
    """GET /credentials, by `user_id` and `type`: one's own, or everybody's for who oversees the cloud."""
    view, caller = request.cluster.view(), request.caller
    found = view.all(Credential) if caller.oversees else view.find(Credential, "user_id", caller.user_id)
    found = [credential for credential in found if reaches(caller, credential.project_id)]
    entries = [_body(request.base_url, credential) for credential in found]
    entries = chosen(entries, request.query, ("user_id", "type"))
    return listed(request, "credentials", entries, link(request.base_url, "credentials"))


async def show_credential(request: Request) -> Response:
    """GET /credentials/{credential_id}."""
    credential_id = request.params["credential_id"]
    _expect_owned(request, credential_id, oversees=request.caller.oversees)
    return _answer(request, credential_id)


async def update_credential(request: Request) -> Response:
    """PATCH /credentials/{credential_id}."""
    change, extra = read((await request.json(CredentialBody)).credential, CredentialChange)
    credential_id = request.params["credential_id"]
    _expect_owned(request, credential_id)
    if change.user_id is not msgspec.UNSET:
        _expect_owner(request.caller, change.user_id)
    if change.project_id is not msgspec.UNSET:
        expect_reach(request.caller, change.project_id)
    before = request.cluster.view().need(Credential, credential_id)
    type_ = before.type if change.type is msgspec.UNSET else change.type
    if type_.lower() == EC2:
        blob = _ec2(before.blob if change.blob is msgspec.UNSET else change.blob)
        _expect_project(before.project_id if change.project_id is msgspec.UNSET else change.project_id)
        if before.type.lower() == EC2:
            _expect_same_origin(_ec2(before.blob), blob)
    await request.cluster.propose(
        UpdateCredential(
            credential_id=credential_id,
            user_id=change.user_id,
            type=change.type,
            blob=change.blob,
            project_id=change.project_id,
            extra=extra,
        )
    )
    return _answer(request, credential_id)


async def delete_credential(request: Request) -> Response:
    """DELETE /credentials/{credential_id}."""
    _expect_owned(request, request.params["credential_id"])
    await request.cluster.propose(DeleteCredential(credential_id=request.params["credential_id"]))
    return Response()


def _ec2(blob: str) -> Ec2Blob:
    try:
        return msgspec.json.decode(blob, type=Ec2Blob)
    except msgspec.MsgspecError:
        raise Invalid(
            "Invalid blob in credential: of type ec2 it is a JSON object with `access` and `secret`."
        ) from None


def _expect_project(project_id: str | None) -> None:
    if project_id is None:
        raise Invalid("Invalid input: a credential of type ec2 needs `project_id`.")


def _expect_same_origin(before: Ec2Blob, after: Ec2Blob) -> None:
    """What a credential was made through says what it opens: nobody gets more by changing the blob."""
    if (before.trust_id, before.app_cred_id, before.access_token_id) != (
        after.trust_id,
        after.app_cred_id,
        after.access_token_id,
    ):
        raise Invalid("`trust_id`, `app_cred_id` and `access_token_id` of a credential can't be changed.")


def _expect_owner(caller: Caller, user_id: str) -> None:
    if user_id != caller.user_id and not caller.is_admin:
        raise Forbidden(_NOT_YOURS)


def _expect_owned(request: Request, credential_id: str, *, oversees: bool = False) -> None:
    """Who is no administrator does not learn whether it is there."""
    caller = request.caller
    credential = request.cluster.view().get(Credential, credential_id)
    allowed = oversees or caller.is_admin
    if not allowed and (credential is None or credential.user_id != caller.user_id):
        raise Forbidden(_NOT_YOURS)
    if credential is not None:
        expect_reach(caller, credential.project_id)


def _body(base_url: str, credential: Credential) -> dict[str, object]:
    return {
        **credential.extra,
        "id": credential.id,
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "type": credential.type,
        "blob": credential.blob,
        "links": {"self": link(base_url, "credentials", credential.id)},
    }


def _answer(request: Request, credential_id: str) -> Response:
    credential = request.cluster.view().need(Credential, credential_id)
    return Response(body={"credential": _body(request.base_url, credential)})


_ONE = "/credentials/{credential_id}"

ROUTES = (
    Route(verb="POST", path="/credentials", handler=create_credential, allow=Allow.ANY_TOKEN, done=Done.CREATED),
    Route(verb="GET", path="/credentials", handler=list_credentials, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=_ONE, handler=show_credential, allow=Allow.ANY_TOKEN),
    Route(verb="PATCH", path=_ONE, handler=update_credential, allow=Allow.ANY_TOKEN),
    Route(verb="DELETE", path=_ONE, handler=delete_credential, allow=Allow.ANY_TOKEN, done=Done.EMPTY),
)
