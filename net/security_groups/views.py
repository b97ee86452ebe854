"""How security groups and their rules look in the API."""

from net.security_groups.model import SecurityGroup, SecurityGroupRule
from noded.core.store import View
from noded.core.times import zulu

Json = dict[str, object]

GROUP_ATTRIBUTES = (
    "id", "name", "tenant_id", "project_id", "description", "security_group_rules", "tags", "created_at",
    "updated_at", "revision_number",
)  # fmt: skip
RULE_ATTRIBUTES = (
    "id", "tenant_id", "project_id", "security_group_id", "direction", "ethertype", "protocol",
    "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id", "description", "created_at",
    "updated_at", "revision_number",
)  # fmt: skip


def group_view(view: View, group: SecurityGroup) -> Json:
    """A group with its rules."""
    return {
        "id": group.id,
        "name": group.name,
        "tenant_id": group.project_id,
        "project_id": group.project_id,
        "description": group.description,
        "security_group_rules": [rule_view(rule) for rule in view.find(SecurityGroupRule, "group_id", group.id)],
        "tags": list(group.tags),
        "created_at": zulu(group.created_ms),
        "updated_at": zulu(group.updated_ms),
        "revision_number": group.generation,
    }


def rule_view(rule: SecurityGroupRule) -> Json:
    """A rule. It never changes: it comes and goes."""
    return {
        "id": rule.id,
        "tenant_id": rule.project_id,
        "project_id": rule.project_id,
        "security_group_id": rule.group_id,
        "direction": rule.direction,
        "ethertype": rule.ethertype,
        "protocol": rule.protocol,
        "port_range_min": rule.port_min,
        "port_range_max": rule.port_max,
        "remote_ip_prefix": rule.remote_ip_prefix,
        "remote_group_id": rule.remote_group_id,
        "description": rule.description,
        "created_at": zulu(rule.created_ms),
        "updated_at": zulu(rule.created_ms),
        "revision_number": 0,
    }
