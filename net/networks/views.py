"""How networks and subnets look in the API."""

from net.networks.model import Network, Subnet
from noded.core.store import View
from noded.core.times import zulu

Json = dict[str, object]

NETWORK_ATTRIBUTES = (
    "id", "name", "tenant_id", "project_id", "admin_state_up", "status", "subnets", "shared", "mtu",
    "description", "port_security_enabled", "router:external", "provider:network_type",
    "provider:physical_network", "provider:segmentation_id", "tags", "created_at", "updated_at",
    "revision_number",
)  # fmt: skip
SUBNET_ATTRIBUTES = (
    "id", "name", "tenant_id", "project_id", "network_id", "ip_version", "cidr", "gateway_ip", "enable_dhcp",
    "allocation_pools", "dns_nameservers", "host_routes", "ipv6_ra_mode", "ipv6_address_mode", "subnetpool_id",
    "description", "tags", "created_at", "updated_at", "revision_number",
)  # fmt: skip


def network_view(view: View, network: Network, *, for_admin: bool) -> Json:
    """A network. It is ACTIVE from the start: nodes build it when they need it, and then without delay."""
    shown: Json = {
        "id": network.id,
        "name": network.name,
        "tenant_id": network.project_id,
        "project_id": network.project_id,
        "admin_state_up": network.admin_state_up,
        "status": "ACTIVE",
        "subnets": [subnet.id for subnet in view.find(Subnet, "network_id", network.id)],
        "shared": network.shared,
        "mtu": network.mtu,
        "description": network.description,
        "port_security_enabled": network.port_security_enabled,
        "router:external": False,
        "tags": list(network.tags),
        "created_at": zulu(network.created_ms),
        "updated_at": zulu(network.updated_ms),
        "revision_number": network.generation,
    }
    if for_admin:
        shown |= {
            "provider:network_type": "vxlan",
            "provider:physical_network": None,
            "provider:segmentation_id": network.vni,
        }
    return shown


def subnet_view(subnet: Subnet) -> Json:
    """A subnet."""
    return {
        "id": subnet.id,
        "name": subnet.name,
        "tenant_id": subnet.project_id,
        "project_id": subnet.project_id,
        "network_id": subnet.network_id,
        "ip_version": 4,
        "cidr": subnet.cidr,
        "gateway_ip": subnet.gateway_ip,
        "enable_dhcp": subnet.enable_dhcp,
        "allocation_pools": [{"start": pool.first, "end": pool.last} for pool in subnet.pools],
        "dns_nameservers": list(subnet.dns_nameservers),
        "host_routes": [{"destination": route.destination, "nexthop": route.nexthop} for route in subnet.host_routes],
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "subnetpool_id": None,
        "description": subnet.description,
        "tags": list(subnet.tags),
        "created_at": zulu(subnet.created_ms),
        "updated_at": zulu(subnet.updated_ms),
        "revision_number": subnet.generation,
    }
