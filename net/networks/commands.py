"""How networks and subnets change, and how an address is handed out: one apply after another, so never twice."""

from collections.abc import Collection, Iterable
from ipaddress import IPv4Address
from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from net.addresses import (
    AddressPool,
    bounds,
    can_be_a_subnet,
    hosts,
    in_order,
    overlapping,
    parse_address,
    parse_cidr,
    written,
)
from net.changes import changed, check_generation
from net.networks.model import (
    VNI_MAX,
    VNI_MIN,
    AddressCursor,
    FixedIp,
    HostRoute,
    Network,
    NetworkUse,
    Subnet,
    VniCounter,
    WantedIp,
)
from noded.core.command import Command
from noded.core.errors import Conflict, Invalid, NotFound
from noded.core.ids import NetworkId, PortId, ProjectId, SubnetId
from noded.core.store import Transaction, View

_COUNTER_ID = "vni"


class NetworkChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of a network is to change; what is unset stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    admin_state_up: bool | UnsetType = UNSET
    shared: bool | UnsetType = UNSET
    port_security_enabled: bool | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET


class SubnetChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of a subnet is to change; what is unset stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    gateway_ip: str | UnsetType | None = UNSET
    pools: tuple[AddressPool, ...] | UnsetType = UNSET
    enable_dhcp: bool | UnsetType = UNSET
    dns_nameservers: tuple[str, ...] | UnsetType = UNSET
    host_routes: tuple[HostRoute, ...] | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET


def need_network(view: View, network_id: str) -> Network:
    """The network of that id, or Neutron's `NetworkNotFound`."""
    network = view.get(Network, network_id)
    if network is None:
        raise NotFound(f"Network {network_id[:255]} could not be found.", code="NetworkNotFound")
    return network


def need_subnet(view: View, subnet_id: str) -> Subnet:
    """The subnet of that id, or Neutron's `SubnetNotFound`."""
    subnet = view.get(Subnet, subnet_id)
    if subnet is None:
        raise NotFound(f"Subnet {subnet_id[:255]} could not be found.", code="SubnetNotFound")
    return subnet


class CreateNetwork(Command, frozen=True, kw_only=True, tag="network.create.1"):
    """Make a network and give it a VNI."""

    TOLD: ClassVar[str] = "created the network {name}"

    network_id: NetworkId
    project_id: ProjectId
    name: str
    description: str = ""
    admin_state_up: bool = True
    shared: bool = False
    port_security_enabled: bool = True
    tags: tuple[str, ...] = ()
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        if tx.get(Network, self.network_id) is not None:
            raise Conflict(f"A network with id {self.network_id} exists already.", code="NetworkIdInUse")
        tx.put(
            Network(
                id=self.network_id,
                project_id=self.project_id,
                name=self.name,
                description=self.description,
                admin_state_up=self.admin_state_up,
                shared=self.shared,
                port_security_enabled=self.port_security_enabled,
                vni=_next_vni(tx),
                tags=self.tags,
                created_ms=self.now_ms,
                updated_ms=self.now_ms,
            )
        )


def _next_vni(tx: Transaction) -> int:
    counter = tx.get(VniCounter, _COUNTER_ID)
    number = VNI_MIN if counter is None or counter.last >= VNI_MAX else counter.last + 1
    # After 16 million networks the numbers start again; then, and only then, those still in use must be skipped.
    while tx.find(Network, "vni", number):
        number = VNI_MIN if number >= VNI_MAX else number + 1
    tx.put(VniCounter(id=_COUNTER_ID, last=number))
    return number


class UpdateNetwork(Command, frozen=True, kw_only=True, tag="network.update.1"):
    """Change what a user may change of a network."""

    TOLD: ClassVar[str] = "changed the network {network_id}"

    network_id: NetworkId
    change: NetworkChange
    generation: int | None = None  # of the record that the change was worked out from; None: any
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        network = need_network(tx, self.network_id)
        check_generation(network, self.generation)
        if self.change.shared is False and network.shared:
            self._refuse_if_others_use_it(tx, network)
        tx.put(changed(network, self.change, self.now_ms))

    @staticmethod
    def _refuse_if_others_use_it(tx: Transaction, network: Network) -> None:
        if any(use.project_id != network.project_id for use in tx.find(NetworkUse, "network_id", network.id)):
            raise Conflict(
                f"Unable to reconfigure sharing settings for network {network.id}. "
                "Multiple projects are using it: their ports must be deleted first.",
                code="InvalidSharedSetting",
            )


class DeleteNetwork(Command, frozen=True, kw_only=True, tag="network.delete.1"):
    """Remove a network with its subnets; refused while it has ports."""

    TOLD: ClassVar[str] = "deleted the network {network_id}"

    FREES_ROOM: ClassVar[bool] = True

    network_id: NetworkId

    def apply(self, tx: Transaction) -> None:
        network = need_network(tx, self.network_id)
        if tx.find(NetworkUse, "network_id", network.id):
            raise Conflict(
                f"Unable to complete operation on network {network.id}. "
                "There are one or more ports still in use on the network.",
                code="NetworkInUse",
            )
        for subnet in tx.find(Subnet, "network_id", network.id):
            _forget_cursor(tx, subnet.id)
            tx.delete(Subnet, subnet.id)
        tx.delete(Network, network.id)


class CreateSubnet(Command, frozen=True, kw_only=True, tag="subnet.create.1"):
    """Give a network a range of IPv4 addresses."""

    TOLD: ClassVar[str] = "created the subnet {name} {cidr} of network {network_id}"

    subnet_id: SubnetId
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
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        need_network(tx, self.network_id)
        if tx.get(Subnet, self.subnet_id) is not None:
            raise Conflict(f"A subnet with id {self.subnet_id} exists already.", code="SubnetIdInUse")
        subnet = Subnet(
            id=self.subnet_id,
            network_id=self.network_id,
            project_id=self.project_id,
            name=self.name,
            description=self.description,
            cidr=self.cidr,
            gateway_ip=self.gateway_ip,
            pools=self.pools,
            enable_dhcp=self.enable_dhcp,
            dns_nameservers=self.dns_nameservers,
            host_routes=self.host_routes,
            tags=self.tags,
            created_ms=self.now_ms,
            updated_ms=self.now_ms,
        )
        _check_subnet(subnet)
        _refuse_overlap(tx, subnet)
        tx.put(subnet)


class UpdateSubnet(Command, frozen=True, kw_only=True, tag="subnet.update.1"):
    """Change what a user may change of a subnet. Addresses already handed out keep working."""

    TOLD: ClassVar[str] = "changed the subnet {subnet_id}"

    subnet_id: SubnetId
    change: SubnetChange
    generation: int | None = None  # of the record that the change was worked out from; None: any
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        before = need_subnet(tx, self.subnet_id)
        check_generation(before, self.generation)
        after = changed(before, self.change, self.now_ms)
        _check_subnet(after)
        gateway = after.gateway_ip
        if gateway is not None and gateway != before.gateway_ip and address_taken(tx, FixedIp(after.id, gateway)):
            raise Conflict(
                f"Gateway ip {gateway} is in use by a port of the subnet; choose another address.",
                code="GatewayIpInUse",
            )
        if after.pools != before.pools:
            _forget_cursor(tx, after.id)
        tx.put(after)


class DeleteSubnet(Command, frozen=True, kw_only=True, tag="subnet.delete.1"):
    """Remove a subnet; refused while a port has an address of it."""

    TOLD: ClassVar[str] = "deleted the subnet {subnet_id}"

    FREES_ROOM: ClassVar[bool] = True

    subnet_id: SubnetId

    def apply(self, tx: Transaction) -> None:
        subnet = need_subnet(tx, self.subnet_id)
        for use in tx.find(NetworkUse, "network_id", subnet.network_id):
            if any(address.subnet_id == subnet.id for address in use.addresses):
                raise Conflict(
                    f"Unable to complete operation on subnet {subnet.id}: "
                    "One or more ports have an IP allocation from this subnet.",
                    code="SubnetInUse",
                )
        _forget_cursor(tx, subnet.id)
        tx.delete(Subnet, subnet.id)


def _forget_cursor(tx: Transaction, subnet_id: SubnetId) -> None:
    if tx.get(AddressCursor, subnet_id) is not None:
        tx.delete(AddressCursor, subnet_id)


def _check_subnet(subnet: Subnet) -> None:
    network = parse_cidr(subnet.cidr)
    if network is None or not can_be_a_subnet(network):
        raise Invalid(
            f"Invalid input for operation: '{subnet.cidr[:64]}' can't be the range of a subnet.", code="InvalidInput"
        )
    low, high = hosts(network)
    for pool in subnet.pools:
        if parse_address(pool.first) is None or parse_address(pool.last) is None:
            raise Invalid(f"Invalid format for allocation pool: {pool.first}-{pool.last}.", code="InvalidInput")
        first, last = bounds(pool)
        if first > last:
            raise Invalid(f"The allocation pool {pool.first}-{pool.last} is not valid.", code="InvalidAllocationPool")
        if first < low or last > high:
            raise Invalid(
                f"The allocation pool {pool.first}-{pool.last} spans beyond the subnet cidr {subnet.cidr}.",
                code="OutOfBoundsAllocationPool",
            )
    pair = overlapping(subnet.pools)
    if pair is not None:
        texts = " ".join(f"{pool.first}-{pool.last}" for pool in pair)
        raise Conflict(
            f"Found overlapping allocation pools: {texts} for subnet {subnet.cidr}.", code="OverlappingAllocationPools"
        )
    if subnet.gateway_ip is not None:
        _check_gateway(subnet, subnet.gateway_ip)


def _check_gateway(subnet: Subnet, gateway: str) -> None:
    network = parse_cidr(subnet.cidr)
    address = parse_address(gateway)
    assert network is not None, "the CIDR was checked before"
    if address is None or not (hosts(network)[0] <= int(address) <= hosts(network)[1]):
        raise Invalid(
            f"Gateway is not valid on subnet: {gateway[:64]} is no host address of {subnet.cidr}.", code="InvalidInput"
        )
    for pool in subnet.pools:
        first, last = bounds(pool)
        if first <= int(address) <= last:
            raise Conflict(
                f"Gateway ip {gateway} conflicts with allocation pool {pool.first}-{pool.last}.",
                code="GatewayConflictWithAllocationPools",
            )


def _refuse_overlap(tx: Transaction, subnet: Subnet) -> None:
    mine = parse_cidr(subnet.cidr)
    for other in tx.find(Subnet, "network_id", subnet.network_id):
        theirs = parse_cidr(other.cidr)
        if mine is not None and theirs is not None and mine.overlaps(theirs):
            raise Invalid(
                f"Invalid input for operation: Requested subnet with cidr: {subnet.cidr} for network: "
                f"{subnet.network_id} overlaps with another subnet (CIDR {other.cidr}).",
                code="InvalidInput",
            )


# --- what other services call inside their `apply` --------------------------------------------------------------------


def address_taken(view: View, address: FixedIp) -> bool:
    """Whether a port has that address."""
    return bool(view.find(NetworkUse, "addresses", address))


def take_addresses(
    tx: Transaction, port_id: PortId, project_id: ProjectId, network_id: NetworkId, wanted: Iterable[WantedIp] | None
) -> tuple[FixedIp, ...]:
    """Enter the port in the network and hand out what it wants; None: one address from the first subnet with room.

    Called again for the same port it replaces what the port had; addresses it keeps stay its own.
    """
    if tx.get(NetworkUse, port_id) is not None:
        release_addresses(tx, port_id)
    subnets = tx.find(Subnet, "network_id", network_id)
    wishes = ([WantedIp()] if subnets else []) if wanted is None else list(wanted)
    taken: list[FixedIp] = []
    # Exact wishes first: an address that is asked for must not be lost to one that any address would serve.
    for wish in sorted(wishes, key=lambda wish: wish.ip_address is None):
        choose = _exact if wish.ip_address else _any
        taken.append(choose(tx, subnets, network_id, wish, taken))
    tx.put(NetworkUse(id=port_id, network_id=network_id, project_id=project_id, addresses=tuple(taken)))
    return tuple(taken)


def release_addresses(tx: Transaction, port_id: PortId) -> None:
    """Take the port out of its network."""
    for address in tx.need(NetworkUse, port_id).addresses:
        cursor = tx.get(AddressCursor, address.subnet_id)
        number = int(IPv4Address(address.ip_address))
        if cursor is not None and number < cursor.number:
            tx.put(AddressCursor(id=cursor.id, number=number))
    tx.delete(NetworkUse, port_id)


def _of_network(subnets: list[Subnet], network_id: NetworkId, subnet_id: SubnetId) -> Subnet:
    for subnet in subnets:
        if subnet.id == subnet_id:
            return subnet
    raise Invalid(f"The subnet {subnet_id[:64]} does not belong to network {network_id}.", code="InvalidInput")


def _exact(
    tx: Transaction, subnets: list[Subnet], network_id: NetworkId, wish: WantedIp, taken: Collection[FixedIp]
) -> FixedIp:
    address = parse_address(wish.ip_address or "")
    if address is None:
        raise Invalid(f"'{(wish.ip_address or '')[:64]}' is not a valid IP address.", code="HTTPBadRequest")
    choice = subnets if wish.subnet_id is None else [_of_network(subnets, network_id, wish.subnet_id)]
    for subnet in choice:
        network = parse_cidr(subnet.cidr)
        assert network is not None, "the CIDR was checked when the subnet was made"
        if address in network:
            low, high = hosts(network)
            if not low <= int(address) <= high:
                break
            found = FixedIp(subnet.id, str(address))
            if found in taken or address_taken(tx, found):
                raise Conflict(
                    f"IP address {address} already allocated in subnet {subnet.id}.", code="IpAddressAlreadyAllocated"
                )
            return found
    if wish.subnet_id is not None:
        raise Invalid(f"IP address {address} is not a valid IP for the specified subnet.", code="InvalidIpForSubnet")
    raise Invalid(
        f"IP address {address} is not a valid IP for any of the subnets on the specified network.",
        code="InvalidIpForNetwork",
    )


def _any(
    tx: Transaction, subnets: list[Subnet], network_id: NetworkId, wish: WantedIp, taken: Collection[FixedIp]
) -> FixedIp:
    choice = subnets if wish.subnet_id is None else [_of_network(subnets, network_id, wish.subnet_id)]
    for subnet in choice:
        cursor = tx.get(AddressCursor, subnet.id)
        for number in in_order(subnet.pools, 0 if cursor is None else cursor.number):
            address = FixedIp(subnet.id, written(number))
            if address not in taken and not address_taken(tx, address):
                tx.put(AddressCursor(id=subnet.id, number=number + 1))
                return address
    raise Conflict(
        f"No more IP addresses available on network {network_id}: every address of its allocation pools is in use. "
        "Delete ports, widen a pool or add a subnet.",
        code="IpAddressGenerationFailure",
    )
