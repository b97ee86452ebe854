"""What a node's machine must have for the ports bound to it, as the store says it now."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from consensus.members.model import Node
from net.addresses import parse_address, parse_cidr
from net.dataplane.filters import Filter, build_filter
from net.dataplane.model import (
    Answers,
    Lease,
    Mark,
    Neighbour,
    Remote,
    Rules,
    Segment,
    TapLink,
    tap_name,
)
from net.dataplane.rules import nft_rules
from net.networks.model import Network, Subnet
from net.ports.model import Port
from noded.core.ids import NodeId, PortId
from noded.core.store import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """Everything of one machine."""

    address: str  # of this node, by which the others send to it; empty while nobody knows one
    segments: dict[int, Segment] = field(default_factory=dict)
    taps: dict[str, TapLink] = field(default_factory=dict)
    filter: Filter
    rules: Rules
    answers: dict[int, Answers] = field(default_factory=dict)
    ports: tuple[PortId, ...] = ()  # bound to this node


def desired(view: View, node_id: NodeId, plugged: Collection[PortId] = ()) -> Desired:
    """What the machine of `node_id` must have; `plugged` ports have a tap here although they are bound elsewhere.

    Such a port is about to come here or has just left: its tap keeps its rules, and its traffic goes where it is bound.
    """
    addresses = node_addresses(view)
    bound = view.find(Port, "node_id", node_id)
    guests = [port for port_id in sorted(set(plugged)) if (port := view.get(Port, port_id)) is not None]
    here = {port.id: port for port in (*guests, *bound)}
    networks = {port.network_id: view.get(Network, port.network_id) for port in here.values()}
    present = {key: network for key, network in networks.items() if network is not None}
    filter_ = build_filter(view, here.values(), {text for texts in addresses.values() for text in texts})
    own = addresses.get(node_id, ("",))[0]
    return Desired(
        address=own,
        segments={network.vni: _segment(view, network, node_id, own, addresses) for network in present.values()},
        taps={
            tap_name(port.id): _tap(view, port, present[port.network_id])
            for port in here.values()
            if port.network_id in present
        },
        filter=filter_,
        rules=nft_rules(filter_),
        answers={
            network.vni: _answers(view, network, [port for port in here.values() if port.network_id == network.id])
            for network in present.values()
        },
        ports=tuple(port.id for port in bound if port.network_id in present),
    )


def node_addresses(view: View) -> dict[str, tuple[str, ...]]:
    """The IPv4 addresses of every node that has one, best first."""
    found = {node.id: tuple(text for text in node.addresses if parse_address(text)) for node in view.all(Node)}
    return {node_id: addresses for node_id, addresses in found.items() if addresses}


def _segment(view: View, network: Network, node_id: NodeId, own: str, addresses: dict[str, tuple[str, ...]]) -> Segment:
    ports = view.find(Port, "network_id", network.id)
    away = [port for port in ports if port.node_id not in (None, node_id) and port.node_id in addresses]
    places = {port.id: addresses[port.node_id][0] for port in away if port.node_id is not None}
    return Segment(
        vni=network.vni,
        mark=Mark(network.id, view.revision),
        mtu=network.mtu,
        local_address=own,
        peers=frozenset(places.values()),
        remotes=frozenset(Remote(port.mac, places[port.id]) for port in away),
        neighbours=frozenset(
            Neighbour(fixed.ip_address, port.mac)
            for port in ports
            if port.node_id is not None
            for fixed in port.fixed_ips
        ),
    )


def _tap(view: View, port: Port, network: Network) -> TapLink:
    return TapLink(name=tap_name(port.id), mark=Mark(port.id, view.revision), vni=network.vni, mtu=network.mtu)


def _answers(view: View, network: Network, ports: Iterable[Port]) -> Answers:
    subnets = {subnet.id: subnet for subnet in view.find(Subnet, "network_id", network.id)}
    leases: dict[str, Lease] = {}
    by_address: dict[str, PortId] = {}
    for port in ports:
        for fixed in port.fixed_ips:
            by_address[fixed.ip_address] = port.id
            subnet = subnets.get(fixed.subnet_id)
            if subnet is not None and subnet.enable_dhcp and port.mac not in leases:
                leases[port.mac] = _lease(port, fixed.ip_address, network, subnet)
    return Answers(leases=leases, ports=by_address)


def _lease(port: Port, ip_address: str, network: Network, subnet: Subnet) -> Lease:
    cidr = parse_cidr(subnet.cidr)
    assert cidr is not None, "the CIDR was checked when the subnet was made"
    return Lease(
        port_id=port.id,
        mac=port.mac,
        ip_address=ip_address,
        prefix_length=cidr.prefixlen,
        gateway=subnet.gateway_ip,
        mtu=network.mtu,
        nameservers=subnet.dns_nameservers,
        routes=tuple((route.destination, route.nexthop) for route in subnet.host_routes),
    )
