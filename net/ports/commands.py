"""How ports come, change, are bound to a node, and go; also inside the commands of services that own the device."""

from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from net.changes import changed, check_generation
from net.networks.commands import need_network, release_addresses, take_addresses
from net.networks.model import FixedIp, WantedIp
from net.ports.model import COMPUTE_OWNER, AddressPair, NewPort, Port
from net.security_groups.commands import ensure_default_group, join_groups, leave_groups
from net.security_groups.model import DefaultGroupIds
from noded.core.command import Command
from noded.core.errors import Conflict, NotFound
from noded.core.ids import NodeId, PortId, SecurityGroupId
from noded.core.store import Transaction, View


class PortChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of a port is to change; what is unset stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    mac: str | UnsetType = UNSET
    security_groups: tuple[SecurityGroupId, ...] | UnsetType = UNSET
    allowed_address_pairs: tuple[AddressPair, ...] | UnsetType = UNSET
    port_security_enabled: bool | UnsetType = UNSET
    admin_state_up: bool | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    device_owner: str | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET


def need_port(view: View, port_id: str) -> Port:
    """The port of that id, or Neutron's `PortNotFound`."""
    port = view.get(Port, port_id)
    if port is None:
        raise NotFound(f"Port {port_id[:255]} could not be found.", code="PortNotFound")
    return port


class CreatePort(Command, frozen=True, kw_only=True, tag="port.create.1"):
    """Make a port with its addresses."""

    TOLD: ClassVar[str] = "created the port {port[name]} on network {port[network_id]}"

    port: NewPort
    default_group: DefaultGroupIds
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        create_port(tx, self.port, self.default_group, self.now_ms)


class UpdatePort(Command, frozen=True, kw_only=True, tag="port.update.1"):
    """Change what a user may change of a port; `fixed_ips` replaces all its addresses."""

    TOLD: ClassVar[str] = "changed the port {port_id}"

    port_id: PortId
    change: PortChange
    fixed_ips: tuple[WantedIp, ...] | None = None  # None: as they are
    generation: int | None = None  # of the record that the change was worked out from; None: any
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        before = need_port(tx, self.port_id)
        check_generation(before, self.generation)
        after = changed(before, self.change, self.now_ms)
        if before.node_id is not None:
            self._refuse_while_bound(before, after)
        if after.mac != before.mac:
            _refuse_known_mac(tx, after)
        if self.fixed_ips is not None:
            wanted = _keeping(before.fixed_ips, self.fixed_ips)
            addresses = take_addresses(tx, after.id, after.project_id, after.network_id, wanted)
            after = msgspec.structs.replace(after, fixed_ips=addresses)
        _check_port_security(after)
        join_groups(tx, after.id, after.project_id, after.security_groups)
        tx.put(after)

    @staticmethod
    def _refuse_while_bound(before: Port, after: Port) -> None:
        # The device decides what the metadata service tells whoever has the port, so only its owner may set it.
        for field in ("mac", "device_id", "device_owner"):
            if getattr(before, field) != getattr(after, field):
                raise Conflict(
                    f"Port {before.id} is bound to {before.device_id}: its {field} can't change until it is unbound.",
                    code="PortBound",
                )


class DeletePort(Command, frozen=True, kw_only=True, tag="port.delete.1"):
    """Remove a port, as its user may: also one that a server has, which then loses that card's network."""

    TOLD: ClassVar[str] = "deleted the port {port_id}"

    FREES_ROOM: ClassVar[bool] = True

    port_id: PortId

    def apply(self, tx: Transaction) -> None:
        port = need_port(tx, self.port_id)
        if port.device_owner.startswith("network:"):
            raise Conflict(
                f"Port {port.id} cannot be deleted directly via the port API: has device owner {port.device_owner}.",
                code="ServicePortInUse",
            )
        delete_port(tx, port.id)


class ReportPorts(Command, frozen=True, kw_only=True, tag="port.report.1"):
    """What a node observed of the ports bound to it. Of ports that went elsewhere meanwhile it says nothing."""

    TOLD: ClassVar[str] = "reported ports of node {node_id}: up {up}, down {down}"

    node_id: NodeId
    up: tuple[PortId, ...] = ()
    down: tuple[PortId, ...] = ()

    def apply(self, tx: Transaction) -> None:
        for port_ids, is_up in ((self.up, True), (self.down, False)):
            for port_id in port_ids:
                port = tx.get(Port, port_id)
                if port is not None and port.node_id == self.node_id and port.up is not is_up:
                    tx.put(msgspec.structs.replace(port, up=is_up))


# --- what other services call inside their `apply` --------------------------------------------------------------------


def create_port(tx: Transaction, new: NewPort, default_group: DefaultGroupIds, now_ms: int) -> Port:
    """Make the port with its addresses; raises Neutron's refusals, such as `IpAddressGenerationFailure`."""
    network = need_network(tx, new.network_id)
    if tx.get(Port, new.id) is not None:
        raise Conflict(f"A port with id {new.id} exists already.", code="PortIdInUse")
    secured = network.port_security_enabled if new.port_security_enabled is None else new.port_security_enabled
    groups = new.security_groups
    if groups is None:
        groups = (ensure_default_group(tx, new.project_id, default_group, now_ms),) if secured else ()
    port = Port(
        id=new.id,
        project_id=new.project_id,
        network_id=new.network_id,
        name=new.name,
        description=new.description,
        mac=new.mac,
        fixed_ips=take_addresses(tx, new.id, new.project_id, new.network_id, new.fixed_ips),
        security_groups=tuple(sorted(set(groups))),
        allowed_address_pairs=new.allowed_address_pairs,
        port_security_enabled=secured,
        admin_state_up=new.admin_state_up,
        device_id=new.device_id,
        device_owner=new.device_owner,
        node_id=new.node_id,
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    _refuse_known_mac(tx, port)
    _check_port_security(port)
    join_groups(tx, port.id, port.project_id, port.security_groups)
    tx.put(port)
    return port


def bind_port(
    tx: Transaction, port_id: PortId, node_id: NodeId, device_id: str, device_owner: str = COMPUTE_OWNER
) -> Port:
    """Give the port to a device on a node, which from now on carries it. Refused while another device has it.

    Binding it again for the same device moves it: the new node carries it, and reports when it does.
    """
    port = need_port(tx, port_id)
    if port.device_id not in ("", device_id):
        raise Conflict(f"Port {port.id} is still in use by device {port.device_id}.", code="PortInUse")
    bound = msgspec.structs.replace(
        port,
        device_id=device_id,
        device_owner=device_owner,
        node_id=node_id,
        up=port.up and port.node_id == node_id,
        generation=port.generation + 1,
    )
    tx.put(bound)
    return bound


def unbind_port(tx: Transaction, port_id: PortId) -> None:
    """Take the port from its device and its node; it keeps its addresses. A port that is gone is left gone."""
    port = tx.get(Port, port_id)
    if port is not None:
        tx.put(
            msgspec.structs.replace(
                port, device_id="", device_owner="", node_id=None, up=False, generation=port.generation + 1
            )
        )


def delete_port(tx: Transaction, port_id: PortId) -> None:
    """Remove the port with its addresses. A port that is gone is left gone."""
    if tx.get(Port, port_id) is None:
        return
    release_addresses(tx, port_id)
    leave_groups(tx, port_id)
    tx.delete(Port, port_id)


def _refuse_known_mac(tx: Transaction, port: Port) -> None:
    for other in tx.find(Port, "mac", port.mac):
        if other.network_id == port.network_id and other.id != port.id:
            raise Conflict(
                f"Unable to complete operation for network {port.network_id}. "
                f"The mac address {port.mac} is in use by port {other.id}.",
                code="MacAddressInUse",
            )


def _check_port_security(port: Port) -> None:
    if port.port_security_enabled:
        return
    if port.security_groups:
        raise Conflict(
            "Port has security group associated. Cannot disable port security until security group is removed.",
            code="PortSecurityPortHasSecurityGroup",
        )
    if port.allowed_address_pairs:
        raise Conflict(
            "Port Security must be enabled in order to have allowed address pairs on a port.",
            code="AddressPairAndPortSecurityRequired",
        )


def _keeping(had: tuple[FixedIp, ...], wanted: tuple[WantedIp, ...]) -> tuple[WantedIp, ...]:
    """A wish that names a subnet alone keeps the address that the port has there."""
    left = list(had)
    kept = []
    for wish in wanted:
        own = next((address for address in left if address.subnet_id == wish.subnet_id), None)
        if own is None or wish.ip_address is not None:
            kept.append(wish)
        else:
            left.remove(own)
            kept.append(WantedIp(subnet_id=own.subnet_id, ip_address=own.ip_address))
    return tuple(kept)
