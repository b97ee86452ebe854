"""What a security group and its rules are: who may talk to a port, and to whom it may talk."""

from collections.abc import Callable
from enum import StrEnum
from typing import ClassVar

import msgspec

from noded.core.ids import PortId, ProjectId, SecurityGroupId, SecurityGroupRuleId
from noded.core.record import Record

DEFAULT_NAME = "default"


class Direction(StrEnum):
    """Which way, seen from the guest."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Ethertype(StrEnum):
    """Which family of addresses a rule is about."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"


class SecurityGroup(Record, frozen=True, kw_only=True, tag="security_group.1"):
    """A set of rules that ports share. Each project has one named `default`, which can't be deleted or renamed."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id",)
    NOUN: ClassVar[str] = "security group"

    id: SecurityGroupId
    project_id: ProjectId
    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    created_ms: int
    updated_ms: int
    generation: int = 1


class SecurityGroupRule(Record, frozen=True, kw_only=True, tag="security_group_rule.1"):
    """One allowance. What no rule allows is dropped; answers to what was allowed always pass."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "group_id", "remote_group_id")
    NOUN: ClassVar[str] = "security group rule"

    id: SecurityGroupRuleId
    project_id: ProjectId
    group_id: SecurityGroupId
    direction: Direction
    ethertype: Ethertype
    protocol: str | None = None  # a name such as "tcp", or the number in decimal; None: any
    port_min: int | None = None  # for ICMP the type
    port_max: int | None = None  # for ICMP the code
    remote_ip_prefix: str | None = None
    remote_group_id: SecurityGroupId | None = None
    description: str = ""
    created_ms: int


class SecurityGroupUse(Record, frozen=True, kw_only=True, tag="security_group_use.1"):
    """That a port is in these groups; so a group knows that it is in use without knowing what ports are."""

    INDEXED: ClassVar[tuple[str, ...]] = ("groups",)
    NOUN: ClassVar[str] = "use of a security group"

    id: PortId
    groups: tuple[SecurityGroupId, ...]


class DefaultGroupIds(msgspec.Struct, frozen=True, kw_only=True):
    """Ids drawn in case the command finds that the project has no default group yet."""

    group_id: SecurityGroupId
    rule_ids: tuple[SecurityGroupRuleId, SecurityGroupRuleId, SecurityGroupRuleId, SecurityGroupRuleId]

    @classmethod
    def drawn(cls, new_uuid: Callable[[], str]) -> "DefaultGroupIds":
        """Five fresh ids from `new_uuid` (`noded.core.dice`), for a handler to put into its command."""
        one, two, three, four = (SecurityGroupRuleId(new_uuid()) for _ in range(4))
        return cls(group_id=SecurityGroupId(new_uuid()), rule_ids=(one, two, three, four))
