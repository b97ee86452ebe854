"""Answers /noded/v1/policy: which rules hold, sets the operator's own, and says why somebody may or may not."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.errors import Invalid, NotFound
from noded.core.route import Allow, Done, Request, Response, Route
from noded.core.service import PeerContext, PeerHandler
from noded.policy.commands import NAME_CHARS_MAX, SetPolicyRules, UnsetPolicyRules
from noded.policy.explaining import Asked, reasons
from noded.policy.language import RULE_CHARS_MAX
from noded.policy.model import BASE, Policies, PolicyRule
from noded.policy.views import policy_file, policy_view

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Rule = Annotated[str, msgspec.Meta(max_length=RULE_CHARS_MAX)]
Rules = Annotated[dict[Name, Rule], msgspec.Meta(min_length=1, max_length=2000)]

_TOLD_NAMES = 5


class PolicyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{"policy": {NAME: RULE}}`; a name is an action's, or one that other rules name."""

    policy: Rules


class AskedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{"explain": {...}}`."""

    explain: Asked


class SetCall(msgspec.Struct, frozen=True):
    """The console's."""

    policy: Rules


async def show_policy(request: Request) -> Response:
    """GET /noded/v1/policy: every action with its rule and routes."""
    return Response(body=policy_view(request.driver(Policies), request.cluster.view()))


async def show_policy_file(request: Request) -> Response:
    """GET /noded/v1/policy.yaml: the same as a file."""
    text = policy_file(request.driver(Policies), request.cluster.view())
    return Response(content=text.encode(), content_type="application/yaml")


async def set_policy(request: Request) -> Response:
    """PATCH /noded/v1/policy: rules of one's own, all or none; what is not named stays as it is."""
    rules = (await request.json(PolicyBody)).policy
    await _set(request.cluster, request.driver(Policies), rules)
    return Response(body=policy_view(request.driver(Policies), request.cluster.view()))


async def unset_rule(request: Request) -> Response:
    """DELETE /noded/v1/policy/{name}: the release's own rule holds again."""
    await _unset(request.cluster, request.driver(Policies), (request.params["name"],))
    return Response()


async def explain_policy(request: Request) -> Response:
    """POST /noded/v1/policy/explain: why a user may do something or may not, check by check."""
    asked = (await request.json(AskedBody)).explain
    return Response(body={"reasons": reasons(request.driver(Policies), request.cluster.view(), asked)})


async def _set(cluster: Cluster, policies: Policies, rules: Mapping[str, str]) -> None:
    view = cluster.view()
    policies.expect_good(view, rules)
    changed = {name: rule for name, rule in rules.items() if rule != _release(policies, name)}
    back = tuple(name for name in rules if name not in changed and view.get(PolicyRule, name) is not None)
    orders: list[Command] = [SetPolicyRules(names=_told(changed), rules=changed)] if changed else []
    if back:
        orders.append(UnsetPolicyRules(names=_told(back), rules=back))
    if orders:
        await cluster.propose(*orders)


async def _unset(cluster: Cluster, policies: Policies, names: tuple[str, ...]) -> None:
    view = cluster.view()
    for name in names:
        if view.get(PolicyRule, name) is None:
            raise NotFound(f"There is no rule of your own for {name[:255]}.")
    left = {own.id: own.rule for own in view.all(PolicyRule) if own.id not in names}
    _expect_not_named(policies, names, left)
    await cluster.propose(UnsetPolicyRules(names=_told(names), rules=names))


def _expect_not_named(policies: Policies, names: tuple[str, ...], left: Mapping[str, str]) -> None:
    for name in names:
        users = [id for id, rule in left.items() if f"rule:{name}" in rule.replace("(", " ").replace(")", " ").split()]
        if users and name not in BASE and name not in policies.actions:
            raise Invalid(
                f"The rules of {', '.join(sorted(users)[:_TOLD_NAMES])} name rule:{name[:255]}: change them first."
            )


def _release(policies: Policies, name: str) -> str | None:
    action = policies.actions.get(name)
    return BASE.get(name) if action is None else f"rule:{action.default}"


def _told(names: Mapping[str, str] | tuple[str, ...]) -> str:
    shown = sorted(names)
    more = len(shown) - _TOLD_NAMES
    return ", ".join(shown[:_TOLD_NAMES]) + (f" and {more} more" if more > 0 else "")


async def _list_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode(policy_view(context.drivers.get(Policies), context.cluster.view()))


async def _file_at_console(context: PeerContext, payload: bytes) -> bytes:  # noqa: ARG001  # the call takes nothing
    return msgspec.msgpack.encode({"file": policy_file(context.drivers.get(Policies), context.cluster.view())})


async def _set_at_console(context: PeerContext, payload: bytes) -> bytes:
    rules = msgspec.msgpack.decode(payload, type=SetCall).policy
    await _set(context.cluster, context.drivers.get(Policies), rules)
    return await _list_at_console(context, b"")


async def _unset_at_console(context: PeerContext, payload: bytes) -> bytes:
    names = msgspec.msgpack.decode(payload, type=tuple[Name, ...])
    await _unset(context.cluster, context.drivers.get(Policies), names)
    return await _list_at_console(context, b"")


async def _explain_at_console(context: PeerContext, payload: bytes) -> bytes:
    asked = msgspec.msgpack.decode(payload, type=Asked)
    return msgspec.msgpack.encode(reasons(context.drivers.get(Policies), context.cluster.view(), asked))


LOCAL_CALLS: dict[str, PeerHandler] = {
    "policy.list": _list_at_console,
    "policy.file": _file_at_console,
    "policy.set": _set_at_console,
    "policy.unset": _unset_at_console,
    "policy.explain": _explain_at_console,
}

ROUTES = (
    Route(verb="GET", path="/policy", handler=show_policy, allow=Allow.ADMIN),
    Route(verb="GET", path="/policy.yaml", handler=show_policy_file, allow=Allow.ADMIN),
    Route(verb="PATCH", path="/policy", handler=set_policy, allow=Allow.ADMIN),
    Route(verb="DELETE", path="/policy/{name}", handler=unset_rule, allow=Allow.ADMIN, done=Done.EMPTY),
    Route(verb="POST", path="/policy/explain", handler=explain_policy, allow=Allow.ADMIN),
)
