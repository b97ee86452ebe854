"""Answers /users/{user_id}/access_rules."""

from noded.core.errors import Forbidden, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.identity.application_credentials.commands import DeleteAccessRule
from noded.identity.application_credentials.views import rule_body
from noded.identity.delegations import StoredRule
from noded.identity.listing import chosen, listed
from noded.identity.overseeing import expect_own_hand
from noded.identity.views import link


async def list_rules(request: Request) -> Response:
    """GET /users/{user_id}/access_rules, by `service`, `method` and `path`."""
    _expect_self(request, looking=True)
    rules = request.cluster.view().find(StoredRule, "user_id", request.params["user_id"])
    entries = chosen([_body(request.base_url, rule) for rule in rules], request.query, ("service", "method", "path"))
    return listed(request, "access_rules", entries, request.base_url + request.path)


async def show_rule(request: Request) -> Response:
    """GET /users/{user_id}/access_rules/{rule_id}."""
    _expect_self(request, looking=True)
    return Response(body={"access_rule": _body(request.base_url, _need(request))})


async def delete_rule(request: Request) -> Response:
    """DELETE /users/{user_id}/access_rules/{rule_id}."""
    _expect_self(request, looking=False)
    await request.cluster.propose(DeleteAccessRule(rule_id=_need(request).id))
    return Response()


def _expect_self(request: Request, *, looking: bool) -> None:
    caller = request.caller
    expect_own_hand(caller)
    allowed = (caller.oversees if looking else caller.is_admin) and caller.domain_id is None
    if not allowed and caller.user_id != request.params["user_id"]:
        raise Forbidden("You are not authorized to perform this: it is someone else's access rule.")


def _need(request: Request) -> StoredRule:
    rule = request.cluster.view().get(StoredRule, request.params["rule_id"])
    if rule is None or rule.user_id != request.params["user_id"]:
        raise NotFound.of(StoredRule.NOUN, request.params["rule_id"])
    return rule


def _body(base_url: str, rule: StoredRule) -> dict[str, object]:
    return {**rule_body(rule), "links": {"self": link(base_url, "users", rule.user_id, "access_rules", rule.id)}}


_ALL = "/users/{user_id}/access_rules"
_ONE = _ALL + "/{rule_id}"

ROUTES = (
    Route(verb="GET", path=_ALL, handler=list_rules, allow=Allow.ANY_TOKEN),
    Route(verb="GET", path=_ONE, handler=show_rule, allow=Allow.ANY_TOKEN),
    Route(verb="DELETE", path=_ONE, handler=delete_rule, allow=Allow.ANY_TOKEN, done=Done.EMPTY),
)
