"""How security groups and their rules change, and how a port joins them."""

from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from net.changes import changed, check_generation
from net.security_groups.model import (
    DEFAULT_NAME,
    DefaultGroupIds,
    Direction,
    Ethertype,
    SecurityGroup,
    SecurityGroupRule,
    SecurityGroupUse,
)
from noded.core.command import Command
from noded.core.errors import Conflict, NotFound
from noded.core.ids import PortId, ProjectId, SecurityGroupId, SecurityGroupRuleId
from noded.core.store import Transaction, View


class SecurityGroupChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of a security group is to change; what is unset stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET


def need_group(view: View, group_id: str) -> SecurityGroup:
    """The group of that id, or Neutron's `SecurityGroupNotFound`."""
    group = view.get(SecurityGroup, group_id)
    if group is None:
        raise NotFound(f"Security group {group_id[:255]} does not exist", code="SecurityGroupNotFound")
    return group


def default_group(view: View, project_id: ProjectId) -> SecurityGroup | None:
    """The project's default group, if it has been needed yet."""
    groups = view.find(SecurityGroup, "project_id", project_id)
    return next((group for group in groups if group.name == DEFAULT_NAME), None)


class CreateSecurityGroup(Command, frozen=True, kw_only=True, tag="security_group.create.1"):
    """Make a group that lets everything out and nothing in, and the project's default group if it has none."""

    TOLD: ClassVar[str] = "created the security group {name}"

    group_id: SecurityGroupId
    egress_rule_ids: tuple[SecurityGroupRuleId, SecurityGroupRuleId]
    project_id: ProjectId
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    default_group: DefaultGroupIds
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        ensure_default_group(tx, self.project_id, self.default_group, self.now_ms)
        if self.name == DEFAULT_NAME:
            raise Conflict("Default security group already exists.", code="SecurityGroupDefaultAlreadyExists")
        if tx.get(SecurityGroup, self.group_id) is not None:
            raise Conflict(f"A security group with id {self.group_id} exists already.", code="SecurityGroupIdInUse")
        tx.put(
            SecurityGroup(
                id=self.group_id,
                project_id=self.project_id,
                name=self.name,
                description=self.description,
                tags=self.tags,
                created_ms=self.now_ms,
                updated_ms=self.now_ms,
            )
        )
        _allow_all_egress(tx, self.project_id, self.group_id, self.egress_rule_ids, self.now_ms)


class EnsureDefaultGroup(Command, frozen=True, kw_only=True, tag="security_group.ensure_default.1"):
    """Give the project its default group, if it has none."""

    TOLD: ClassVar[str] = "made the default security group of project {project_id} if it had none"

    project_id: ProjectId
    default_group: DefaultGroupIds
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        ensure_default_group(tx, self.project_id, self.default_group, self.now_ms)


class UpdateSecurityGroup(Command, frozen=True, kw_only=True, tag="security_group.update.1"):
    """Change a group's name, description or tags."""

    TOLD: ClassVar[str] = "changed the security group {group_id}"

    group_id: SecurityGroupId
    change: SecurityGroupChange
    generation: int | None = None  # of the record that the change was worked out from; None: any
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        group = need_group(tx, self.group_id)
        check_generation(group, self.generation)
        renamed = self.change.name is not UNSET and self.change.name != group.name
        if renamed and DEFAULT_NAME in (group.name, self.change.name):
            raise Conflict(
                "Updating the name of the default security group, or to its name, is not allowed.",
                code="SecurityGroupCannotUpdateDefault",
            )
        tx.put(changed(group, self.change, self.now_ms))


class DeleteSecurityGroup(Command, frozen=True, kw_only=True, tag="security_group.delete.1"):
    """Remove a group with its rules, and the rules of other groups that name it; refused while a port is in it."""

    TOLD: ClassVar[str] = "deleted the security group {group_id}"

    FREES_ROOM: ClassVar[bool] = True

    group_id: SecurityGroupId
    by_admin: bool = False  # an administrator may remove a default group too, when its project is cleared away

    def apply(self, tx: Transaction) -> None:
        group = need_group(tx, self.group_id)
        if group.name == DEFAULT_NAME and not self.by_admin:
            raise Conflict(
                "Insufficient rights for removing default security group.", code="SecurityGroupCannotRemoveDefault"
            )
        if tx.find(SecurityGroupUse, "groups", group.id):
            raise Conflict(f"Security Group {group.id} in use.", code="SecurityGroupInUse")
        rules = {rule.id for rule in tx.find(SecurityGroupRule, "group_id", group.id)}
        rules |= {rule.id for rule in tx.find(SecurityGroupRule, "remote_group_id", group.id)}
        for rule_id in sorted(rules):
            tx.delete(SecurityGroupRule, rule_id)
        tx.delete(SecurityGroup, group.id)


class CreateSecurityGroupRule(Command, frozen=True, kw_only=True, tag="security_group_rule.create.1"):
    """Allow one more kind of traffic."""

    TOLD: ClassVar[str] = "added a rule to the security group {rule[group_id]}"

    rule: SecurityGroupRule

    def apply(self, tx: Transaction) -> None:
        group = need_group(tx, self.rule.group_id)
        if self.rule.remote_group_id is not None:
            need_group(tx, self.rule.remote_group_id)
        if tx.get(SecurityGroupRule, self.rule.id) is not None:
            raise Conflict(
                f"A security group rule with id {self.rule.id} exists already.", code="SecurityGroupRuleIdInUse"
            )
        for other in tx.find(SecurityGroupRule, "group_id", group.id):
            if _meaning(other) == _meaning(self.rule):
                raise Conflict(
                    f"Security group rule already exists. Rule id is {other.id}.", code="SecurityGroupRuleExists"
                )
        tx.put(self.rule)
        _touch(tx, group, self.rule.created_ms)


class DeleteSecurityGroupRule(Command, frozen=True, kw_only=True, tag="security_group_rule.delete.1"):
    """Allow one kind of traffic less."""

    TOLD: ClassVar[str] = "deleted the security group rule {rule_id}"

    FREES_ROOM: ClassVar[bool] = True

    rule_id: SecurityGroupRuleId
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        rule = need_rule(tx, self.rule_id)
        tx.delete(SecurityGroupRule, rule.id)
        _touch(tx, need_group(tx, rule.group_id), self.now_ms)


def need_rule(view: View, rule_id: str) -> SecurityGroupRule:
    """The rule of that id, or Neutron's `SecurityGroupRuleNotFound`."""
    rule = view.get(SecurityGroupRule, rule_id)
    if rule is None:
        raise NotFound(f"Security group rule {rule_id[:255]} does not exist", code="SecurityGroupRuleNotFound")
    return rule


def _meaning(rule: SecurityGroupRule) -> tuple[object, ...]:
    return (
        rule.direction,
        rule.ethertype,
        rule.protocol,
        rule.port_min,
        rule.port_max,
        rule.remote_ip_prefix,
        rule.remote_group_id,
    )


def _touch(tx: Transaction, group: SecurityGroup, now_ms: int) -> None:
    tx.put(changed(group, SecurityGroupChange(), now_ms))


# --- what other services call inside their `apply` --------------------------------------------------------------------


def ensure_default_group(tx: Transaction, project_id: ProjectId, ids: DefaultGroupIds, now_ms: int) -> SecurityGroupId:
    """The project's default group, made of `ids` if there is none: all out, and in only from its own members."""
    group = default_group(tx, project_id)
    if group is not None:
        return group.id
    tx.put(
        SecurityGroup(
            id=ids.group_id,
            project_id=project_id,
            name=DEFAULT_NAME,
            description="Default security group",
            created_ms=now_ms,
            updated_ms=now_ms,
        )
    )
    _allow_all_egress(tx, project_id, ids.group_id, ids.rule_ids[:2], now_ms)
    for rule_id, ethertype in zip(ids.rule_ids[2:], Ethertype, strict=True):
        tx.put(
            SecurityGroupRule(
                id=rule_id,
                project_id=project_id,
                group_id=ids.group_id,
                direction=Direction.INGRESS,
                ethertype=ethertype,
                remote_group_id=ids.group_id,
                created_ms=now_ms,
            )
        )
    return ids.group_id


def _allow_all_egress(
    tx: Transaction,
    project_id: ProjectId,
    group_id: SecurityGroupId,
    rule_ids: tuple[SecurityGroupRuleId, SecurityGroupRuleId],
    now_ms: int,
) -> None:
    for rule_id, ethertype in zip(rule_ids, Ethertype, strict=True):
        tx.put(
            SecurityGroupRule(
                id=rule_id,
                project_id=project_id,
                group_id=group_id,
                direction=Direction.EGRESS,
                ethertype=ethertype,
                created_ms=now_ms,
            )
        )


def join_groups(tx: Transaction, port_id: PortId, project_id: ProjectId, groups: tuple[SecurityGroupId, ...]) -> None:
    """Enter the port in exactly these groups, which must be its project's."""
    for group_id in groups:
        if need_group(tx, group_id).project_id != project_id:
            raise NotFound(f"Security group {group_id[:255]} does not exist", code="SecurityGroupNotFound")
    tx.put(SecurityGroupUse(id=port_id, groups=groups))


def leave_groups(tx: Transaction, port_id: PortId) -> None:
    """Take the port out of every group."""
    tx.delete(SecurityGroupUse, port_id)
