"""How a machine's filter reads in nftables' language.

    guest ──tap──► bridge prerouting ──► inet prerouting ──► bridge forward ──► inet forward ──tap──► guest
                   is it who it says      may it send?        to whose tap?      may that one receive?
                   it is? mark: its port  (egress rules)      mark: that port    (ingress rules)

The stateful part lives in the inet family, behind br_netfilter: it works on kernels without conntrack for bridges. A
packet's mark carries the port from the bridge family, which knows taps, to the inet family, which knows connections.
All devices of ours begin with `nd`; a tap that no record explains is mute.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from net.addresses import METADATA_ADDRESS
from net.dataplane.filters import Allowance, Filter, PortFilter
from net.dataplane.model import VXLAN_PORT, Rules, bridge_name
from net.security_groups.model import Direction
from noded.core.ids import SecurityGroupId

TABLE = "noded"
_SENT = 0x8000_0000  # mark: this port sent it, not judged yet
_RECEIVES = 0x4000_0000  # mark: this port is to receive it, not judged yet
_DIGEST_DIGITS = 24
_ICMP = 1


def nft_rules(filter_: Filter) -> Rules:
    """The filter as one transaction that replaces whatever was there before."""
    body = _bridge_table(filter_) + _inet_table(filter_)
    digest = hashlib.sha256("\n".join(body).encode()).hexdigest()[:_DIGEST_DIGITS]
    # Deleting a table that isn't there is a fault, so it is added first; all of it happens at once or not at all.
    reset = [f"{verb} table {family} {TABLE}" for family in ("bridge", "inet") for verb in ("add", "delete")]
    named = [f"add chain {family} {TABLE} {digest_chain(digest)}" for family in ("bridge", "inet")]
    return Rules(digest=digest, text="\n".join([*reset, *body, *named]) + "\n")


def digest_chain(digest: str) -> str:
    """The empty chain whose name says which rules are in force."""
    return f"digest_{digest}"


def _set(kind: str, name: str, type_: str, elements: Iterable[str], flags: str = "") -> list[str]:
    listed = ", ".join(elements)
    lines = [f"  {kind} {name} {{", f"    {type_}"]
    if flags:
        lines.append(f"    {flags}")
    if listed:
        lines.append(f"    elements = {{ {listed} }}")
    return [*lines, "  }"]


def _chain(name: str, *rules: str, hook: str = "") -> list[str]:
    head = [f"    type filter hook {hook}; policy accept"] if hook else []
    return [f"  chain {name} {{", *head, *(f"    {rule}" for rule in rules), "  }"]


def _bridge_table(filter_: Filter) -> list[str]:
    ports = filter_.ports
    secured = [port for port in ports if port.secured]
    service = METADATA_ADDRESS
    return [
        f"table bridge {TABLE} {{",
        *_set("map", "sender", "type ifname : mark", (f'"{p.tap}" : {_SENT | p.number:#x}' for p in secured)),
        *_set("map", "receiver", "type ifname : mark", (f'"{p.tap}" : {_RECEIVES | p.number:#x}' for p in secured)),
        *_set("set", "taps", "type ifname", (f'"{p.tap}"' for p in ports)),
        *_set("set", "unsecured", "type ifname", (f'"{p.tap}"' for p in ports if not p.secured)),
        *_set("set", "macs", "type ifname . ether_addr", _macs(secured)),
        *_set("set", "addresses", "type ifname . ether_addr . ipv4_addr", _addresses(secured)),
        *_chain(
            "spoof",
            "iifname != @taps drop",
            "iifname @unsecured accept",
            "iifname . ether saddr != @macs drop",
            "ether type arp iifname . arp saddr ether . arp saddr ip @addresses accept",
            "ether type arp iifname . arp saddr ether @macs arp saddr ip 0.0.0.0 accept",
            *_pair_rules(secured),
            "ether type != ip drop",
            "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
            "udp sport 67 drop",
            "iifname . ether saddr . ip saddr @addresses return",
            "drop",
        ),
        *_chain(
            "arrive",
            'iifname != "nd*" accept',
            "meta mark set 0",
            'iifname "ndt*" jump spoof',
            f'iifname "ndv*" ether type arp arp saddr ip {service} drop',
            f'iifname "ndv*" ip saddr {service} drop',
            "meta mark set iifname map @sender",
            hook="prerouting priority -250",
        ),
        *_chain(
            "pass",
            'oifname != "nd*" accept',
            # DHCP and metadata are each machine's own: nothing of them goes over the tunnels.
            'iifname "ndv*" oifname "ndm*" drop',
            'iifname "ndm*" oifname "ndv*" drop',
            'oifname "ndv*" udp dport { 67, 68 } drop',
            f'oifname "ndv*" ip daddr {service} drop',
            f'oifname "ndv*" ether type arp arp daddr ip {service} drop',
            'oifname "ndt*" oifname != @taps drop',
            'iifname "ndm*" accept',
            "meta mark set 0",
            "meta mark set oifname map @receiver",
            hook="forward priority -250",
        ),
        # A guest has nothing to say to the machine that carries it.
        *_chain("enter", 'iifname "nd*" drop', hook="input priority -250"),
        "}",
    ]


def _macs(ports: Sequence[PortFilter]) -> list[str]:
    found = {(port.tap, mac) for port in ports for mac in (port.mac, *(mac for _, mac in port.pairs))}
    return [f'"{tap}" . {mac}' for tap, mac in sorted(found)]


def _addresses(ports: Sequence[PortFilter]) -> list[str]:
    found = {(port.tap, port.mac, address) for port in ports for address in port.addresses}
    found |= {(port.tap, mac, prefix) for port in ports for prefix, mac in port.pairs if "/" not in prefix}
    return [f'"{tap}" . {mac} . {address}' for tap, mac, address in sorted(found)]


def _pair_rules(ports: Sequence[PortFilter]) -> list[str]:
    """Whole prefixes are rare: a rule each keeps the set of single addresses a plain hash."""
    pairs = sorted((port.tap, mac, prefix) for port in ports for prefix, mac in port.pairs if "/" in prefix)
    return [
        rule
        for tap, mac, prefix in pairs
        for rule in (
            f'iifname "{tap}" ether type arp arp saddr ether {mac} arp saddr ip {prefix} accept',
            f'iifname "{tap}" ether saddr {mac} udp sport != 67 ip saddr {prefix} return',
        )
    ]


def _inet_table(filter_: Filter) -> list[str]:
    secured = [port for port in filter_.ports if port.secured]
    zones = (f'"{bridge_name(vni)}" : {zone}' for vni, zone in sorted(filter_.zones.items()))
    lines = [f"table inet {TABLE} {{", *_set("map", "zones", "typeof iifname : ct zone", zones)]
    lines += _set("set", "nodes", "type ipv4_addr", filter_.node_addresses)
    names = _member_sets(filter_)
    for key, name in names.items():
        lines += _set("set", name, "type ipv4_addr", filter_.members[key], "flags interval; auto-merge")
    lines += _group_chains(filter_, names)
    for direction, prefix, mark in ((Direction.EGRESS, "e", _SENT), (Direction.INGRESS, "i", _RECEIVES)):
        for port in secured:
            jumps = [f"jump {_group_chain(filter_, prefix, port.vni, group)}" for group in port.groups]
            lines += _chain(f"{prefix}_{port.number:08x}", *jumps, "drop")
        verdicts = (f"{mark | p.number:#x} : goto {prefix}_{p.number:08x}" for p in secured)
        lines += _set("map", f"by_{direction}", "type mark : verdict", verdicts)
    return [*lines, *_inet_hooks(), "}"]


def _inet_hooks() -> list[str]:
    tracked = ("ct state established,related accept", "ct state invalid drop")
    service = METADATA_ADDRESS
    return [
        *_chain("zone", "ct zone set iifname map @zones", hook="prerouting priority raw"),
        *_chain(
            "send",
            f"meta mark & {_SENT:#x} == 0 accept",
            *tracked,
            f"ip daddr {service} tcp dport 80 accept",
            f"ip daddr {service} udp dport 67 accept",
            "meta mark vmap @by_egress",
            "drop",
            hook="prerouting priority mangle",
        ),
        *_chain(
            "receive",
            f"meta mark & {_RECEIVES:#x} == 0 accept",
            *tracked,
            "meta mark vmap @by_ingress",
            "drop",
            hook="forward priority filter",
        ),
        # Tunnels are not encrypted: what doesn't come from a node of the cluster is nobody's frame.
        *_chain("tunnel", f"udp dport {VXLAN_PORT} ip saddr != @nodes drop", hook="input priority filter"),
    ]


def _member_sets(filter_: Filter) -> dict[tuple[int, SecurityGroupId], str]:
    return {key: f"m{key[0]:06x}_{at}" for at, key in enumerate(sorted(filter_.members))}


def _group_chain(filter_: Filter, prefix: str, vni: int, group: SecurityGroupId) -> str:
    return f"{prefix}{vni:06x}_{sorted(filter_.allowances).index(group)}"


def _group_chains(filter_: Filter, names: Mapping[tuple[int, SecurityGroupId], str]) -> list[str]:
    """A chain for each group in each network: members are told apart by network, since addresses repeat."""
    used = sorted({(port.vni, group) for port in filter_.ports if port.secured for group in port.groups})
    lines = []
    for vni, group in used:
        for direction, prefix in ((Direction.EGRESS, "e"), (Direction.INGRESS, "i")):
            rules = [
                _rule(allowance, names.get((vni, allowance.members)) if allowance.members else None)
                for allowance in filter_.allowances[group]
                if allowance.direction is direction
            ]
            lines += _chain(_group_chain(filter_, prefix, vni, group), *rules)
    return lines


def _rule(allowance: Allowance, member_set: str | None) -> str:
    parts = ["meta nfproto ipv4"]
    remote = "saddr" if allowance.direction is Direction.INGRESS else "daddr"
    if member_set is not None:
        parts.append(f"ip {remote} @{member_set}")
    elif allowance.prefix is not None and not allowance.prefix.endswith("/0"):
        parts.append(f"ip {remote} {allowance.prefix}")
    if allowance.protocol is not None:
        parts.append(f"meta l4proto {allowance.protocol}")
        parts += _numbers(allowance)
    return " ".join([*parts, "accept"])


def _numbers(allowance: Allowance) -> list[str]:
    if allowance.low is None:
        return []
    if allowance.protocol == _ICMP:
        code = [] if allowance.high is None else [f"icmp code {allowance.high}"]
        return [f"icmp type {allowance.low}", *code]
    high = allowance.low if allowance.high is None else allowance.high
    return [f"th dport {allowance.low}" if high == allowance.low else f"th dport {allowance.low}-{high}"]
