"""What the routes below a server answer: addresses, security groups, network cards, and its history."""

from compute.server_parts.views import instance_action, interface, security_group
from compute.servers.links import named_server
from compute.servers.model import addresses, ports_of
from net.security_groups.model import SecurityGroup
from noded.core.errors import NotFound
from noded.core.route import Allow, Request, Response, Route


def _plain_addresses(request: Request) -> dict[str, list[dict[str, object]]]:
    found = addresses(named_server(request), request.cluster.view())
    return {
        network: [{"addr": address.ip_address, "version": address.version} for address in entries]
        for network, entries in found.items()
    }


async def list_addresses(request: Request) -> Response:
    """The addresses by network."""
    return Response(body={"addresses": _plain_addresses(request)})


async def show_addresses(request: Request) -> Response:
    """The addresses on one network."""
    network = request.params["network"]
    found = _plain_addresses(request)
    if network not in found:
        raise NotFound(f"Network label not found: {network[:255]}")
    return Response(body={network: found[network]})


async def list_security_groups(request: Request) -> Response:
    """The groups that the server's ports are in, each once."""
    view = request.cluster.view()
    ids = dict.fromkeys(group_id for port in ports_of(named_server(request), view) for group_id in port.security_groups)
    groups = [group for group_id in ids if (group := view.get(SecurityGroup, group_id)) is not None]
    return Response(body={"security_groups": [security_group(group, view) for group in groups]})


async def list_interfaces(request: Request) -> Response:
    """The network cards."""
    ports = ports_of(named_server(request), request.cluster.view())
    return Response(body={"interfaceAttachments": [interface(port, request.microversion) for port in ports]})


async def show_interface(request: Request) -> Response:
    """One network card."""
    port_id = request.params["port_id"]
    for port in ports_of(named_server(request), request.cluster.view()):
        if port.id == port_id:
            return Response(body={"interfaceAttachment": interface(port, request.microversion)})
    raise NotFound(f"Port {port_id[:255]} is not attached to this instance.")


async def list_actions(request: Request) -> Response:
    """What was asked of the server, the newest first."""
    server = named_server(request)
    found = [instance_action(server, event, request.microversion) for event in reversed(server.events)]
    return Response(body={"instanceActions": found})


async def show_action(request: Request) -> Response:
    """What one request asked."""
    server, request_id = named_server(request), request.params["request_id"]
    for event in server.events:
        if event.request_id == request_id:
            body = instance_action(server, event, request.microversion) | {"events": []}
            return Response(body={"instanceAction": body})
    raise NotFound(f"Action for request_id {request_id[:255]} on instance {server.id} not found")


_SERVER = "/servers/{server_id}"
ROUTES = tuple(
    Route(verb="GET", path=_SERVER + path, handler=handler, allow=Allow.READER)
    for path, handler in (
        ("/ips", list_addresses),
        ("/ips/{network}", show_addresses),
        ("/os-security-groups", list_security_groups),
        ("/os-interface", list_interfaces),
        ("/os-interface/{port_id}", show_interface),
        ("/os-instance-actions", list_actions),
        ("/os-instance-actions/{request_id}", show_action),
    )
)
