"""How ports look in the API."""

from net.ports.model import Port
from noded.core.times import zulu

Json = dict[str, object]

PORT_ATTRIBUTES = (
    "id", "name", "tenant_id", "project_id", "network_id", "mac_address", "admin_state_up", "status",
    "device_id", "device_owner", "fixed_ips", "security_groups", "allowed_address_pairs",
    "port_security_enabled", "description", "binding:host_id", "binding:profile", "binding:vif_type",
    "binding:vif_details", "binding:vnic_type", "tags", "created_at", "updated_at", "revision_number",
)  # fmt: skip


def port_status(port: Port) -> str:
    """ACTIVE once its node has said that it carries it."""
    return "ACTIVE" if port.up and port.admin_state_up and port.node_id is not None else "DOWN"


def port_view(port: Port, *, for_admin: bool) -> Json:
    """A port. Where it is bound only an administrator sees."""
    shown: Json = {
        "id": port.id,
        "name": port.name,
        "tenant_id": port.project_id,
        "project_id": port.project_id,
        "network_id": port.network_id,
        "mac_address": port.mac,
        "admin_state_up": port.admin_state_up,
        "status": port_status(port),
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "fixed_ips": [{"subnet_id": fixed.subnet_id, "ip_address": fixed.ip_address} for fixed in port.fixed_ips],
        "security_groups": list(port.security_groups),
        "allowed_address_pairs": [
            {"ip_address": pair.ip_address, "mac_address": pair.mac_address} for pair in port.allowed_address_pairs
        ],
        "port_security_enabled": port.port_security_enabled,
        "description": port.description,
        "binding:vnic_type": "normal",
        "tags": list(port.tags),
        "created_at": zulu(port.created_ms),
        "updated_at": zulu(port.updated_ms),
        "revision_number": port.generation,
    }
    if for_admin:
        bound = port.node_id is not None
        shown |= {
            "binding:host_id": port.node_id or "",
            "binding:profile": {},
            "binding:vif_type": "tap" if bound else "unbound",
            "binding:vif_details": {"port_filter": True} if bound else {},
        }
    return shown
