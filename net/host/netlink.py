"""How bridges, tunnels, taps and what they know are read from and written to the kernel (rtnetlink, by pyroute2).

Blocking: called in a thread. Each call opens its own socket (in under a millisecond): threads share nothing.
"""

import errno
import socket
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from net.dataplane.model import (
    VXLAN_PORT,
    Mark,
    Neighbour,
    Remote,
    Segment,
    TapLink,
    bridge_mac,
    bridge_name,
    tunnel_name,
)
from net.host import neighbours
from net.host.neighbours import ANY_MAC, MASTER, PERMANENT, SELF, STATIC, Change, Entry
from net.links import DataplaneFault

_IFF_UP = 1
_OURS = "noded"

Link = Any  # pyroute2 ships no types


def observe_links(view: "LinkTable") -> tuple[dict[int, Segment], frozenset[int], dict[str, TapLink]]:
    """Segments, the VNIs of those that are incomplete, and taps, as the kernel has them."""
    segments: dict[int, Segment] = {}
    incomplete: set[int] = set()
    for link in view.named("ndb"):
        mark = _mark_of(link)
        if mark is None:
            continue  # nobody marked it: not ours
        vni = int(link.get("ifname")[3:], 16)
        tunnel = view.get(tunnel_name(vni))
        segments[vni] = _segment(view, vni, mark, link, tunnel)
        whole = tunnel is not None and tunnel.get("master") == link["index"]
        if not whole or not _is_up(link) or tunnel is None or not _is_up(tunnel):
            incomplete.add(vni)
    taps = {}
    bridges = {link["index"]: int(link.get("ifname")[3:], 16) for link in view.named("ndb")}
    for link in view.named("ndt"):
        mark = _mark_of(link)
        if mark is not None:
            vni = bridges.get(link.get("master"), 0) if _is_up(link) else 0
            taps[link.get("ifname")] = TapLink(name=link.get("ifname"), mark=mark, vni=vni, mtu=link.get("mtu"))
    return segments, frozenset(incomplete), taps


class LinkTable:
    """All links, forwarding entries and neighbours of the machine at one time."""

    def __init__(self) -> None:
        with IPRoute() as netlink:
            self._links = {link.get("ifname"): link for link in netlink.get_links()}
        self._entries: dict[tuple[int, int], list[Entry]] = defaultdict(list)
        for family in (socket.AF_BRIDGE, socket.AF_INET):
            for entry in neighbours.read(family):
                self._entries[entry.device, family].append(entry)

    def get(self, name: str) -> Link | None:
        """The link of that name."""
        return self._links.get(name)

    def named(self, prefix: str) -> list[Link]:
        """The links whose names begin with `prefix`."""
        return [link for name, link in sorted(self._links.items()) if name.startswith(prefix)]

    def entries(self, index: int, family: int) -> list[Entry]:
        """The forwarding entries (AF_BRIDGE) or neighbours (AF_INET) of a device."""
        return self._entries[index, family]


def _segment(view: LinkTable, vni: int, mark: Mark, bridge: Link, tunnel: Link | None) -> Segment:
    local, peers, remotes = "", set[str](), set[Remote]()
    if tunnel is not None:
        local = _vxlan_local(tunnel)
        entries = view.entries(tunnel["index"], socket.AF_BRIDGE)
        known_to_bridge = {entry.mac for entry in entries if entry.of_bridge}
        for entry in entries:
            if entry.address is not None and entry.mac == ANY_MAC:
                peers.add(entry.address)
            elif entry.address is not None and entry.mac in known_to_bridge:
                remotes.add(Remote(entry.mac, entry.address))
    return Segment(
        vni=vni,
        mark=mark,
        mtu=bridge.get("mtu"),
        local_address=local,
        peers=frozenset(peers),
        remotes=frozenset(remotes),
        neighbours=frozenset(
            Neighbour(entry.address, entry.mac)
            for entry in view.entries(bridge["index"], socket.AF_INET)
            if entry.state & PERMANENT and entry.address is not None
        ),
    )


def _vxlan_local(tunnel: Link) -> str:
    info = tunnel.get("linkinfo")
    data = info.get("data") if info is not None else None
    return (data.get("vxlan_local") or "") if data is not None else ""


def _is_up(link: Link) -> bool:
    return bool(link["flags"] & _IFF_UP)


def _mark_of(link: Link) -> Mark | None:
    words = (link.get("ifalias") or "").split()
    if len(words) != 3 or words[0] != _OURS or not words[2].isdecimal():
        return None
    return Mark(words[1], int(words[2]))


def _alias(mark: Mark) -> str:
    return f"{_OURS} {mark.record_id} {mark.revision}"


class Writer:
    """Changes links. One socket for a batch of steps."""

    def __init__(self) -> None:
        self._netlink = IPRoute()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._netlink.close()

    def build_segment(self, segment: Segment) -> None:
        """Make the bridge and the tunnel, or put right what differs."""
        bridge = self._bridge(segment)
        tunnel = self._tunnel(segment)
        self._netlink.link("set", index=tunnel, mtu=segment.mtu)
        self._netlink.link("set", index=tunnel, master=bridge)
        # What is known of other nodes comes from the store alone; who asks for a known address is answered here.
        self._netlink.brport("set", index=tunnel, learning=0, neigh_suppress=1)
        for index in (bridge, tunnel):
            self._netlink.link("set", index=index, state="up")

    def _bridge(self, segment: Segment) -> int:
        name = bridge_name(segment.vni)
        index = self.index(name)
        if index is None:
            self._netlink.link(
                "add",
                ifname=name,
                kind="bridge",
                address=bridge_mac(segment.vni),
                br_mcast_snooping=0,
                br_forward_delay=0,
                br_stp_state=0,
            )
            index = self._made(name)
            self._netlink.link("set", index=index, ifalias=_alias(segment.mark))
            _no_ipv6(name)
        elif self._mark(index) is None:
            raise DataplaneFault(f"{name} is there, but noded did not make it: rename or remove it")
        # On the bridge itself, not by the sysctl, which would also filter bridges that are not ours.
        self._netlink.link("set", index=index, kind="bridge", br_nf_call_iptables=1, br_nf_call_ip6tables=1)
        self._netlink.link("set", index=index, mtu=segment.mtu)
        return index

    def _tunnel(self, segment: Segment) -> int:
        name = tunnel_name(segment.vni)
        index = self.index(name)
        if index is not None:
            if _vxlan_local(self._netlink.get_links(index)[0]) == segment.local_address:
                return index
            self._netlink.link("del", index=index)
        self._netlink.link(
            "add",
            ifname=name,
            kind="vxlan",
            vxlan_id=segment.vni,
            vxlan_local=segment.local_address,
            vxlan_port=VXLAN_PORT,
            vxlan_learning=0,
        )
        _no_ipv6(name)
        return self._made(name)

    def set_forwarding(self, before: Segment, after: Segment) -> None:
        """Add first, remove last: a port that moves is never without an entry."""
        tunnel, bridge = self._made(tunnel_name(after.vni)), self._made(bridge_name(after.vni))
        neighbours.write([*_additions(tunnel, bridge, before, after), *_removals(tunnel, bridge, before, after)])

    def remove_segment(self, vni: int) -> None:
        """Take the tunnel and the bridge away."""
        for name in (tunnel_name(vni), bridge_name(vni)):
            self.remove(name)

    def build_tap(self, tap: TapLink) -> None:
        """Make the tap on its bridge, or put right what differs."""
        index = self.index(tap.name)
        if index is None:
            self._netlink.link("add", ifname=tap.name, kind="tuntap", mode="tap")
            index = self._made(tap.name)
            self._netlink.link("set", index=index, ifalias=_alias(tap.mark))
            _no_ipv6(tap.name)
        elif self._mark(index) is None:
            raise DataplaneFault(f"{tap.name} is there, but noded did not make it: rename or remove it")
        self._netlink.link("set", index=index, mtu=tap.mtu)
        self._netlink.link("set", index=index, master=self._made(bridge_name(tap.vni)))
        self._netlink.link("set", index=index, state="up")

    def connect(self, name: str, peer: str, mac: str, namespace: int, vni: int, mtu: int) -> None:
        """Lay a cable from the network's bridge into a namespace, given by a descriptor of it."""
        self.remove(name)
        bridge = self._made(bridge_name(vni))
        self._netlink.link(
            "add", ifname=name, kind="veth", peer={"ifname": peer, "net_ns_fd": namespace, "address": mac, "mtu": mtu}
        )
        index = self._made(name)
        _no_ipv6(name)
        self._netlink.link("set", index=index, mtu=mtu)
        self._netlink.link("set", index=index, master=bridge)
        self._netlink.link("set", index=index, state="up")

    def remove(self, name: str) -> None:
        """Take a device away, if it is there."""
        index = self.index(name)
        if index is not None:
            with _gone_already():
                self._netlink.link("del", index=index)

    def index(self, name: str) -> int | None:
        """The number of the device of that name, if it is there."""
        found = self._netlink.link_lookup(ifname=name)
        return int(found[0]) if found else None

    def _made(self, name: str) -> int:
        index = self.index(name)
        if index is None:
            raise DataplaneFault(f"the device {name} has gone")
        return index

    def _mark(self, index: int) -> Mark | None:
        return _mark_of(self._netlink.get_links(index)[0])


def _additions(tunnel: int, bridge: int, before: Segment, after: Segment) -> Iterator[Change]:
    for remote in sorted(after.remotes - before.remotes):
        yield Change(_tunnel_entry(tunnel, remote.mac, remote.node_address))
        yield Change(_bridge_entry(tunnel, remote.mac))
    for neighbour in sorted(after.neighbours - before.neighbours):
        yield Change(_neighbour_entry(bridge, neighbour.ip_address, neighbour.mac))
    for peer in sorted(after.peers - before.peers):
        yield Change(_tunnel_entry(tunnel, ANY_MAC, peer), appends=True)


def _removals(tunnel: int, bridge: int, before: Segment, after: Segment) -> Iterator[Change]:
    for mac in sorted({remote.mac for remote in before.remotes} - {remote.mac for remote in after.remotes}):
        yield Change(_tunnel_entry(tunnel, mac), removes=True)
        yield Change(_bridge_entry(tunnel, mac), removes=True)
    kept = {neighbour.ip_address for neighbour in after.neighbours}
    for address in sorted({neighbour.ip_address for neighbour in before.neighbours} - kept):
        yield Change(_neighbour_entry(bridge, address), removes=True)
    for peer in sorted(before.peers - after.peers):
        yield Change(_tunnel_entry(tunnel, ANY_MAC, peer), removes=True)


def _tunnel_entry(tunnel: int, mac: str, node_address: str | None = None) -> Entry:
    return Entry(family=socket.AF_BRIDGE, device=tunnel, mac=mac, address=node_address, flags=SELF)


def _bridge_entry(tunnel: int, mac: str) -> Entry:
    return Entry(family=socket.AF_BRIDGE, device=tunnel, mac=mac, state=STATIC, flags=MASTER)


def _neighbour_entry(bridge: int, ip_address: str, mac: str = "") -> Entry:
    return Entry(family=socket.AF_INET, device=bridge, mac=mac, address=ip_address)


def set_up_inside(name: str, addresses: Iterable[str]) -> None:
    """In the namespace of the calling thread: bring the device up with its addresses, everything else on the link."""
    with IPRoute() as netlink:
        index = netlink.link_lookup(ifname=name)[0]
        netlink.link("set", index=netlink.link_lookup(ifname="lo")[0], state="up")
        netlink.link("set", index=index, state="up")
        for address in addresses:
            netlink.addr("add", index=index, address=address, prefixlen=32)
        netlink.route("add", family=socket.AF_INET, dst="0.0.0.0/0", oif=index, scope="link")


def masters(names: Iterable[str]) -> Mapping[str, bool]:
    """Whether each of the devices is there and is a port of some bridge."""
    with IPRoute() as netlink:
        links = {link.get("ifname"): link for link in netlink.get_links()}
    return {name: name in links and links[name].get("master") is not None for name in names}


def _no_ipv6(name: str) -> None:
    """Keep the kernel from speaking IPv6 of its own on a device that carries only guests' frames."""
    with suppress(FileNotFoundError):  # a kernel without IPv6 doesn't speak it anyway
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")


class _gone_already(suppress):  # noqa: N801  # reads as what it allows
    """Lets a removal find nothing: what was to go is gone."""

    def __exit__(self, kind: object, fault: object, trace: object) -> bool:
        return isinstance(fault, NetlinkError) and fault.code in (errno.ENOENT, errno.ENODEV, errno.ESRCH)
