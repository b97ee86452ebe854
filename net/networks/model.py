"""What a network and a subnet are. A network is one layer-2 segment, carried between nodes under its own VNI."""

from typing import ClassVar

import msgspec

from net.addresses import AddressPool
from noded.core.ids import NetworkId, PortId, ProjectId, SubnetId
from noded.core.record import Record

MTU = 1450  # an Ethernet of 1500 less the 50 bytes of VXLAN over IPv4
VNI_MIN = 100  # below it is room for segments that are not a project's
VNI_MAX = (1 << 24) - 1


class HostRoute(msgspec.Struct, frozen=True):
    """A route that DHCP hands to every guest of the subnet."""

    destination: str
    nexthop: str


class FixedIp(msgspec.Struct, frozen=True):
    """One address in one subnet, as a port has it."""

    subnet_id: SubnetId
    ip_address: str


class WantedIp(msgspec.Struct, frozen=True, kw_only=True):
    """An address as asked for: from that subnet, exactly that address, or both."""

    subnet_id: SubnetId | None = None
    ip_address: str | None = None


class Network(Record, frozen=True, kw_only=True, tag="network.1"):
    """One segment. Nothing of it is node-specific: a node builds it when a port of it is bound there."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "vni")
    NOUN: ClassVar[str] = "network"

    id: NetworkId
    project_id: ProjectId
    name: str
    description: str = ""
    admin_state_up: bool = True
    shared: bool = False
    port_security_enabled: bool = True  # what new ports get unless they say otherwise
    mtu: int = MTU
    vni: int
    tags: tuple[str, ...] = ()
    created_ms: int
    updated_ms: int
    generation: int = 1


class Subnet(Record, frozen=True, kw_only=True, tag="subnet.1"):
    """The IPv4 addresses of a network and what DHCP says beside the address."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "network_id")
    NOUN: ClassVar[str] = "subnet"

    id: SubnetId
    network_id: NetworkId
    project_id: ProjectId
    name: str
    description: str = ""
    cidr: str
    gateway_ip: str | None
    pools: tuple[AddressPool, ...]
    enable_dhcp: bool = True
    dns_nameservers: tuple[str, ...] = ()
    host_routes: tuple[HostRoute, ...] = ()
    tags: tuple[str, ...] = ()
    created_ms: int
    updated_ms: int
    generation: int = 1


class NetworkUse(Record, frozen=True, kw_only=True, tag="network_use.1"):
    """That a port is in a network, and with which addresses. The index of `addresses` makes each of them unique.

    Kept here, so that a network knows that it is in use without knowing what ports are.
    """

    INDEXED: ClassVar[tuple[str, ...]] = ("network_id", "addresses")
    NOUN: ClassVar[str] = "use of a network"

    id: PortId
    network_id: NetworkId
    project_id: ProjectId
    addresses: tuple[FixedIp, ...]


class AddressCursor(Record, frozen=True, kw_only=True, tag="address_cursor.1"):
    """Below which number every address of a subnet's pools is taken: where the search for a free one may begin."""

    NOUN: ClassVar[str] = "address cursor"

    id: SubnetId
    number: int


class VniCounter(Record, frozen=True, kw_only=True, tag="vni_counter.1"):
    """The VNI given last. Numbers go round before one returns, so a node that lags never mixes two networks."""

    NOUN: ClassVar[str] = "VNI counter"

    id: str
    last: int
