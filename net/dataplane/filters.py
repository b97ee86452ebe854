"""What each port of this machine may send and receive: the meaning of the security groups, before it becomes rules.

`rules.py` writes it for nftables; `allows` judges connections that are already running, when rules have changed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from net.addresses import METADATA_ADDRESS
from net.dataplane.model import Flow, tap_name
from net.networks.model import Network
from net.ports.model import Port
from net.security_groups.model import Direction, Ethertype, SecurityGroupRule, SecurityGroupUse
from net.security_groups.rules import protocol_number
from noded.core.ids import PortId, SecurityGroupId
from noded.core.store import View

ZONE_MAX = 65_535
_MARK_BITS = 0x3FFF_FFFF
_ICMP = 1
_SERVICE_PORTS = ((6, 80), (17, 67))  # HTTP and DHCP


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """One kind of traffic that a group allows, in one network."""

    direction: Direction
    protocol: int | None = None
    low: int | None = None  # the first port, or the ICMP type
    high: int | None = None  # the last port, or the ICMP code
    prefix: str | None = None
    members: SecurityGroupId | None = None  # only with members of that group


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFilter:
    """One port of this machine."""

    port_id: PortId
    tap: str
    number: int  # in packet marks: stable, so that a reload never gives a packet in flight to another port
    vni: int
    mac: str
    addresses: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()  # further prefix, MAC address
    secured: bool = True
    groups: tuple[SecurityGroupId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The whole filter of a machine."""

    ports: tuple[PortFilter, ...] = ()
    zones: Mapping[int, int] = field(default_factory=dict)  # VNI → conntrack zone
    allowances: Mapping[SecurityGroupId, tuple[Allowance, ...]] = field(default_factory=dict)
    members: Mapping[tuple[int, SecurityGroupId], tuple[str, ...]] = field(default_factory=dict)  # (VNI, group)
    node_addresses: tuple[str, ...] = ()


def build_filter(view: View, ports: Iterable[Port], node_addresses: Iterable[str]) -> Filter:
    """The filter for the given ports of this machine."""
    carried = [(port, network) for port in ports if (network := _carrying(view, port)) is not None]
    numbers = _numbers(port.id for port, _ in carried)
    groups = sorted({group for port, _ in carried if port.port_security_enabled for group in port.security_groups})
    allowances = {group: _allowances(view, group) for group in groups}
    named = {allowance.members for rules in allowances.values() for allowance in rules if allowance.members is not None}
    vnis = {network.id: network.vni for _, network in carried}
    members: dict[tuple[int, SecurityGroupId], set[str]] = {
        (vni, group): set() for vni in vnis.values() for group in named
    }
    for group in named:
        for use in view.find(SecurityGroupUse, "groups", group):
            member = view.get(Port, use.id)
            if member is not None and member.network_id in vnis:
                members[vnis[member.network_id], group].update(_member_addresses(member))
    return Filter(
        ports=tuple(_port_filter(port, network, numbers[port.id]) for port, network in carried),
        zones=zones_of(vnis.values()),
        allowances=allowances,
        members={key: tuple(sorted(addresses)) for key, addresses in members.items()},
        node_addresses=tuple(sorted(node_addresses)),
    )


def _carrying(view: View, port: Port) -> Network | None:
    """The port's network, if traffic is to pass at all: neither it nor the port is switched off."""
    network = view.get(Network, port.network_id)
    return network if network is not None and network.admin_state_up and port.admin_state_up else None


def _numbers(port_ids: Iterable[PortId]) -> dict[PortId, int]:
    """A number for each port, from its id; of two that would get the same one, the second takes the next."""
    numbers: dict[PortId, int] = {}
    taken: set[int] = set()
    for port_id in sorted(port_ids):
        number = int(port_id.replace("-", "")[:8], 16) & _MARK_BITS
        while number in taken:
            number = (number + 1) & _MARK_BITS
        taken.add(number)
        numbers[port_id] = number
    return numbers


def zones_of(vnis: Iterable[int]) -> dict[int, int]:
    """A conntrack zone for each network: equal addresses in two networks are then two connections."""
    zones: dict[int, int] = {}
    taken: set[int] = set()
    for vni in sorted(set(vnis)):
        zone = vni % ZONE_MAX + 1
        while zone in taken:
            zone = zone % ZONE_MAX + 1
        taken.add(zone)
        zones[vni] = zone
    return zones


def _allowances(view: View, group: SecurityGroupId) -> tuple[Allowance, ...]:
    """What the group allows. Rules for IPv6 allow nothing here: no network carries it."""
    rules = view.find(SecurityGroupRule, "group_id", group)
    return tuple(_allowance(rule) for rule in rules if rule.ethertype is Ethertype.IPV4)


def _allowance(rule: SecurityGroupRule) -> Allowance:
    return Allowance(
        direction=rule.direction,
        protocol=None if rule.protocol is None else protocol_number(rule.protocol),
        low=rule.port_min,
        high=rule.port_max,
        prefix=rule.remote_ip_prefix,
        members=rule.remote_group_id,
    )


def _member_addresses(port: Port) -> set[str]:
    return {fixed.ip_address for fixed in port.fixed_ips} | {pair.ip_address for pair in port.allowed_address_pairs}


def _port_filter(port: Port, network: Network, number: int) -> PortFilter:
    return PortFilter(
        port_id=port.id,
        tap=tap_name(port.id),
        number=number,
        vni=network.vni,
        mac=port.mac,
        addresses=tuple(fixed.ip_address for fixed in port.fixed_ips),
        pairs=tuple((pair.ip_address, pair.mac_address) for pair in port.allowed_address_pairs),
        secured=port.port_security_enabled,
        groups=port.security_groups,
    )


def forbidden(filter_: Filter, flows: Iterable[Flow]) -> tuple[Flow, ...]:
    """The connections that no rule allows any more."""
    by_place = {
        (filter_.zones[port.vni], address): port
        for port in filter_.ports
        for address in (*port.addresses, *(pair for pair, _ in port.pairs if "/" not in pair))
    }
    return tuple(
        flow
        for flow in flows
        if not _allowed(filter_, by_place.get((flow.zone, flow.source)), flow, Direction.EGRESS)
        or not _allowed(filter_, by_place.get((flow.zone, flow.destination)), flow, Direction.INGRESS)
    )


def _allowed(filter_: Filter, port: PortFilter | None, flow: Flow, direction: Direction) -> bool:
    if port is None or not port.secured:
        return True  # the other end's machine judges, or nobody does
    if _is_of_services(flow, direction):
        return True
    remote = flow.destination if direction is Direction.EGRESS else flow.source
    return any(
        _covers(filter_, port, allowance, flow, remote)
        for group in port.groups
        for allowance in filter_.allowances[group]
        if allowance.direction is direction
    )


def _is_of_services(flow: Flow, direction: Direction) -> bool:
    if direction is Direction.INGRESS:
        return flow.source == METADATA_ADDRESS
    return flow.destination == METADATA_ADDRESS and (flow.protocol, flow.destination_port) in _SERVICE_PORTS


def _covers(filter_: Filter, port: PortFilter, allowance: Allowance, flow: Flow, remote: str) -> bool:
    if allowance.protocol is not None and allowance.protocol != flow.protocol:
        return False
    if not _numbers_cover(allowance, flow):
        return False
    if allowance.members is not None:
        return _within(remote, filter_.members[port.vni, allowance.members])
    return allowance.prefix is None or _within(remote, (allowance.prefix,))


def _numbers_cover(allowance: Allowance, flow: Flow) -> bool:
    if allowance.low is None:
        return True
    if allowance.protocol == _ICMP:
        return flow.icmp_type == allowance.low and allowance.high in (None, flow.icmp_code)
    return allowance.low <= flow.destination_port <= (allowance.high or allowance.low)


def _within(address: str, prefixes: Iterable[str]) -> bool:
    parsed = IPv4Address(address)
    return any(parsed in IPv4Network(prefix) for prefix in prefixes)
