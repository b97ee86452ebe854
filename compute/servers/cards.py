"""Which network cards a new server gets: those its owner named, or one on the only network there is."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

from compute.servers import versions
from compute.servers.bodies import NewServerBody, WantedGroup, WantedNetwork
from compute.servers.commands import NewCard
from net.networks.model import Network, Subnet, WantedIp
from net.ports.model import COMPUTE_OWNER, NewPort, Port
from net.security_groups.model import DEFAULT_NAME, SecurityGroup
from noded.core import dice
from noded.core.errors import Conflict, Invalid
from noded.core.ids import NetworkId, NodeId, PortId, ProjectId, SecurityGroupId, ServerId
from noded.core.route import Caller
from noded.core.store import View

CARDS_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A card that can be had: an existing port, or a new one on a network."""

    port_id: PortId | None = None
    network_id: NetworkId | None = None
    fixed_ip: str | None = None
    groups: tuple[SecurityGroupId, ...] | None = None


def cards_of(view: View, caller: Caller, new: NewServerBody, version: tuple[int, int], count: int) -> tuple[Card, ...]:
    """The cards of each server; raises `Refused` with Nova's reasons."""
    networks = new.networks
    if version >= versions.NETWORKS_NEEDED and networks is UNSET:
        raise Invalid("Invalid input for field/attribute server. 'networks' is a required property")
    if isinstance(networks, str) and (version < versions.NETWORKS_NEEDED or networks not in ("auto", "none")):
        raise Invalid(f"Invalid input for field/attribute networks. Value: {networks[:64]}.")
    if networks == "none":
        return ()
    groups = _groups(view, caller, () if new.security_groups is UNSET else new.security_groups)
    if isinstance(networks, str) or not networks:
        return _only_network(view, caller, groups, needed=networks == "auto")
    if len(networks) > CARDS_MAX:
        raise Invalid(f"A server has at most {CARDS_MAX} network cards.")
    ports = [wanted.port for wanted in networks if wanted.port is not None]
    if len(set(ports)) != len(ports):
        raise Invalid("A port is named twice.")
    return tuple(_card(view, caller, wanted, groups, count) for wanted in networks)


def new_cards(
    cards: Sequence[Card], server_id: ServerId, node_id: NodeId, project_id: ProjectId
) -> tuple[NewCard, ...]:
    """The cards as the command carries them, with fresh ids and MAC addresses."""
    return tuple(_new_card(card, server_id, node_id, project_id) for card in cards)


def _new_card(card: Card, server_id: ServerId, node_id: NodeId, project_id: ProjectId) -> NewCard:
    if card.port_id is not None:
        return NewCard(port_id=card.port_id)
    assert card.network_id is not None, "a card is a port or on a network"
    return NewCard(
        port=NewPort(
            id=PortId(dice.new_uuid()),
            project_id=project_id,
            network_id=card.network_id,
            mac=dice.new_mac(),
            fixed_ips=None if card.fixed_ip is None else (WantedIp(ip_address=card.fixed_ip),),
            security_groups=card.groups,
            device_id=server_id,
            device_owner=COMPUTE_OWNER,
            node_id=node_id,
        )
    )


def _card(
    view: View, caller: Caller, wanted: WantedNetwork, groups: tuple[SecurityGroupId, ...] | None, count: int
) -> Card:
    if wanted.tag is not None:
        raise Invalid("Device tags are not served here.")
    if wanted.port is not None:
        return _existing(view, caller, wanted.port, count)
    if wanted.uuid is None:
        raise Invalid("Invalid input for field/attribute networks. A network needs a uuid or a port.")
    network = view.get(Network, wanted.uuid)
    if network is None or not (network.project_id == caller.project_id or network.shared or caller.is_admin):
        raise Invalid(f"Network {wanted.uuid[:255]} could not be found.")
    if not view.find(Subnet, "network_id", network.id):
        raise Invalid(f"Network {network.id} requires a subnet in order to boot instances on.")
    if wanted.fixed_ip is not None:
        _check_address(wanted.fixed_ip, count)
    return Card(network_id=network.id, fixed_ip=wanted.fixed_ip, groups=groups)


def _existing(view: View, caller: Caller, port_id: str, count: int) -> Card:
    port = view.get(Port, port_id)
    if port is None or not (port.project_id == caller.project_id or caller.is_admin):
        raise Invalid(f"Port {port_id[:255]} could not be found.")
    if count > 1:
        raise Invalid("Unable to launch multiple instances with a single configured port ID.")
    if port.device_id:
        raise Conflict(f"Port {port.id} is still in use.")
    return Card(port_id=port.id)


def _check_address(text: str, count: int) -> None:
    if count > 1:
        raise Invalid("Unable to launch multiple instances with a single configured fixed IP.")
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise Invalid(f"Invalid input for field/attribute fixed_ip. Value: {text[:64]}.") from None


def _only_network(
    view: View, caller: Caller, groups: tuple[SecurityGroupId, ...] | None, *, needed: bool
) -> tuple[Card, ...]:
    """The project's only network with a subnet, or the only shared one if it has none of its own."""
    usable = [network for network in view.all(Network) if view.find(Subnet, "network_id", network.id)]
    own = [network for network in usable if network.project_id == caller.project_id]
    found = own or [network for network in usable if network.shared]
    if len(found) > 1:
        raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
    if not found and needed:
        raise Invalid(
            "Unable to automatically allocate a network: the project has none with a subnet. Create them first, or ask"
            " for no network."
        )
    return tuple(Card(network_id=network.id, groups=groups) for network in found)


def _groups(view: View, caller: Caller, wanted: Sequence[WantedGroup]) -> tuple[SecurityGroupId, ...] | None:
    """The groups' ids; None stands for the project's default group, which may not have been needed yet."""
    known = view.find(SecurityGroup, "project_id", caller.project)
    ids: list[SecurityGroupId] = []
    for name in dict.fromkeys(group.name for group in wanted):
        matching = [group.id for group in known if name == group.id] or [
            group.id for group in known if name == group.name
        ]
        if len(matching) > 1:
            raise Conflict(f"Multiple security groups found matching '{name[:255]}'. Use an ID to be more specific.")
        if not matching and name != DEFAULT_NAME:
            raise Invalid(f"Security group {name[:255]} not found for project {caller.project}.")
        ids += matching
    return tuple(ids) or None
