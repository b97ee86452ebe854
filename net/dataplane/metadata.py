"""What the metadata service answers: a path and the facts of a server in, bytes out. No I/O.

Layouts: OpenStack's (Nova user guide, "Metadata service") and the parts of EC2's that cloud images read.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from net.links import Facts
from net.networks.model import Network, Subnet
from net.ports.model import Port
from noded.core.store import View

OPENSTACK_VERSIONS = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27",
    "2020-10-14", "latest",
)  # fmt: skip
EC2_VERSIONS = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
    "2009-04-04", "latest",
)  # fmt: skip

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=UTF-8"
BYTES_TYPE = "application/octet-stream"

Tree = Mapping[str, "str | bytes | Tree"]


@dataclass(frozen=True, slots=True)
class Document:
    """One answer."""

    content: bytes
    content_type: str = TEXT_TYPE


def document(path: str, facts: Facts, view: View, port: Port) -> Document | None:
    """What is at `path` for the server behind `port`, or None if nothing is."""
    parts = [part for part in path.split("?", 1)[0].split("/") if part]
    if not parts:
        return _listing((*EC2_VERSIONS,))
    if parts[0] == "openstack":
        return _openstack(parts[1:], facts, view, port)
    if parts[0] in EC2_VERSIONS:
        return _ec2(parts[1:], facts, port)
    return None


def _listing(names: Iterable[str]) -> Document:
    return Document("\n".join(names).encode())


def _json(value: object) -> Document:
    return Document(msgspec.json.encode(value), JSON_TYPE)


def _openstack(parts: list[str], facts: Facts, view: View, port: Port) -> Document | None:
    if not parts:
        return _listing(OPENSTACK_VERSIONS)
    if parts[0] not in OPENSTACK_VERSIONS:
        return None
    files = {
        "meta_data.json": lambda: _json(_meta_data(facts)),
        "network_data.json": lambda: _json(_network_data(view, port)),
        "vendor_data.json": lambda: _json({}),
        "vendor_data2.json": lambda: _json({"static": {}}),
    }
    if facts.user_data:
        files["user_data"] = lambda: Document(facts.user_data, BYTES_TYPE)
    if len(parts) == 1:
        return _listing(sorted(files))
    return files[parts[1]]() if len(parts) == 2 and parts[1] in files else None


def _meta_data(facts: Facts) -> dict[str, object]:
    return {
        "uuid": facts.uuid,
        "name": facts.name,
        "hostname": facts.hostname,
        "launch_index": 0,
        "availability_zone": facts.availability_zone,
        "project_id": facts.project_id,
        "public_keys": dict(facts.public_keys),
        "keys": [{"name": name, "type": "ssh", "data": key} for name, key in sorted(facts.public_keys.items())],
        "meta": dict(facts.metadata),
        "devices": [],
    }


def _network_data(view: View, port: Port) -> dict[str, object]:
    """All the cards of the server that has the port: every guest is configured by DHCP."""
    # Whoever owns a port may write any server's id on it; only a server's own ports are bound to a node.
    cards = [card for card in view.find(Port, "device_id", port.device_id) if card.node_id is not None] or [port]
    links: list[dict[str, object]] = []
    networks: list[dict[str, object]] = []
    nameservers: dict[str, None] = {}
    for card in cards:
        network = view.get(Network, card.network_id)
        name = f"tap{card.id[:11]}"
        links.append(
            {
                "id": name,
                "vif_id": card.id,
                "type": "tap",
                "mtu": None if network is None else network.mtu,
                "ethernet_mac_address": card.mac,
            }
        )
        for fixed in card.fixed_ips:
            subnet = view.get(Subnet, fixed.subnet_id)
            networks.append(
                {"id": f"network{len(networks)}", "type": "ipv4_dhcp", "link": name, "network_id": card.network_id}
            )
            nameservers |= dict.fromkeys(subnet.dns_nameservers if subnet is not None else ())
    services = [{"type": "dns", "address": address} for address in nameservers]
    return {"links": links, "networks": networks, "services": services}


def _ec2(parts: list[str], facts: Facts, port: Port) -> Document | None:
    root: dict[str, str | bytes | Tree] = {"meta-data": _ec2_tree(facts, port)}
    if facts.user_data:
        root["user-data"] = facts.user_data
    found: str | bytes | Tree = root
    for part in parts:
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    if isinstance(found, bytes):
        return Document(found, BYTES_TYPE)
    if isinstance(found, str):
        return Document(found.encode())
    if parts[-1:] == ["public-keys"]:
        return _listing(f"{at}={name}" for at, name in enumerate(sorted(facts.public_keys)))
    return _listing(f"{name}/" if isinstance(value, Mapping) else name for name, value in sorted(found.items()))


def _ec2_tree(facts: Facts, port: Port) -> Tree:
    address = port.fixed_ips[0].ip_address if port.fixed_ips else ""
    keys = [facts.public_keys[name] for name in sorted(facts.public_keys)]
    # EC2 names machines by eight hex digits; the first ones of the server's id serve.
    short = facts.uuid.replace("-", "")[:8]
    tree: dict[str, str | bytes | Tree] = {
        "ami-launch-index": "0",
        "hostname": facts.hostname,
        "instance-action": "none",
        "instance-id": f"i-{short}",
        "instance-type": facts.flavor_name,
        "local-hostname": facts.hostname,
        "local-ipv4": address,
        "mac": port.mac,
        "placement": {"availability-zone": facts.availability_zone},
        "public-hostname": facts.hostname,
        "public-ipv4": "",
        "reservation-id": f"r-{short}",
    }
    if keys:
        tree["public-keys"] = {str(at): {"openssh-key": key} for at, key in enumerate(keys)}
    return tree
