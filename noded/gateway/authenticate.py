"""Who asks, and may they? The one place where a route's `Allow` is checked.

    Allow         needs                                               where the token holds for
    ANYONE        nothing                                             —
    ANY_TOKEN     a valid token                                       anything, also nothing
    READER        reader, member, manager or admin                    a project
    MEMBER        member, manager or admin                            a project
    MANAGER       manager or admin                                    a project
    ADMIN         admin                                               a project

Keystone alone is also used with tokens of a domain or of the system, which hold no project:

    ADMIN           admin                                             a project, the system
    OVERSEER        admin; reader and more of the system              a project, the system
    DOMAIN_READER   as OVERSEER; reader and more of a domain          anything
    DOMAIN_MANAGER  admin; manager of a domain                        anything

What the last two open to whom holds a domain is that domain alone: `noded/identity/overseeing.py`.
"""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final, Protocol

from noded.core.errors import Forbidden, Unauthenticated
from noded.core.route import Allow, Caller
from noded.core.service import FaultStyle
from noded.core.store import View
from noded.gateway.access_rules import permits
from noded.gateway.limits import TOKEN_CHARS_MAX
from noded.gateway.router import Target

TOKEN_HEADER: Final = "x-auth-token"  # noqa: S105  # a header's name  # a header's name
SESSION_COOKIE: Final = "noded_session"
SAFE_VERBS: Final = frozenset({"GET", "HEAD"})

_OWN_SITES: Final = frozenset({"same-origin", "none"})  # as browsers call it in Sec-Fetch-Site
_ENOUGH: Final[dict[Allow, frozenset[str]]] = {
    Allow.READER: frozenset({"reader", "member", "manager", "admin"}),
    Allow.MEMBER: frozenset({"member", "manager", "admin"}),
    Allow.MANAGER: frozenset({"manager", "admin"}),
    Allow.ADMIN: frozenset({"admin"}),
}
_NEEDED: Final[dict[Allow, str]] = {
    Allow.ADMIN: "the role admin, on a project or on the system",
    Allow.OVERSEER: "the role admin, or reader on the system",
    Allow.DOMAIN_READER: "the role admin, or reader on the system or on the domain",
    Allow.DOMAIN_MANAGER: "the role admin, or manager on the domain",
}
_WHO: Final = "The request you have made requires authentication."


class WorthNothing(Unauthenticated):
    """The token is one of ours and has not expired, but by what this node knows its holder may do nothing with it."""


class Recognizer(Protocol):
    """Turns a token into who holds it; `noded/identity/tokens` implements it."""

    def caller(self, view: View, token: str, now_ms: int) -> Caller:
        """Who holds the token now. Raises `Unauthenticated`, which never says what was wrong; see `WorthNothing`."""


def recognize(
    target: Target, verb: str, headers: Mapping[str, str], base_url: str, view: View, known: Recognizer, now_ms: int
) -> Caller | None:
    """Who asks for this route, if they may; None where anyone may. Raises `Unauthenticated` and `Forbidden`."""
    allow = target.route.allow
    if allow is Allow.ANYONE:
        return None
    token = headers.get(TOKEN_HEADER) or _session(target, verb, headers, base_url)
    if not token or len(token) > TOKEN_CHARS_MAX:
        raise Unauthenticated(_WHO)
    caller = known.caller(view, token, now_ms)
    if allow is not Allow.ANY_TOKEN:
        _check(allow, caller, target)
    return caller


def expect_permitted(caller: Caller, target: Target, verb: str, path: str) -> None:
    """Raises `Unauthenticated`, as Keystone's middleware does, for what a token's access rules do not name."""
    rules = None if caller.delegation is None else caller.delegation.rules
    if rules is not None and not permits(rules, target.endpoint, verb, path):
        raise Unauthenticated("The access rules of this application credential do not allow this request.")


def _check(allow: Allow, caller: Caller, target: Target) -> None:
    if target.endpoint.fault_style is not FaultStyle.KEYSTONE:
        if _ENOUGH[allow].isdisjoint(caller.roles):
            raise Forbidden(f"You are not authorized to perform this: it needs the role {allow.value}.")
        if caller.project_id is None:
            raise Forbidden("You are not authorized to perform this: it needs a token that is scoped to a project.")
    elif not _may_in_keystone(allow, caller):
        raise Forbidden(f"You are not authorized to perform this: it needs {_NEEDED.get(allow, allow.value)}.")


def _may_in_keystone(allow: Allow, caller: Caller) -> bool:
    holds_domain = caller.domain_id is not None
    if allow in _ENOUGH:
        # What is everybody's is not changed with the token of one domain.
        return not _ENOUGH[allow].isdisjoint(caller.roles) and not (holds_domain and allow is Allow.ADMIN)
    if allow is Allow.OVERSEER:
        return caller.oversees and not holds_domain
    if allow is Allow.DOMAIN_READER:
        return caller.is_admin or ((caller.is_system or holds_domain) and _holds(Allow.READER, caller))
    assert allow is Allow.DOMAIN_MANAGER, allow
    return caller.is_admin or (holds_domain and _holds(Allow.MANAGER, caller))


def _holds(least: Allow, caller: Caller) -> bool:
    return not _ENOUGH[least].isdisjoint(caller.roles)


def _session(target: Target, verb: str, headers: Mapping[str, str], base_url: str) -> str | None:
    """The token in a browser's cookie: for pages alone, and for changes only if one of our own pages sent them."""
    if target.endpoint.fault_style is not FaultStyle.HTML or "cookie" not in headers:
        return None
    own = headers.get("origin", base_url) == base_url and headers.get("sec-fetch-site", "none") in _OWN_SITES
    if verb not in SAFE_VERBS and not own:
        raise Forbidden("This form was sent by a page of another site, so it was not carried out.")
    try:
        morsel = SimpleCookie(headers["cookie"]).get(SESSION_COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None
