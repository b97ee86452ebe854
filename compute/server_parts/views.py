"""How the parts of a server look in the API, at each microversion."""

from compute.servers.model import Event, Server
from net.ports.model import Port
from net.security_groups.model import Direction, SecurityGroup, SecurityGroupRule
from noded.core.store import View
from noded.core.times import naive_micro

TAG_SINCE = (2, 70)
UPDATED_AT_SINCE = (2, 58)
_ALL_PORTS = (1, 65535)


def security_group(group: SecurityGroup, view: View) -> dict[str, object]:
    """A group with its rules as Nova tells them: only those that let something in."""
    rules = view.find(SecurityGroupRule, "group_id", group.id)
    return {
        "id": group.id,
        "name": group.name,
        "description": group.description,
        "tenant_id": group.project_id,
        "rules": [_rule(rule, view) for rule in rules if rule.direction is Direction.INGRESS],
    }


def _rule(rule: SecurityGroupRule, view: View) -> dict[str, object]:
    remote = None if rule.remote_group_id is None else view.get(SecurityGroup, rule.remote_group_id)
    ported = rule.protocol in ("tcp", "udp")
    lowest, highest = _ALL_PORTS if ported and rule.port_min is None else (rule.port_min, rule.port_max)
    return {
        "id": rule.id,
        "parent_group_id": rule.group_id,
        "ip_protocol": rule.protocol,
        "from_port": -1 if lowest is None else lowest,
        "to_port": -1 if highest is None else highest,
        "ip_range": {} if remote is not None else {"cidr": rule.remote_ip_prefix or "0.0.0.0/0"},
        "group": {} if remote is None else {"name": remote.name, "tenant_id": remote.project_id},
    }


def interface(port: Port, version: tuple[int, int]) -> dict[str, object]:
    """A network card of the server."""
    body: dict[str, object] = {
        "port_id": port.id,
        "net_id": port.network_id,
        "mac_addr": port.mac,
        "port_state": "ACTIVE" if port.up else "DOWN",
        "fixed_ips": [{"subnet_id": each.subnet_id, "ip_address": each.ip_address} for each in port.fixed_ips],
    }
    return body | ({"tag": None} if version >= TAG_SINCE else {})


def instance_action(server: Server, event: Event, version: tuple[int, int]) -> dict[str, object]:
    """Something that was asked of the server."""
    body: dict[str, object] = {
        "action": event.action,
        "instance_uuid": server.id,
        "request_id": event.request_id,
        "user_id": event.user_id,
        "project_id": event.project_id,
        "start_time": naive_micro(event.at_ms),
        "message": None,
    }
    return body | ({"updated_at": naive_micro(event.at_ms)} if version >= UPDATED_AT_SINCE else {})
