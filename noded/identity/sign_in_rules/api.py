"""Answers /noded/v1/sign-in-rules: which rules hold for passwords and locks, and sets them."""

import msgspec

from noded.core.route import Allow, Request, Response, Route
from noded.identity.sign_in_rules.commands import SetSignInRules
from noded.identity.sign_in_rules.model import RulesForm, expect_sense, rules_of


class RulesBody(msgspec.Struct, frozen=True):
    """`{"sign_in_rules": {...}}`."""

    sign_in_rules: RulesForm


async def show_rules(request: Request) -> Response:
    """GET /noded/v1/sign-in-rules."""
    return _answer(request)


async def set_rules(request: Request) -> Response:
    """PUT /noded/v1/sign-in-rules; a rule that is left out is as it was at the start."""
    form = (await request.json(RulesBody)).sign_in_rules
    expect_sense(form)
    await request.cluster.propose(SetSignInRules(rules=form))
    return _answer(request)


def _answer(request: Request) -> Response:
    rules = rules_of(request.cluster.view())
    return Response(body={"sign_in_rules": {name: getattr(rules, name) for name in RulesForm.__struct_fields__}})


ROUTES = (
    Route(verb="GET", path="/sign-in-rules", handler=show_rules, allow=Allow.READER),
    Route(verb="PUT", path="/sign-in-rules", handler=set_rules, allow=Allow.ADMIN),
)
