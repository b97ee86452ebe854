"""Answers /noded/v1/gateway-rules: which rules hold at the front door, and sets them."""

import msgspec

from noded.core.route import Allow, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler
from noded.core.store import View
from noded.gateway_rules.commands import SetGatewayRules
from noded.gateway_rules.model import GatewayRulesForm, expect_sense, gateway_rules


class GatewayRulesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{"gateway_rules": {...}}`."""

    gateway_rules: GatewayRulesForm


async def show_rules(request: Request) -> Response:
    """GET /noded/v1/gateway-rules."""
    return Response(body={"gateway_rules": _form(request.cluster.view())})


async def set_rules(request: Request) -> Response:
    """PUT /noded/v1/gateway-rules; a rule that is left out is as it was at the start."""
    form = (await request.json(GatewayRulesBody)).gateway_rules
    expect_sense(form)
    await request.cluster.propose(SetGatewayRules(rules=form))
    return Response(body={"gateway_rules": _form(request.cluster.view())})


def _form(view: View) -> GatewayRulesForm:
    rules = gateway_rules(view)
    if rules is None:
        return GatewayRulesForm()
    return GatewayRulesForm(requests_s=rules.requests_s, burst=rules.burst, origins=rules.origins)


async def _show_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(_form(context.cluster.view()))


async def _set_at_console(context: PeerContext, payload: bytes) -> bytes:
    change = msgspec.msgpack.decode(payload, type=dict[str, object])
    form = msgspec.convert(msgspec.to_builtins(_form(context.cluster.view())) | change, GatewayRulesForm)
    expect_sense(form)
    await context.cluster.propose(SetGatewayRules(rules=form))
    return msgspec.msgpack.encode(_form(context.cluster.view()))


LOCAL_CALLS: dict[str, PeerHandler] = {
    "gateway_rules.show": _show_at_console,
    "gateway_rules.set": _set_at_console,
}

ROUTES = (
    Route(verb="GET", path="/gateway-rules", handler=show_rules, allow=Allow.ADMIN),
    Route(verb="PUT", path="/gateway-rules", handler=set_rules, allow=Allow.ADMIN),
)
