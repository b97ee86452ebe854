"""Whose token is it, and what is it worth now? What the gateway asks before each request."""

from noded.core.errors import Unauthenticated
from noded.core.route import Caller
from noded.core.store import View
from noded.gateway.authenticate import WorthNothing
from noded.identity.model import RevokedToken, Scope
from noded.identity.standing import Standing, standing_of
from noded.identity.tokens.seal import Token, TokenBook

_NO = "The request you have made requires authentication."


class TokenRecognizer:
    """Implements `noded.gateway.authenticate.Recognizer` with identity's tokens."""

    def __init__(self, book: TokenBook) -> None:
        self._book = book

    def caller(self, view: View, token: str, now_ms: int) -> Caller:
        """Who holds the token now. Raises `Unauthenticated`, and `WorthNothing` for a real token that ended early."""
        opened = self._book.open(view, token, now_ms)
        try:
            return caller_of(worth(view, opened))
        except Unauthenticated as reason:
            raise WorthNothing(reason.message) from None


def worth(view: View, token: Token) -> Standing:
    """What an unexpired token is worth now. Raises `Unauthenticated` if it is worth nothing any more."""
    standing = standing_of(view, token.user_id, token.scope, token.target_id)
    if token.password_generation != standing.user.password_generation:
        raise Unauthenticated(_NO)
    if view.get(RevokedToken, token.audit_ids[0]) is not None:
        raise Unauthenticated(_NO)
    return standing


def caller_of(standing: Standing) -> Caller:
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
    )
