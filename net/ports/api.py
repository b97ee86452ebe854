"""Answers requests about ports (Networking API v2.0, section "Ports")."""

from collections.abc import Iterable

from msgspec import UNSET, UnsetType, field

from net import inputs
from net.addresses import parse_cidr
from net.changes import check_generation
from net.conditions import expected_revision
from net.inputs import Body, Flag, given
from net.listing import listed, selected
from net.networks.commands import need_network
from net.networks.model import Network, WantedIp
from net.ports.commands import CreatePort, DeletePort, PortChange, UpdatePort, need_port
from net.ports.model import AddressPair, NewPort, Port
from net.ports.views import PORT_ATTRIBUTES, port_view
from net.security_groups.model import DefaultGroupIds
from noded.core.clock import now_ms
from noded.core.dice import new_mac, new_uuid
from noded.core.errors import Forbidden, NotFound
from noded.core.ids import PortId, SecurityGroupId, SubnetId
from noded.core.retry import propose_chosen
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View

_VNIC_TYPE = "normal"


class FixedIpBody(Body, frozen=True, kw_only=True):
    """An address as a client asks for it."""

    subnet_id: str | UnsetType = UNSET
    ip_address: str | UnsetType = UNSET


class PairBody(Body, frozen=True, kw_only=True):
    """A further source address that a guest may use."""

    ip_address: str
    mac_address: str | UnsetType = UNSET


class PortUpdate(Body, frozen=True, kw_only=True):
    """What may be changed of a port."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    admin_state_up: Flag | UnsetType = UNSET
    mac_address: str | UnsetType = UNSET
    fixed_ips: list[FixedIpBody] | UnsetType = UNSET
    security_groups: list[str] | UnsetType | None = UNSET
    allowed_address_pairs: list[PairBody] | UnsetType = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    device_owner: str | UnsetType = UNSET
    vnic_type: str | UnsetType = field(default=UNSET, name="binding:vnic_type")


class PortBody(PortUpdate, frozen=True, kw_only=True):
    """What may be said of a new port."""

    network_id: str
    project_id: str | UnsetType = UNSET
    tenant_id: str | UnsetType = UNSET


class NewPorts(Body, frozen=True, kw_only=True):
    """The body of POST /ports."""

    port: PortBody | UnsetType = UNSET
    ports: list[PortBody] | UnsetType = UNSET


class ChangedPort(Body, frozen=True, kw_only=True):
    """The body of PUT /ports/{id}."""

    port: PortUpdate


def _may_see(view: View, caller: Caller, port: Port) -> bool:
    if caller.is_admin or port.project_id == caller.project_id:
        return True
    network = view.get(Network, port.network_id)
    return network is not None and network.project_id == caller.project_id


def _seen_port(view: View, caller: Caller, port_id: str) -> Port:
    port = need_port(view, port_id)
    if not _may_see(view, caller, port):
        raise NotFound(f"Port {port_id} could not be found.", code="PortNotFound")
    return port


def _candidates(request: Request, view: View) -> Iterable[Port]:
    """The ports that the query can be about: by an index where it names an indexed value."""
    for name, attribute in (("device_id", "device_id"), ("network_id", "network_id"), ("mac_address", "mac")):
        values = request.query_all(name)
        if len(values) == 1:
            return view.find(Port, attribute, values[0])
    return view.all(Port)


async def list_ports(request: Request) -> Response:
    """GET /ports: those of the caller's project and those on its networks; every one for an administrator."""
    view, caller = request.cluster.view(), request.caller
    items = [
        port_view(port, for_admin=caller.is_admin)
        for port in _candidates(request, view)
        if _may_see(view, caller, port)
    ]
    return Response(body=listed(request, "ports", items, PORT_ATTRIBUTES))


async def show_port(request: Request) -> Response:
    """GET /ports/{port_id}."""
    port = _seen_port(request.cluster.view(), request.caller, request.params["port_id"])
    return Response(body={"port": selected(request, port_view(port, for_admin=request.caller.is_admin))})


async def create_port(request: Request) -> Response:
    """POST /ports: one, or several of which all are made or none."""
    body = await request.json(NewPorts)
    wanted = inputs.several(body.port, body.ports, ("port", "ports"))
    commands: list[CreatePort] = []

    def choose() -> list[CreatePort]:
        commands[:] = [_creation(request.cluster.view(), request.caller, each) for each in wanted]
        return commands

    # A drawn MAC address may be taken; one that the client gave is refused for good.
    drawn = any(each.mac_address is UNSET for each in wanted)
    await propose_chosen(request.cluster, choose, *(("MacAddressInUse",) if drawn else ()))
    view = request.cluster.view()
    made = [port_view(need_port(view, command.port.id), for_admin=request.caller.is_admin) for command in commands]
    return Response(body={"ports": made} if body.port is UNSET else {"port": made[0]})


def _creation(view: View, caller: Caller, body: PortBody) -> CreatePort:
    network = need_network(view, body.network_id)
    if not (caller.is_admin or network.shared or network.project_id == caller.project_id):
        raise NotFound(f"Network {body.network_id} could not be found.", code="NetworkNotFound")
    _refuse_owners_fields(caller, network, body)
    address = new_mac() if isinstance(body.mac_address, UnsetType) else inputs.mac(body.mac_address)
    secured = inputs.maybe_flag(body.port_security_enabled, "port_security_enabled")
    groups = _groups(body.security_groups)
    port = NewPort(
        id=PortId(new_uuid()),
        project_id=inputs.project(caller, body.project_id, body.tenant_id),
        network_id=network.id,
        mac=address,
        name=inputs.text(given(body.name, ""), "name"),
        description=inputs.text(given(body.description, ""), "description"),
        fixed_ips=given(_wanted(body.fixed_ips), None),
        security_groups=given(groups, None),
        allowed_address_pairs=given(_pairs(body.allowed_address_pairs, address), ()),
        port_security_enabled=given(secured, None),
        admin_state_up=inputs.flag(body.admin_state_up, "admin_state_up", default=True),
        device_id=inputs.text(given(body.device_id, ""), "device_id"),
        device_owner=_owner(given(body.device_owner, "")),
    )
    return CreatePort(port=port, default_group=DefaultGroupIds.drawn(new_uuid), now_ms=now_ms())


def _refuse_owners_fields(caller: Caller, network: Network, body: PortUpdate) -> None:
    """On a network that another project shares, its owner alone decides about addresses and filters."""
    _check_vnic_type(body.vnic_type)
    if caller.is_admin or network.project_id == caller.project_id:
        return
    exact = not isinstance(body.fixed_ips, UnsetType) and any(ip.ip_address is not UNSET for ip in body.fixed_ips)
    for name, is_set in (
        ("mac_address", body.mac_address is not UNSET),
        ("fixed_ips:ip_address", exact),
        ("port_security_enabled", body.port_security_enabled is not UNSET),
        ("allowed_address_pairs", bool(given(body.allowed_address_pairs, []))),
    ):
        if is_set:
            raise Forbidden(f"({name}) may be set by the network's owner only.", code="PolicyNotAuthorized")


def _check_vnic_type(value: str | UnsetType) -> None:
    if value not in (UNSET, _VNIC_TYPE):
        raise inputs.invalid("binding:vnic_type", f"'{str(value)[:32]}' is not offered: only '{_VNIC_TYPE}' is")


def _owner(value: str) -> str:
    if value.startswith("network:"):
        raise inputs.invalid("device_owner", "owners that begin with 'network:' are the cloud's own")
    return inputs.text(value, "device_owner")


def _wanted(values: list[FixedIpBody] | UnsetType) -> tuple[WantedIp, ...] | UnsetType:
    if isinstance(values, UnsetType):
        return UNSET
    wanted = []
    for value in inputs.limited(values, "fixed_ips"):
        if value.ip_address is UNSET and value.subnet_id is UNSET:
            raise inputs.invalid("fixed_ips", "each entry names a subnet_id, an ip_address, or both")
        exact = None if isinstance(value.ip_address, UnsetType) else inputs.address(value.ip_address, "fixed_ips")
        wanted.append(
            WantedIp(subnet_id=None if value.subnet_id is UNSET else SubnetId(str(value.subnet_id)), ip_address=exact)
        )
    return tuple(wanted)


def _groups(values: list[str] | UnsetType | None) -> tuple[SecurityGroupId, ...] | UnsetType:
    if isinstance(values, UnsetType):
        return UNSET
    return tuple(sorted({SecurityGroupId(value) for value in inputs.limited(values or [], "security_groups")}))


def _pairs(values: list[PairBody] | UnsetType, own_mac: str) -> tuple[AddressPair, ...] | UnsetType:
    if isinstance(values, UnsetType):
        return UNSET
    pairs = []
    for value in inputs.limited(values, "allowed_address_pairs"):
        prefix = parse_cidr(value.ip_address if "/" in value.ip_address else f"{value.ip_address}/32")
        if prefix is None:
            raise inputs.invalid("allowed_address_pairs", f"'{value.ip_address[:64]}' is not a valid IP subnet")
        address = own_mac if isinstance(value.mac_address, UnsetType) else inputs.mac(value.mac_address)
        text = str(prefix) if "/" in value.ip_address else str(prefix.network_address)
        pairs.append(AddressPair(text, address))
    return tuple(dict.fromkeys(pairs))


async def update_port(request: Request) -> Response:
    """PUT /ports/{port_id}."""
    body = (await request.json(ChangedPort)).port
    caller, view = request.caller, request.cluster.view()
    port = _seen_port(view, caller, request.params["port_id"])
    _refuse_owners_fields(caller, need_network(view, port.network_id), body)
    mac = body.mac_address
    owner = body.device_owner
    change = PortChange(
        name=inputs.maybe_text(body.name, "name"),
        description=inputs.maybe_text(body.description, "description"),
        mac=mac if isinstance(mac, UnsetType) else inputs.mac(mac),
        security_groups=_groups(body.security_groups),
        allowed_address_pairs=_pairs(body.allowed_address_pairs, port.mac),
        port_security_enabled=inputs.maybe_flag(body.port_security_enabled, "port_security_enabled"),
        admin_state_up=inputs.maybe_flag(body.admin_state_up, "admin_state_up"),
        device_id=inputs.maybe_text(body.device_id, "device_id"),
        device_owner=owner if isinstance(owner, UnsetType) else _owner(owner),
    )
    await request.cluster.propose(
        UpdatePort(
            port_id=port.id,
            change=change,
            fixed_ips=given(_wanted(body.fixed_ips), None),
            generation=expected_revision(request),
            now_ms=now_ms(),
        )
    )
    return Response(body={"port": port_view(need_port(request.cluster.view(), port.id), for_admin=caller.is_admin)})


async def delete_port(request: Request) -> Response:
    """DELETE /ports/{port_id}. A server that has it loses that card's network, as in Neutron."""
    port = _seen_port(request.cluster.view(), request.caller, request.params["port_id"])
    check_generation(port, expected_revision(request))
    await request.cluster.propose(DeletePort(port_id=port.id))
    return Response()


ROUTES = (
    Route(verb="GET", path="/ports", handler=list_ports, allow=Allow.READER),
    Route(verb="POST", path="/ports", handler=create_port, allow=Allow.MEMBER, done=Done.CREATED),
    Route(verb="GET", path="/ports/{port_id}", handler=show_port, allow=Allow.READER),
    Route(verb="PUT", path="/ports/{port_id}", handler=update_port, allow=Allow.MEMBER),
    Route(verb="DELETE", path="/ports/{port_id}", handler=delete_port, allow=Allow.MEMBER, done=Done.EMPTY),
)
