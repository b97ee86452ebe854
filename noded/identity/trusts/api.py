"""Answers /OS-TRUST/trusts."""

from typing import Annotated

import msgspec

from noded.core.clock import now_ms
from noded.core.dice import new_hex_id
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.route import Allow, DelegationKind, Done, Request, Response, Route
from noded.identity import moments, views
from noded.identity.attributes import Id
from noded.identity.delegations import REDELEGATIONS_MAX, Trust
from noded.identity.listing import listed
from noded.identity.model import Role, User
from noded.identity.naming import RoleRef, named_roles
from noded.identity.overseeing import expect_unrestricted
from noded.identity.trusts.commands import CreateTrust, DeleteTrust
from noded.identity.trusts.views import trust_body, whole_trust_body

_STRANGER = "You are not authorized to perform this: it is a trust between others."


class TrustForm(msgspec.Struct, frozen=True):
    """A new trust."""

    trustor_user_id: Id
    trustee_user_id: Id
    impersonation: bool
    project_id: Id | None = None
    roles: tuple[RoleRef, ...] = ()
    expires_at: str | None = None
    remaining_uses: Annotated[int, msgspec.Meta(ge=1, le=0x7FFF_FFFF)] | None = None
    allow_redelegation: bool | None = None
    redelegation_count: Annotated[int, msgspec.Meta(ge=0, le=0x7FFF_FFFF)] | None = None


class TrustBody(msgspec.Struct, frozen=True):
    """`{"trust": {...}}`."""

    trust: TrustForm


async def create_trust(request: Request) -> Response:
    """POST /OS-TRUST/trusts: by the trustor alone."""
    form = (await request.json(TrustBody)).trust
    if request.caller.user_id != form.trustor_user_id:
        raise Forbidden("The authenticated user should match the trustor.")
    expect_unrestricted(request.caller)
    if form.project_id is not None and not form.roles:
        raise Forbidden("At least one role should be specified.")
    view = request.cluster.view()
    view.need(User, form.trustee_user_id)
    before = _handed_on(request)
    expires_us = moments.read_expiry(form.expires_at, now_ms())
    if expires_us is None and before is not None:
        expires_us = before.expires_us
    trust_id = new_hex_id()
    await request.cluster.propose(
        CreateTrust(
            trust_id=trust_id,
            trustor_user_id=form.trustor_user_id,
            trustee_user_id=form.trustee_user_id,
            impersonation=form.impersonation,
            project_id=form.project_id,
            role_ids=tuple(dict.fromkeys(role.id for role in named_roles(view, form.roles))),
            expires_us=expires_us,
            remaining_uses=form.remaining_uses,
            redelegation_count=_redelegations(form, before),
            redelegated_trust_id=None if before is None else before.id,
        )
    )
    return _answer(request, trust_id)


def _handed_on(request: Request) -> Trust | None:
    """The trust through which the caller acts, if any: it is handed on."""
    delegation = request.caller.delegation
    if delegation is None or delegation.kind is DelegationKind.APPLICATION_CREDENTIAL:
        return None
    if delegation.kind is not DelegationKind.TRUST:
        raise Forbidden("Redelegation allowed for delegated by trust only.")
    return request.cluster.view().need(Trust, delegation.id)


def _redelegations(form: TrustForm, before: Trust | None) -> int:
    """How often the new trust may be handed on."""
    wanted = form.redelegation_count
    if not form.allow_redelegation or wanted == 0:
        return 0
    if wanted is not None and wanted > REDELEGATIONS_MAX:
        raise Forbidden(f"Requested redelegation depth of {wanted} is greater than allowed {REDELEGATIONS_MAX}.")
    if form.remaining_uses is not None:
        raise Invalid("`remaining_uses` must not be set if redelegation is allowed.")
    if before is None:
        return REDELEGATIONS_MAX if wanted is None else wanted
    left = before.redelegation_count - 1
    if wanted not in (None, left):
        raise Forbidden('Modifying "redelegation_count" upon redelegation is forbidden. Omit it.')
    return max(left, 0)


async def list_trusts(request: Request) -> Response:
    """GET /OS-TRUST/trusts, by `trustor_user_id` and `trustee_user_id`: one's own; all for who oversees."""
    view, caller, query = request.cluster.view(), request.caller, request.query
    sides = [(name, query[name]) for name in ("trustor_user_id", "trustee_user_id") if name in query]
    if not caller.oversees and not any(user_id == caller.user_id for _, user_id in sides):
        raise Forbidden("You are not authorized to perform this: name yourself as trustor or trustee.")
    found = view.find(Trust, *sides[0]) if sides else view.all(Trust)
    found = [trust for trust in found if all(getattr(trust, name) == user_id for name, user_id in sides)]
    entries = [trust_body(request.base_url, trust) for trust in found if not _is_over(trust)]
    return listed(request, "trusts", entries, views.link(request.base_url, "OS-TRUST", "trusts"))


async def show_trust(request: Request) -> Response:
    """GET /OS-TRUST/trusts/{trust_id}: for both sides."""
    return _answer(request, _visible(request).id)


async def delete_trust(request: Request) -> Response:
    """DELETE /OS-TRUST/trusts/{trust_id}: by the trustor."""
    trust_id, caller = request.params["trust_id"], request.caller
    trust = request.cluster.view().get(Trust, trust_id)
    if not caller.is_admin and (trust is None or trust.trustor_user_id != caller.user_id):
        _expect_seen(request, trust)
        raise Forbidden("Only admin or trustor can delete a trust.")
    expect_unrestricted(caller)
    await request.cluster.propose(DeleteTrust(trust_id=trust_id))
    return Response()


async def list_trust_roles(request: Request) -> Response:
    """GET /OS-TRUST/trusts/{trust_id}/roles."""
    body = whole_trust_body(request.cluster.view(), request.base_url, _visible(request))
    return Response(body={"roles": body["roles"], "links": body["roles_links"]})


async def show_trust_role(request: Request) -> Response:
    """GET and HEAD /OS-TRUST/trusts/{trust_id}/roles/{role_id}."""
    role_id = request.params["role_id"]
    if role_id not in _visible(request).role_ids:
        raise NotFound.of(Role.NOUN, role_id)
    return Response(body={"role": views.role(request.base_url, request.cluster.view().need(Role, role_id))})


def _visible(request: Request) -> Trust:
    trust = request.cluster.view().get(Trust, request.params["trust_id"])
    return _expect_seen(request, trust)


def _expect_seen(request: Request, trust: Trust | None) -> Trust:
    if trust is None or _is_over(trust):
        raise NotFound.of(Trust.NOUN, request.params["trust_id"])
    caller = request.caller
    if not caller.oversees and caller.user_id not in (trust.trustor_user_id, trust.trustee_user_id):
        raise Forbidden(_STRANGER)
    return trust


def _is_over(trust: Trust) -> bool:
    return trust.expires_us is not None and trust.expires_us <= now_ms() * 1000


def _answer(request: Request, trust_id: str) -> Response:
    view = request.cluster.view()
    return Response(body={"trust": whole_trust_body(view, request.base_url, view.need(Trust, trust_id))})


_ALL = "/OS-TRUST/trusts"
_ONE = _ALL + "/{trust_id}"

ROUTES = (
    Route(verb="POST", path=_ALL, handler=create_trust, allow=Allow.ANY_TOKEN, done=Done.CREATED),
    Route(verb="GET", path=_ALL, handler=list_trusts, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=_ONE, handler=show_trust, allow=Allow.ANY_TOKEN),
    Route(verb="DELETE", path=_ONE, handler=delete_trust, allow=Allow.ANY_TOKEN, done=Done.EMPTY),
    Route(verb="GET", path=f"{_ONE}/roles", handler=list_trust_roles, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=f"{_ONE}/roles/{{role_id}}", handler=show_trust_role, allow=Allow.ANY_TOKEN),
)
