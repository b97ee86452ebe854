"""What a port is: one virtual network card, its addresses, who it belongs to, and on which node it is bound."""

from typing import ClassVar

import msgspec

from net.networks.model import FixedIp, WantedIp
from noded.core.ids import NetworkId, NodeId, PortId, ProjectId, SecurityGroupId
from noded.core.record import Record

COMPUTE_OWNER = "compute:nova"  # what a server's port says in `device_owner`


class AddressPair(msgspec.Struct, frozen=True):
    """Another source address (or prefix) that the guest may use, such as one that two guests pass between them."""

    ip_address: str
    mac_address: str


class Port(Record, frozen=True, kw_only=True, tag="port.1"):
    """One virtual network card."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "network_id", "device_id", "node_id", "mac")
    NOUN: ClassVar[str] = "port"

    id: PortId
    project_id: ProjectId
    network_id: NetworkId
    name: str = ""
    description: str = ""
    mac: str
    fixed_ips: tuple[FixedIp, ...]
    security_groups: tuple[SecurityGroupId, ...]
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    port_security_enabled: bool = True
    admin_state_up: bool = True
    device_id: str = ""
    device_owner: str = ""
    node_id: NodeId | None = None  # where it is bound: the node that must carry it
    up: bool = False  # observed by that node: its tap is there and its rules are in force
    tags: tuple[str, ...] = ()
    created_ms: int
    updated_ms: int
    generation: int = 1


class NewPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port as asked for: everything that was chosen before the log. Other services' commands carry it too."""

    id: PortId
    project_id: ProjectId
    network_id: NetworkId
    mac: str
    name: str = ""
    description: str = ""
    fixed_ips: tuple[WantedIp, ...] | None = None  # None: one address, from any subnet with room
    security_groups: tuple[SecurityGroupId, ...] | None = None  # None: the project's default group
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    port_security_enabled: bool | None = None  # None: as the network says
    admin_state_up: bool = True
    device_id: str = ""
    device_owner: str = ""
    node_id: NodeId | None = None
