"""Answers `noded explain port ID`: what its record wants, what its node's machine has, and what is still to do."""

import msgspec

from net.dataplane.model import bridge_name, tap_name, tunnel_name
from net.networks.commands import need_network
from net.ports.commands import need_port
from net.ports.model import Port
from net.wiring.reconcile import wiring_of
from noded.core.service import Explainer, PeerContext, PeerHandler

Section = dict[str, object]


async def explain_port(context: PeerContext, port_id: str) -> Section:
    """The sections; what is observed comes from the node to which the port is bound."""
    view = context.cluster.view()
    port = need_port(view, port_id)
    answer: Section = {"desired": _desired(port, need_network(view, port.network_id).vni)}
    if port.node_id is None:
        return answer | {"observed": None, "steps": [], "why": "The port is bound to no node: no device uses it."}
    found = await context.cluster.call(port.node_id, "wiring.look", port.id.encode())
    return answer | msgspec.msgpack.decode(found, type=Section)


def _desired(port: Port, vni: int) -> Section:
    return {
        "node": port.node_id,
        "device": port.device_id,
        "tap": tap_name(port.id),
        "bridge": bridge_name(vni),
        "tunnel": tunnel_name(vni),
        "mac": port.mac,
        "addresses": [fixed.ip_address for fixed in port.fixed_ips],
        "security_groups": list(port.security_groups),
        "filtered": port.port_security_enabled,
        "switched_on": port.admin_state_up,
    }


async def _look(context: PeerContext, payload: bytes) -> bytes:
    """What this node's machine has for a port."""
    wiring = wiring_of(context.drivers)
    view = context.cluster.view()
    port = need_port(view, payload.decode())
    vni = need_network(view, port.network_id).vni
    wanted, observed, steps = await wiring.look()
    tap = observed.taps.get(tap_name(port.id))
    segment = observed.segments.get(vni)
    return msgspec.msgpack.encode(
        {
            "observed": {
                "tap": tap is not None,
                "on_its_bridge": tap is not None and tap.vni == vni,
                "network_complete": segment is not None and vni not in observed.incomplete,
                "other_nodes": sorted(segment.peers) if segment is not None else [],
                "known_ports_elsewhere": len(segment.remotes) if segment is not None else 0,
                "rules_in_force": observed.rules_digest == wanted.rules.digest,
                "reported_up": port.up,
            },
            "steps": [type(step).__name__ for step in steps],
            "why": "; ".join(wiring.lacks()),
        }
    )


EXPLAIN: dict[str, Explainer] = {"port": explain_port}
PEER_CALLS: dict[str, PeerHandler] = {"wiring.look": _look}
