"""Who asks, and may they? The one place where a route's rule is asked.

A route names its rule by `allow`; what the rules say is in `noded/policy/model.py`, all of them together in
`docs/policy.yaml`, and what the operator says otherwise in records. ANYONE is not asked for a token. Other APIs than
Keystone's want a token of a project, whatever the rule.

What a rule opens to whom holds a domain is that domain alone: `noded/identity/overseeing.py`.
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
from noded.gateway.router import Match, Target
from noded.policy.model import WORDS, Policies

TOKEN_HEADER: Final = "x-auth-token"  # noqa: S105  # a header's name  # a header's name
SESSION_COOKIE: Final = "noded_session"
SAFE_VERBS: Final = frozenset({"GET", "HEAD"})

_OWN_SITES: Final = frozenset({"same-origin", "none"})  # as browsers call it in Sec-Fetch-Site
_WHO: Final = "The request you have made requires authentication."


class WorthNothing(Unauthenticated):
    """The token is one of ours and has not expired, but by what this node knows its holder may do nothing with it."""


class Recognizer(Protocol):
    """Turns a token into who holds it; `noded/identity/tokens` implements it."""

    def caller(self, view: View, token: str, now_ms: int) -> Caller:
        """Who holds the token now. Raises `Unauthenticated`, which never says what was wrong; see `WorthNothing`."""


def recognize(
    match: Match,
    verb: str,
    headers: Mapping[str, str],
    base_url: str,
    view: View,
    *,
    known: Recognizer,
    policies: Policies,
    now_ms: int,
) -> Caller | None:
    """Who asks for this route, if they may; None where anyone may. Raises `Unauthenticated` and `Forbidden`."""
    target = match.target
    if target.route.allow is Allow.ANYONE:
        return None
    token = headers.get(TOKEN_HEADER) or _session(target, verb, headers, base_url)
    if not token or len(token) > TOKEN_CHARS_MAX:
        raise Unauthenticated(_WHO)
    caller = known.caller(view, token, now_ms)
    _expect_allowed(match, caller, view, policies)
    return caller


def expect_permitted(caller: Caller, target: Target, verb: str, path: str) -> None:
    """Raises `Unauthenticated`, as Keystone's middleware does, for what a token's access rules do not name."""
    rules = None if caller.delegation is None else caller.delegation.rules
    if rules is not None and not permits(rules, target.endpoint, verb, path):
        raise Unauthenticated("The access rules of this application credential do not allow this request.")


def _expect_allowed(match: Match, caller: Caller, view: View, policies: Policies) -> None:
    target = match.target
    needs_project = target.endpoint.fault_style is not FaultStyle.KEYSTONE and target.route.allow is not Allow.ANY_TOKEN
    if not policies.holds(view, target.action, caller, match.params):
        rule, is_own = policies.text(view, target.action)
        if is_own:
            raise Forbidden(f"You are not authorized to perform this: the rule of {target.action} is `{rule[:300]}`.")
        name = rule.removeprefix("rule:")
        if not needs_project:
            raise Forbidden(f"You are not authorized to perform this: it needs {WORDS.get(name, name)}.")
        if not policies.holds(view, f"at_least_{name}", caller, {}) or caller.project_id is not None:
            raise Forbidden(f"You are not authorized to perform this: it needs the role {name}.")
    if needs_project and caller.project_id is None:
        raise Forbidden("You are not authorized to perform this: it needs a token that is scoped to a project.")


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
