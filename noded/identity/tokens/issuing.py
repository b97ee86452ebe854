"""How does a token come to be, once it is known who asks and what for? And how is it told."""

import base64
from dataclasses import dataclass
from typing import Final

import trio

from consensus.clocks.model import ClockSight, off
from noded.core.clock import now_ms
from noded.core.dice import new_hex_id
from noded.core.errors import Unavailable
from noded.core.route import DelegationKind, Done, Request, Response
from noded.gateway.catalog import Catalog
from noded.identity.delegations import AccessToken, ApplicationCredential, Delegated, Trust
from noded.identity.model import SYSTEM_ID, Scope, User
from noded.identity.offers import catalogue
from noded.identity.providers import Vouched
from noded.identity.standing import Standing
from noded.identity.tokens.seal import Receipt, Token, TokenBook
from noded.identity.tokens.views import receipt_body, token_body

TOKEN_LIFE_MS: Final = 8 * 3_600_000
RECEIPT: Final = "openstack-auth-receipt"
RECEIPT_LIFE_MS: Final = 300_000  # as Keystone's default


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who signed in, how, and what a token made from it may be at most. `through`: what they signed in with."""

    user: User
    methods: tuple[str, ...]
    expires_ms: int
    first_audit_id: str | None = None
    through: Delegated | None = None
    vouched: Vouched | None = None  # by whom, if it was an identity provider


def issue(request: Request, proof: Proof, standing: Standing) -> Response:
    """A new token for that standing. Raises `Unavailable` where the clock is off: it would hold too long, or never."""
    expect_clock(request)
    own = base64.urlsafe_b64encode(bytes.fromhex(new_hex_id())).rstrip(b"=").decode()
    through, vouched = standing.through, standing.vouched
    token = Token(
        user_id=proof.user.id,
        password_generation=proof.user.password_generation,
        scope=standing.scope,
        target_id=_target_id(standing),
        methods=proof.methods,
        issued_ms=now_ms(),
        expires_ms=min(proof.expires_ms, ends_ms(through) or proof.expires_ms),
        audit_ids=(own,) if proof.first_audit_id is None else (own, proof.first_audit_id),
        through=None if through is None else kind_of(through),
        through_id="" if through is None else through.id,
        provider_id="" if vouched is None else vouched.provider_id,
        protocol="" if vouched is None else vouched.protocol,
        group_ids=() if vouched is None else vouched.group_ids,
    )
    sealed = request.driver(TokenBook).seal(request.cluster.view(), token)
    return answer(request, sealed, token, standing)


def give_receipt(request: Request, proof: Proof) -> Response:
    """What the user has proved so far, for them to go on with; and what is still asked of them."""
    expect_clock(request)
    issued_ms = now_ms()
    receipt = Receipt(
        user_id=proof.user.id,
        password_generation=proof.user.password_generation,
        methods=proof.methods,
        expires_ms=issued_ms + RECEIPT_LIFE_MS,
    )
    view = request.cluster.view()
    sealed = request.driver(TokenBook).seal_receipt(view, receipt)
    rules = proof.user.options.get("multi_factor_auth_rules") or ()
    begun = [rule for rule in rules if set(rule) & set(proof.methods)]
    where = f'Keystone uri="{request.base_url}/identity/v3"'
    return Response(
        body=receipt_body(view, receipt, proof.user, issued_ms, begun),
        headers={"Openstack-Auth-Receipt": sealed, "WWW-Authenticate": where},
        done=Done.INCOMPLETE,
    )


def expect_clock(request: Request) -> None:
    """Raises `Unavailable` on a node whose clock is far from the others'."""
    said = off(request.driver(ClockSight).ahead_ms(now_ms(), trio.current_time()))
    if said:
        raise Unavailable(f"This node's clock is {said}, so it hands out no tokens until it is set. Ask another node.")


def answer(request: Request, sealed: str, token: Token, standing: Standing) -> Response:
    """The token as it is told, with the catalogue where it opens something."""
    view, entries = request.cluster.view(), None
    if standing.scope is not Scope.NONE and "nocatalog" not in request.query:
        project_id = None if standing.project is None else standing.project.id
        entries = catalogue(view, request.driver(Catalog), request.base_url, standing.user.id, project_id)
    return Response(
        body=token_body(view, token, standing, entries),
        headers={"X-Subject-Token": sealed, "Vary": "X-Auth-Token"},
    )


def kind_of(through: Delegated) -> DelegationKind:
    """What kind of delegation it is."""
    if isinstance(through, Trust):
        return DelegationKind.TRUST
    if isinstance(through, ApplicationCredential):
        return DelegationKind.APPLICATION_CREDENTIAL
    return DelegationKind.ACCESS_TOKEN


def ends_ms(through: Delegated | None) -> int | None:
    """When it ends, and every token made through it with it; None: never."""
    if through is None:
        return None
    if isinstance(through, AccessToken):
        return through.expires_ms
    return None if through.expires_us is None else through.expires_us // 1000


def _target_id(standing: Standing) -> str:
    if standing.scope is Scope.PROJECT and standing.project is not None:
        return standing.project.id
    if standing.scope is Scope.DOMAIN and standing.domain is not None:
        return standing.domain.id
    return SYSTEM_ID if standing.scope is Scope.SYSTEM else ""
