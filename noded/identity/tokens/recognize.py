"""Whose token is it, and what is it worth now? What the gateway asks before each request."""

from noded.core.errors import Forbidden, Unauthenticated
from noded.core.route import Caller
from noded.core.store import View
from noded.gateway.authenticate import WorthNothing
from noded.identity.acting import delegation_of, standing_through
from noded.identity.model import RevokedToken, Scope, User
from noded.identity.providers import IdentityProvider, Protocol, Vouched, protocol_key
from noded.identity.standing import Standing, standing_of
from noded.identity.tokens.seal import Token, TokenBook

WORTHS_KEPT = 4096
_NO = "The request you have made requires authentication."


class TokenRecognizer:
    """Implements `noded.gateway.authenticate.Recognizer` with identity's tokens."""

    def __init__(self, book: TokenBook) -> None:
        self._book = book

    def caller(self, view: View, token: str, now_ms: int) -> Caller:
        """Who holds the token now. Raises `Unauthenticated`, and `WorthNothing` for a real token that ended early."""
        opened = self._book.open(view, token, now_ms)
        try:
            return caller_of(view, worth(view, opened, self._book))
        except Unauthenticated as reason:
            raise WorthNothing(reason.message) from None


def worth(view: View, token: Token, book: TokenBook | None = None) -> Standing:
    """What an unexpired token is worth now. Raises `Unauthenticated` if it is worth nothing any more.

    `book`: remembers it until the next change of anything, since a token is often looked at twice in one request.
    """
    if book is None:
        return _worth(view, token)
    id, revision = token.audit_ids[0], view.revision
    known = book.worths.get(id)
    if known is not None and known[0] == revision:
        return known[1]
    standing = _worth(view, token)
    if len(book.worths) >= WORTHS_KEPT:
        book.worths.clear()
    book.worths[id] = (revision, standing)
    return standing


def _worth(view: View, token: Token) -> Standing:
    standing = _standing(view, token)
    # Who signed in, though they may act as somebody else: a trust may say so.
    signed_in = standing.user if standing.user.id == token.user_id else view.get(User, token.user_id)
    if signed_in is None or token.password_generation != signed_in.password_generation:
        raise Unauthenticated(_NO)
    if view.get(RevokedToken, token.audit_ids[0]) is not None:
        raise Unauthenticated(_NO)
    return standing


def _standing(view: View, token: Token) -> Standing:
    if token.through is None:
        return standing_of(view, token.user_id, token.scope, token.target_id, vouched_in(view, token))
    try:
        return standing_through(view, token.through, token.through_id, token.user_id)
    except Forbidden as reason:  # who gave it no longer holds what they gave
        raise Unauthenticated(reason.message) from None


def vouched_in(view: View, token: Token) -> Vouched | None:
    """Who vouched for the token's user; raises `Unauthenticated` if their word counts no more."""
    if not token.provider_id:
        return None
    provider = view.get(IdentityProvider, token.provider_id)
    if provider is None or not provider.enabled:
        raise Unauthenticated(_NO)
    if view.get(Protocol, protocol_key(token.provider_id, token.protocol)) is None:
        raise Unauthenticated(_NO)
    return Vouched(provider_id=token.provider_id, protocol=token.protocol, group_ids=token.group_ids)


def caller_of(view: View, standing: Standing) -> Caller:
    """The standing as handlers see it."""
    project = standing.project
    return Caller(
        user_id=standing.user.id,
        user_name=standing.user.name,
        user_domain_id=standing.user_domain.id,
        project_id=None if project is None else project.id,
        project_name=None if project is None else project.name,
        roles=frozenset(role.name for role in standing.roles),
        domain_id=standing.domain.id if standing.scope is Scope.DOMAIN and standing.domain is not None else None,
        is_system=standing.scope is Scope.SYSTEM,
        delegation=delegation_of(view, standing),
        group_ids=() if standing.vouched is None else standing.vouched.group_ids,
    )
