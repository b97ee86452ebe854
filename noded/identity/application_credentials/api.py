"""Answers /users/{user_id}/application_credentials."""

from typing import Annotated, Any, Literal

import msgspec

from noded.core.clock import now_ms
from noded.core.dice import new_hex_id, new_secret
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View
from noded.identity import moments
from noded.identity.application_credentials.commands import CreateApplicationCredential, DeleteApplicationCredential
from noded.identity.application_credentials.views import credential_body
from noded.identity.attributes import Id, Name255, Password, Text
from noded.identity.delegations import ApplicationCredential, StoredRule
from noded.identity.links import Passwords
from noded.identity.listing import chosen, listed
from noded.identity.model import Role, Scope
from noded.identity.naming import RoleRef, named_roles
from noded.identity.overseeing import expect_own_hand, expect_unrestricted
from noded.identity.standing import roles_of, with_implied

Path = Annotated[str, msgspec.Meta(max_length=225, pattern=r"^/")]
Verb = Literal["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"]


class RuleForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An access rule: a new one by its three parts, or one that the user has by its id."""

    id: Id | None = None
    path: Path | None = None
    method: Verb | None = None
    service: Name255 | None = None


class CredentialForm(msgspec.Struct, frozen=True):
    """A new application credential."""

    name: Name255
    description: Text | None = None
    secret: Password | None = None
    expires_at: str | None = None
    roles: tuple[RoleRef, ...] = ()
    unrestricted: bool | None = None
    access_rules: Annotated[tuple[RuleForm, ...], msgspec.Meta(max_length=256)] | None = None

    def __repr__(self) -> str:
        return f"CredentialForm(name={self.name!r})"  # never the secret


class CredentialBody(msgspec.Struct, frozen=True):
    """`{"application_credential": {...}}`."""

    application_credential: CredentialForm


async def create_credential(request: Request) -> Response:
    """POST /users/{user_id}/application_credentials: for oneself, on the project of one's token."""
    form = (await request.json(CredentialBody)).application_credential
    caller, user_id = request.caller, request.params["user_id"]
    expect_own_hand(caller)
    expect_unrestricted(caller)
    if caller.user_id != user_id:
        raise Forbidden("Cannot create an application credential for another user.")
    if caller.project_id is None:
        raise Invalid("An application credential is for a project: it needs a token that is scoped to one.")
    expires_us = moments.read_expiry(form.expires_at, now_ms())
    role_ids = _role_ids(request.cluster.view(), caller, form)
    rules = tuple(_rule(request.cluster.view(), caller.user_id, rule) for rule in form.access_rules or ())
    secret = form.secret or new_secret()
    credential_id = new_hex_id()
    await request.cluster.propose(
        CreateApplicationCredential(
            credential_id=credential_id,
            user_id=user_id,
            project_id=caller.project_id,
            name=form.name,
            secret_hash=await request.driver(Passwords).hash(secret),
            role_ids=role_ids,
            description=form.description,
            expires_us=expires_us,
            unrestricted=bool(form.unrestricted),
            rules=rules,
        )
    )
    body = _body(request, credential_id)
    return Response(body={"application_credential": {**body, "secret": secret}})


async def list_credentials(request: Request) -> Response:
    """GET /users/{user_id}/application_credentials, by `name`."""
    _expect_self(request, looking=True)
    view = request.cluster.view()
    found = view.find(ApplicationCredential, "user_id", request.params["user_id"])
    entries = [credential_body(view, request.base_url, credential) for credential in found]
    entries = chosen(entries, request.query, ("name",))
    return listed(request, "application_credentials", entries, request.base_url + request.path)


async def show_credential(request: Request) -> Response:
    """GET /users/{user_id}/application_credentials/{credential_id}."""
    _expect_self(request, looking=True)
    return Response(body={"application_credential": _body(request, request.params["credential_id"])})


async def delete_credential(request: Request) -> Response:
    """DELETE /users/{user_id}/application_credentials/{credential_id}."""
    _expect_self(request, looking=False)
    expect_unrestricted(request.caller)
    credential = _need(request, request.params["credential_id"])
    await request.cluster.propose(DeleteApplicationCredential(credential_id=credential.id))
    return Response()


def _role_ids(view: View, caller: Caller, form: CredentialForm) -> tuple[str, ...]:
    """The roles asked for, all of which the token must have; all that it has if none is named."""
    assert caller.project_id is not None
    held = [
        role for role in roles_of(view, caller.user_id, Scope.PROJECT, caller.project_id) if role.name in caller.roles
    ]
    if not form.roles:
        return tuple(role.id for role in held)
    wanted = named_roles(view, form.roles)
    _expect_held(with_implied(view, [role.id for role in wanted]), held)
    return tuple(dict.fromkeys(role.id for role in wanted))


def _expect_held(wanted: tuple[Role, ...], held: list[Role]) -> None:
    if not {role.id for role in wanted} <= {role.id for role in held}:
        raise Invalid("Invalid application credential: Cannot create an application credential with unassigned role.")


def _rule(view: View, user_id: str, form: RuleForm) -> StoredRule:
    if form.id is not None:
        known = view.get(StoredRule, form.id)
        if known is None or known.user_id != user_id:
            raise NotFound.of(StoredRule.NOUN, form.id)
        return known
    if form.path is None or form.method is None or form.service is None:
        raise Invalid("Invalid input: an access rule needs `path`, `method` and `service`, or the `id` of an old one.")
    return StoredRule(id=new_hex_id(), user_id=user_id, service=form.service, verb=form.method, path=form.path)


def _expect_self(request: Request, *, looking: bool) -> None:
    caller = request.caller
    expect_own_hand(caller)
    allowed = (caller.oversees if looking else caller.is_admin) and caller.domain_id is None
    if not allowed and caller.user_id != request.params["user_id"]:
        raise Forbidden("You are not authorized to perform this: it is someone else's application credential.")


def _need(request: Request, credential_id: str) -> ApplicationCredential:
    credential = request.cluster.view().get(ApplicationCredential, credential_id)
    owner_id = request.params["user_id"]
    if credential is not None and credential.user_id != owner_id and not request.caller.oversees:
        raise Forbidden("You are not authorized to perform this: it is someone else's application credential.")
    if credential is None or credential.user_id != owner_id:
        raise NotFound.of(ApplicationCredential.NOUN, credential_id)
    return credential


def _body(request: Request, credential_id: str) -> dict[str, Any]:
    return credential_body(request.cluster.view(), request.base_url, _need(request, credential_id))


_ALL = "/users/{user_id}/application_credentials"
_ONE = _ALL + "/{credential_id}"

ROUTES = (
    Route(verb="POST", path=_ALL, handler=create_credential, allow=Allow.ANY_TOKEN, done=Done.CREATED),
    Route(verb="GET", path=_ALL, handler=list_credentials, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=_ONE, handler=show_credential, allow=Allow.ANY_TOKEN),
    Route(verb="DELETE", path=_ONE, handler=delete_credential, allow=Allow.ANY_TOKEN, done=Done.EMPTY),
)
