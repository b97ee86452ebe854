"""Answers requests about networks and subnets (Networking API v2.0, sections "Networks" and "Subnets")."""

from ipaddress import IPv4Address

from msgspec import UNSET, UnsetType, field

from net import inputs
from net.addresses import AddressPool, default_pools, hosts, parse_cidr
from net.changes import check_generation
from net.conditions import expected_revision
from net.inputs import Body, Flag, given
from net.listing import listed, selected
from net.networks.commands import (
    CreateNetwork,
    CreateSubnet,
    DeleteNetwork,
    DeleteSubnet,
    NetworkChange,
    SubnetChange,
    UpdateNetwork,
    UpdateSubnet,
    need_network,
    need_subnet,
)
from net.networks.model import HostRoute, Network, Subnet
from net.networks.views import NETWORK_ATTRIBUTES, SUBNET_ATTRIBUTES, network_view, subnet_view
from noded.core.clock import now_ms
from noded.core.dice import new_uuid
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.ids import NetworkId, SubnetId
from noded.core.route import Allow, Caller, Done, Request, Response, Route
from noded.core.store import View


class NetworkBody(Body, frozen=True, kw_only=True):
    """What may be said of a new network."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    admin_state_up: Flag | UnsetType = UNSET
    shared: Flag | UnsetType = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    external: Flag | UnsetType = field(default=UNSET, name="router:external")
    project_id: str | UnsetType = UNSET
    tenant_id: str | UnsetType = UNSET


class NetworkUpdate(Body, frozen=True, kw_only=True):
    """What may be changed of a network."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    admin_state_up: Flag | UnsetType = UNSET
    shared: Flag | UnsetType = UNSET
    port_security_enabled: Flag | UnsetType = UNSET
    external: Flag | UnsetType = field(default=UNSET, name="router:external")


class NewNetworks(Body, frozen=True, kw_only=True):
    """The body of POST /networks."""

    network: NetworkBody | UnsetType = UNSET
    networks: list[NetworkBody] | UnsetType = UNSET


class ChangedNetwork(Body, frozen=True, kw_only=True):
    """The body of PUT /networks/{id}."""

    network: NetworkUpdate


class PoolBody(Body, frozen=True, kw_only=True):
    """A range of addresses."""

    start: str
    end: str


class RouteBody(Body, frozen=True, kw_only=True):
    """A host route."""

    destination: str
    nexthop: str


class SubnetUpdate(Body, frozen=True, kw_only=True):
    """What may be changed of a subnet."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    enable_dhcp: Flag | UnsetType = UNSET
    gateway_ip: str | UnsetType | None = UNSET
    allocation_pools: list[PoolBody] | UnsetType = UNSET
    dns_nameservers: list[str] | UnsetType = UNSET
    host_routes: list[RouteBody] | UnsetType = UNSET


class SubnetBody(SubnetUpdate, frozen=True, kw_only=True):
    """What may be said of a new subnet."""

    network_id: str
    ip_version: int | str
    cidr: str
    project_id: str | UnsetType = UNSET
    tenant_id: str | UnsetType = UNSET


class NewSubnets(Body, frozen=True, kw_only=True):
    """The body of POST /subnets."""

    subnet: SubnetBody | UnsetType = UNSET
    subnets: list[SubnetBody] | UnsetType = UNSET


class ChangedSubnet(Body, frozen=True, kw_only=True):
    """The body of PUT /subnets/{id}."""

    subnet: SubnetUpdate


def may_see_network(caller: Caller, network: Network) -> bool:
    """Whether the network exists for the caller."""
    return caller.is_admin or network.shared or network.project_id == caller.project_id


def _seen_network(view: View, caller: Caller, network_id: str) -> Network:
    network = need_network(view, network_id)
    if not may_see_network(caller, network):
        raise NotFound(f"Network {network_id} could not be found.", code="NetworkNotFound")
    return network


def _own_network(view: View, caller: Caller, network_id: str) -> Network:
    network = _seen_network(view, caller, network_id)
    if not caller.is_admin and network.project_id != caller.project_id:
        raise Forbidden(f"Network {network_id} belongs to another project.", code="PolicyNotAuthorized")
    return network


def _seen_subnet(view: View, caller: Caller, subnet_id: str) -> Subnet:
    subnet = need_subnet(view, subnet_id)
    if subnet.project_id != caller.project_id and not may_see_network(caller, need_network(view, subnet.network_id)):
        raise NotFound(f"Subnet {subnet_id} could not be found.", code="SubnetNotFound")
    return subnet


def _own_subnet(view: View, caller: Caller, subnet_id: str) -> Subnet:
    subnet = _seen_subnet(view, caller, subnet_id)
    if not caller.is_admin and subnet.project_id != caller.project_id:
        raise Forbidden(f"Subnet {subnet_id} belongs to another project.", code="PolicyNotAuthorized")
    return subnet


def _refuse_external(external: Flag | UnsetType) -> None:
    if inputs.flag(external, "router:external", default=False):
        raise Invalid("External networks are not offered: this cloud has no routers yet.", code="HTTPBadRequest")


async def list_networks(request: Request) -> Response:
    """GET /networks: the caller's and the shared ones; every one for an administrator."""
    view, caller = request.cluster.view(), request.caller
    items = [
        network_view(view, network, for_admin=caller.is_admin)
        for network in view.all(Network)
        if may_see_network(caller, network)
    ]
    return Response(body=listed(request, "networks", items, NETWORK_ATTRIBUTES))


async def show_network(request: Request) -> Response:
    """GET /networks/{network_id}."""
    view, caller = request.cluster.view(), request.caller
    network = _seen_network(view, caller, request.params["network_id"])
    return Response(body={"network": selected(request, network_view(view, network, for_admin=caller.is_admin))})


async def create_network(request: Request) -> Response:
    """POST /networks: one, or several of which all are made or none."""
    body = await request.json(NewNetworks)
    caller = request.caller
    wanted = inputs.several(body.network, body.networks, ("network", "networks"))
    commands = [_creation(caller, each) for each in wanted]
    await request.cluster.propose(*commands)
    view = request.cluster.view()
    made = [
        network_view(view, need_network(view, command.network_id), for_admin=caller.is_admin) for command in commands
    ]
    return Response(body={"networks": made} if body.network is UNSET else {"network": made[0]})


def _creation(caller: Caller, body: NetworkBody) -> CreateNetwork:
    _refuse_external(body.external)
    shared = inputs.flag(body.shared, "shared", default=False)
    if shared:
        inputs.admin_only(caller, "shared")
    return CreateNetwork(
        network_id=NetworkId(new_uuid()),
        project_id=inputs.project(caller, body.project_id, body.tenant_id),
        name=inputs.text(given(body.name, ""), "name"),
        description=inputs.text(given(body.description, ""), "description"),
        admin_state_up=inputs.flag(body.admin_state_up, "admin_state_up", default=True),
        shared=shared,
        port_security_enabled=inputs.flag(body.port_security_enabled, "port_security_enabled", default=True),
        now_ms=now_ms(),
    )


async def update_network(request: Request) -> Response:
    """PUT /networks/{network_id}."""
    body = (await request.json(ChangedNetwork)).network
    caller = request.caller
    network = _own_network(request.cluster.view(), caller, request.params["network_id"])
    _refuse_external(body.external)
    if body.shared is not UNSET:
        inputs.admin_only(caller, "shared")
    change = NetworkChange(
        name=inputs.maybe_text(body.name, "name"),
        description=inputs.maybe_text(body.description, "description"),
        admin_state_up=inputs.maybe_flag(body.admin_state_up, "admin_state_up"),
        shared=inputs.maybe_flag(body.shared, "shared"),
        port_security_enabled=inputs.maybe_flag(body.port_security_enabled, "port_security_enabled"),
    )
    await request.cluster.propose(
        UpdateNetwork(network_id=network.id, change=change, generation=expected_revision(request), now_ms=now_ms())
    )
    view = request.cluster.view()
    return Response(body={"network": network_view(view, need_network(view, network.id), for_admin=caller.is_admin)})


async def delete_network(request: Request) -> Response:
    """DELETE /networks/{network_id}: with its subnets; refused while it has ports."""
    network = _own_network(request.cluster.view(), request.caller, request.params["network_id"])
    check_generation(network, expected_revision(request))
    await request.cluster.propose(DeleteNetwork(network_id=network.id))
    return Response()


async def list_subnets(request: Request) -> Response:
    """GET /subnets: those of every network that the caller can see."""
    view, caller = request.cluster.view(), request.caller
    items = [
        subnet_view(subnet)
        for subnet in view.all(Subnet)
        if subnet.project_id == caller.project_id or may_see_network(caller, need_network(view, subnet.network_id))
    ]
    return Response(body=listed(request, "subnets", items, SUBNET_ATTRIBUTES))


async def show_subnet(request: Request) -> Response:
    """GET /subnets/{subnet_id}."""
    subnet = _seen_subnet(request.cluster.view(), request.caller, request.params["subnet_id"])
    return Response(body={"subnet": selected(request, subnet_view(subnet))})


async def create_subnet(request: Request) -> Response:
    """POST /subnets: one, or several of which all are made or none."""
    body = await request.json(NewSubnets)
    wanted = inputs.several(body.subnet, body.subnets, ("subnet", "subnets"))
    commands = [_subnet_creation(request.cluster.view(), request.caller, each) for each in wanted]
    await request.cluster.propose(*commands)
    view = request.cluster.view()
    made = [subnet_view(need_subnet(view, command.subnet_id)) for command in commands]
    return Response(body={"subnets": made} if body.subnet is UNSET else {"subnet": made[0]})


def _subnet_creation(view: View, caller: Caller, body: SubnetBody) -> CreateSubnet:
    network = _own_network(view, caller, body.network_id)
    if str(body.ip_version) != "4":
        raise inputs.invalid("ip_version", f"'{str(body.ip_version)[:8]}' is not offered: subnets here have version 4")
    cidr = parse_cidr(body.cidr)
    if cidr is None:
        raise inputs.invalid("cidr", f"'{body.cidr[:64]}' is not a valid IP subnet")
    gateway = _gateway(given(body.gateway_ip, str(IPv4Address(hosts(cidr)[0]))))
    pools = _pools(body.allocation_pools)
    return CreateSubnet(
        subnet_id=SubnetId(new_uuid()),
        network_id=network.id,
        project_id=inputs.project(caller, body.project_id, body.tenant_id),
        name=inputs.text(given(body.name, ""), "name"),
        description=inputs.text(given(body.description, ""), "description"),
        cidr=str(cidr),
        gateway_ip=gateway,
        pools=given(pools, default_pools(cidr, gateway)),
        enable_dhcp=inputs.flag(body.enable_dhcp, "enable_dhcp", default=True),
        dns_nameservers=given(_nameservers(body.dns_nameservers), ()),
        host_routes=given(_routes(body.host_routes), ()),
        now_ms=now_ms(),
    )


def _gateway(value: str | None) -> str | None:
    return None if value is None else inputs.address(value, "gateway_ip")


def _pools(values: list[PoolBody] | UnsetType) -> tuple[AddressPool, ...] | UnsetType:
    if isinstance(values, UnsetType):
        return UNSET
    name = "allocation_pools"
    return tuple(
        AddressPool(inputs.address(pool.start, name), inputs.address(pool.end, name))
        for pool in inputs.limited(values, name)
    )


def _nameservers(values: list[str] | UnsetType) -> tuple[str, ...] | UnsetType:
    if isinstance(values, UnsetType):
        return UNSET
    name = "dns_nameservers"
    return tuple(inputs.address(value, name) for value in inputs.limited(values, name))


def _routes(values: list[RouteBody] | UnsetType) -> tuple[HostRoute, ...] | UnsetType:
    if isinstance(values, UnsetType):
        return UNSET
    routes = []
    for route in inputs.limited(values, "host_routes"):
        destination = parse_cidr(route.destination)
        if destination is None:
            raise inputs.invalid("host_routes", f"'{route.destination[:64]}' is not a valid IP subnet")
        routes.append(HostRoute(str(destination), inputs.address(route.nexthop, "host_routes")))
    return tuple(routes)


async def update_subnet(request: Request) -> Response:
    """PUT /subnets/{subnet_id}."""
    body = (await request.json(ChangedSubnet)).subnet
    subnet = _own_subnet(request.cluster.view(), request.caller, request.params["subnet_id"])
    gateway = body.gateway_ip
    change = SubnetChange(
        name=inputs.maybe_text(body.name, "name"),
        description=inputs.maybe_text(body.description, "description"),
        enable_dhcp=inputs.maybe_flag(body.enable_dhcp, "enable_dhcp"),
        gateway_ip=gateway if isinstance(gateway, UnsetType) else _gateway(gateway),
        pools=_pools(body.allocation_pools),
        dns_nameservers=_nameservers(body.dns_nameservers),
        host_routes=_routes(body.host_routes),
    )
    await request.cluster.propose(
        UpdateSubnet(subnet_id=subnet.id, change=change, generation=expected_revision(request), now_ms=now_ms())
    )
    return Response(body={"subnet": subnet_view(need_subnet(request.cluster.view(), subnet.id))})


async def delete_subnet(request: Request) -> Response:
    """DELETE /subnets/{subnet_id}: refused while a port has an address of it."""
    subnet = _own_subnet(request.cluster.view(), request.caller, request.params["subnet_id"])
    check_generation(subnet, expected_revision(request))
    await request.cluster.propose(DeleteSubnet(subnet_id=subnet.id))
    return Response()


ROUTES = (
    Route(verb="GET", path="/networks", handler=list_networks, allow=Allow.READER),
    Route(verb="POST", path="/networks", handler=create_network, allow=Allow.MEMBER, done=Done.CREATED),
    Route(verb="GET", path="/networks/{network_id}", handler=show_network, allow=Allow.READER),
    Route(verb="PUT", path="/networks/{network_id}", handler=update_network, allow=Allow.MEMBER),
    Route(verb="DELETE", path="/networks/{network_id}", handler=delete_network, allow=Allow.MEMBER, done=Done.EMPTY),
    Route(verb="GET", path="/subnets", handler=list_subnets, allow=Allow.READER),
    Route(verb="POST", path="/subnets", handler=create_subnet, allow=Allow.MEMBER, done=Done.CREATED),
    Route(verb="GET", path="/subnets/{subnet_id}", handler=show_subnet, allow=Allow.READER),
    Route(verb="PUT", path="/subnets/{subnet_id}", handler=update_subnet, allow=Allow.MEMBER),
    Route(verb="DELETE", path="/subnets/{subnet_id}", handler=delete_subnet, allow=Allow.MEMBER, done=Done.EMPTY),
)
