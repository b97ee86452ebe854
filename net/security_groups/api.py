"""Answers requests about security groups and their rules (Networking API v2.0, sections of these names)."""

from msgspec import UNSET, UnsetType

from net import inputs
from net.changes import check_generation
from net.conditions import expected_revision
from net.inputs import Body, given
from net.listing import listed, selected
from net.security_groups.commands import (
    CreateSecurityGroup,
    CreateSecurityGroupRule,
    DeleteSecurityGroup,
    DeleteSecurityGroupRule,
    EnsureDefaultGroup,
    SecurityGroupChange,
    UpdateSecurityGroup,
    default_group,
    need_group,
    need_rule,
)
from net.security_groups.model import DefaultGroupIds, Direction, Ethertype, SecurityGroup, SecurityGroupRule
from net.security_groups.rules import check_ports, checked_prefix, checked_protocol
from net.security_groups.views import GROUP_ATTRIBUTES, RULE_ATTRIBUTES, group_view, rule_view
from noded.core.clock import now_ms
from noded.core.dice import new_uuid
from noded.core.errors import Invalid, NotFound
from noded.core.ids import SecurityGroupId, SecurityGroupRuleId
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View


class GroupUpdate(Body, frozen=True, kw_only=True):
    """What may be changed of a group."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET


class GroupBody(GroupUpdate, frozen=True, kw_only=True):
    """What may be said of a new group."""

    project_id: str | UnsetType = UNSET
    tenant_id: str | UnsetType = UNSET


class NewGroups(Body, frozen=True, kw_only=True):
    """The body of POST /security-groups."""

    security_group: GroupBody | UnsetType = UNSET
    security_groups: list[GroupBody] | UnsetType = UNSET


class ChangedGroup(Body, frozen=True, kw_only=True):
    """The body of PUT /security-groups/{id}."""

    security_group: GroupUpdate


class RuleBody(Body, frozen=True, kw_only=True):
    """What may be said of a new rule."""

    security_group_id: str
    direction: str
    ethertype: str | None = None
    protocol: str | int | None = None
    port_range_min: int | str | None = None
    port_range_max: int | str | None = None
    remote_ip_prefix: str | None = None
    remote_group_id: str | None = None
    description: str | None = None
    project_id: str | UnsetType = UNSET
    tenant_id: str | UnsetType = UNSET


class NewRules(Body, frozen=True, kw_only=True):
    """The body of POST /security-group-rules."""

    security_group_rule: RuleBody | UnsetType = UNSET
    security_group_rules: list[RuleBody] | UnsetType = UNSET


def _own_group(view: View, caller: Caller, group_id: str) -> SecurityGroup:
    group = need_group(view, group_id)
    if not caller.is_admin and group.project_id != caller.project_id:
        raise NotFound(f"Security group {group_id} does not exist", code="SecurityGroupNotFound")
    return group


def _own_rule(view: View, caller: Caller, rule_id: str) -> SecurityGroupRule:
    rule = need_rule(view, rule_id)
    if not caller.is_admin and rule.project_id != caller.project_id:
        raise NotFound(f"Security group rule {rule_id} does not exist", code="SecurityGroupRuleNotFound")
    return rule


async def list_groups(request: Request) -> Response:
    """GET /security-groups. Whoever looks for the default group finds it: it is made now if it wasn't needed before."""
    caller = request.caller
    if default_group(request.cluster.view(), caller.project) is None:
        ids = DefaultGroupIds.drawn(new_uuid)
        await request.cluster.propose(EnsureDefaultGroup(project_id=caller.project, default_group=ids, now_ms=now_ms()))
    view = request.cluster.view()
    groups = view.all(SecurityGroup) if caller.is_admin else view.find(SecurityGroup, "project_id", caller.project)
    return Response(
        body=listed(request, "security_groups", [group_view(view, group) for group in groups], GROUP_ATTRIBUTES)
    )


async def show_group(request: Request) -> Response:
    """GET /security-groups/{group_id}."""
    view = request.cluster.view()
    group = _own_group(view, request.caller, request.params["group_id"])
    return Response(body={"security_group": selected(request, group_view(view, group))})


async def create_group(request: Request) -> Response:
    """POST /security-groups: one, or several of which all are made or none."""
    body = await request.json(NewGroups)
    wanted = inputs.several(body.security_group, body.security_groups, ("security_group", "security_groups"))
    commands = [_group_creation(request.caller, each) for each in wanted]
    await request.cluster.propose(*commands)
    view = request.cluster.view()
    made = [group_view(view, need_group(view, command.group_id)) for command in commands]
    single = body.security_group is not UNSET
    return Response(body={"security_group": made[0]} if single else {"security_groups": made})


def _group_creation(caller: Caller, body: GroupBody) -> CreateSecurityGroup:
    return CreateSecurityGroup(
        group_id=SecurityGroupId(new_uuid()),
        egress_rule_ids=(SecurityGroupRuleId(new_uuid()), SecurityGroupRuleId(new_uuid())),
        project_id=inputs.project(caller, body.project_id, body.tenant_id),
        name=inputs.text(given(body.name, ""), "name"),
        description=inputs.text(given(body.description, ""), "description"),
        default_group=DefaultGroupIds.drawn(new_uuid),
        now_ms=now_ms(),
    )


async def update_group(request: Request) -> Response:
    """PUT /security-groups/{group_id}."""
    body = (await request.json(ChangedGroup)).security_group
    group = _own_group(request.cluster.view(), request.caller, request.params["group_id"])
    change = SecurityGroupChange(
        name=inputs.maybe_text(body.name, "name"), description=inputs.maybe_text(body.description, "description")
    )
    await request.cluster.propose(
        UpdateSecurityGroup(group_id=group.id, change=change, generation=expected_revision(request), now_ms=now_ms())
    )
    view = request.cluster.view()
    return Response(body={"security_group": group_view(view, need_group(view, group.id))})


async def delete_group(request: Request) -> Response:
    """DELETE /security-groups/{group_id}: refused while a port is in it."""
    group = _own_group(request.cluster.view(), request.caller, request.params["group_id"])
    check_generation(group, expected_revision(request))
    await request.cluster.propose(DeleteSecurityGroup(group_id=group.id, by_admin=request.caller.is_admin))
    return Response()


async def list_rules(request: Request) -> Response:
    """GET /security-group-rules."""
    view, caller = request.cluster.view(), request.caller
    rules = (
        view.all(SecurityGroupRule) if caller.is_admin else view.find(SecurityGroupRule, "project_id", caller.project)
    )
    return Response(body=listed(request, "security_group_rules", map(rule_view, rules), RULE_ATTRIBUTES))


async def show_rule(request: Request) -> Response:
    """GET /security-group-rules/{rule_id}."""
    rule = _own_rule(request.cluster.view(), request.caller, request.params["rule_id"])
    return Response(body={"security_group_rule": selected(request, rule_view(rule))})


async def create_rule(request: Request) -> Response:
    """POST /security-group-rules: one, or several of which all are made or none."""
    body = await request.json(NewRules)
    names = ("security_group_rule", "security_group_rules")
    wanted = inputs.several(body.security_group_rule, body.security_group_rules, names)
    commands = [_rule_creation(request.cluster.view(), request.caller, each) for each in wanted]
    await request.cluster.propose(*commands)
    made = [rule_view(need_rule(request.cluster.view(), command.rule.id)) for command in commands]
    single = body.security_group_rule is not UNSET
    return Response(body={"security_group_rule": made[0]} if single else {"security_group_rules": made})


def _rule_creation(view: View, caller: Caller, body: RuleBody) -> CreateSecurityGroupRule:
    group = _own_group(view, caller, body.security_group_id)
    inputs.project(caller, body.project_id, body.tenant_id)
    ethertype = _ethertype(body.ethertype)
    protocol = checked_protocol(body.protocol, ethertype)
    port_min = _number(body.port_range_min, "port_range_min")
    port_max = _number(body.port_range_max, "port_range_max")
    check_ports(protocol, port_min, port_max)
    if body.remote_ip_prefix is not None and body.remote_group_id is not None:
        raise Invalid(
            "Only remote_ip_prefix or remote_group_id may be provided.",
            code="SecurityGroupRemoteGroupAndRemoteIpPrefix",
        )
    remote = None if body.remote_group_id is None else _own_group(view, caller, body.remote_group_id).id
    rule = SecurityGroupRule(
        id=SecurityGroupRuleId(new_uuid()),
        project_id=group.project_id,
        group_id=group.id,
        direction=_direction(body.direction),
        ethertype=ethertype,
        protocol=protocol,
        port_min=port_min,
        port_max=port_max,
        remote_ip_prefix=checked_prefix(body.remote_ip_prefix, ethertype),
        remote_group_id=remote,
        description=inputs.text(body.description or "", "description"),
        created_ms=now_ms(),
    )
    return CreateSecurityGroupRule(rule=rule)


def _ethertype(value: str | None) -> Ethertype:
    for ethertype in Ethertype:
        if (value or Ethertype.IPV4).lower() == ethertype.lower():
            return ethertype
    raise inputs.invalid("ethertype", f"'{(value or '')[:32]}' is neither IPv4 nor IPv6")


def _direction(value: str) -> Direction:
    for direction in Direction:
        if value.lower() == direction:
            return direction
    raise inputs.invalid("direction", f"'{value[:32]}' is neither ingress nor egress")


def _number(value: int | str | None, field: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not str(value).isascii() or not str(value).isdecimal() or len(str(value)) > 5:
        raise Invalid(f"Invalid value for port {str(value)[:32]} in {field}.", code="SecurityGroupInvalidPortValue")
    return int(value)


async def delete_rule(request: Request) -> Response:
    """DELETE /security-group-rules/{rule_id}: what it alone allowed ends, also where it is already running."""
    rule = _own_rule(request.cluster.view(), request.caller, request.params["rule_id"])
    await request.cluster.propose(DeleteSecurityGroupRule(rule_id=rule.id, now_ms=now_ms()))
    return Response()


_GROUP = "/security-groups/{group_id}"
_RULE = "/security-group-rules/{rule_id}"

ROUTES = (
    Route(verb="GET", path="/security-groups", handler=list_groups, allow=Allow.READER),
    Route(verb="POST", path="/security-groups", handler=create_group, allow=Allow.MEMBER, done=Done.CREATED),
    Route(verb="GET", path=_GROUP, handler=show_group, allow=Allow.READER),
    Route(verb="PUT", path=_GROUP, handler=update_group, allow=Allow.MEMBER),
    Route(verb="DELETE", path=_GROUP, handler=delete_group, allow=Allow.MEMBER, done=Done.EMPTY),
    Route(verb="GET", path="/security-group-rules", handler=list_rules, allow=Allow.READER),
    Route(verb="POST", path="/security-group-rules", handler=create_rule, allow=Allow.MEMBER, done=Done.CREATED),
    Route(verb="GET", path=_RULE, handler=show_rule, allow=Allow.READER),
    Route(verb="DELETE", path=_RULE, handler=delete_rule, allow=Allow.MEMBER, done=Done.EMPTY),
)
