"""Which values describe a node's share of the networks, wanted and found: links, forwarding, rules, answers, steps.

Every name on the machine follows from the record, so that a restarted daemon finds again what it made:

    ndb00012c       the bridge of the network with VNI 0x12c
    ndv00012c       its tunnel (VXLAN) to the other nodes
    ndm00012c       the cable to its DHCP and metadata services
    ndt4f1c2d3e5a0  the tap of a port: the first digits of its id
"""

from dataclasses import dataclass, field

from noded.core.ids import PortId

VXLAN_PORT = 4789
TAP_DIGITS = 11  # with the prefix as long as an interface's name may be


def bridge_name(vni: int) -> str:
    """The bridge of a network."""
    return f"ndb{vni:06x}"


def tunnel_name(vni: int) -> str:
    """The VXLAN device of a network."""
    return f"ndv{vni:06x}"


def cable_name(vni: int) -> str:
    """The bridge's end of the cable to the network's own services."""
    return f"ndm{vni:06x}"


def tap_name(port_id: PortId) -> str:
    """The tap of a port."""
    return "ndt" + port_id.replace("-", "")[:TAP_DIGITS]


def bridge_mac(vni: int) -> str:
    """The bridge's own MAC address: fixed, else it follows its ports and each change flushes what the bridge knows."""
    return f"02:6e:62:{vni >> 16 & 255:02x}:{vni >> 8 & 255:02x}:{vni & 255:02x}"


def service_mac(vni: int) -> str:
    """The MAC address of 169.254.169.254, the same on every node, so that a migrated guest needn't ask anew."""
    return f"02:6e:6d:{vni >> 16 & 255:02x}:{vni >> 8 & 255:02x}:{vni & 255:02x}"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """Which record a device stands for, and the revision at which this node saw that record. Written on the device.

    A record that was there at that revision and is not there at a later one was deleted: then, and only then, the
    device may go. A store that lags behind the mark proves nothing.
    """

    record_id: str
    revision: int


@dataclass(frozen=True, slots=True, order=True)
class Remote:
    """A port on another node: where frames to it go."""

    mac: str
    node_address: str


@dataclass(frozen=True, slots=True, order=True)
class Neighbour:
    """Who has an address: known beforehand, so that nobody asks over the tunnels."""

    ip_address: str
    mac: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A network as it is on one machine."""

    vni: int
    mark: Mark
    mtu: int
    local_address: str  # of this node in the tunnels
    peers: frozenset[str] = frozenset()  # nodes with ports of it: they get what no entry names, such as broadcasts
    remotes: frozenset[Remote] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class TapLink:
    """A tap as it is on one machine."""

    name: str
    mark: Mark
    vni: int  # 0: on no bridge of ours
    mtu: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The whole filter of a machine, as nftables reads it. `digest` names it; the machine keeps it with the rules."""

    digest: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What of ours is on the machine."""

    segments: dict[int, Segment] = field(default_factory=dict)
    incomplete: frozenset[int] = frozenset()  # segments with a device missing, detached or down
    taps: dict[str, TapLink] = field(default_factory=dict)
    rules_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What DHCP tells one card."""

    port_id: PortId
    mac: str
    ip_address: str
    prefix_length: int
    gateway: str | None
    mtu: int
    nameservers: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()  # destination, next hop


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What one network's services on this machine tell, and to whom: only guests of this machine."""

    leases: dict[str, Lease] = field(default_factory=dict)  # by MAC address
    ports: dict[str, PortId] = field(default_factory=dict)  # by IP address


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """A connection that the machine tracks; ports are 0 where the protocol has none."""

    zone: int
    protocol: int
    source: str
    destination: str
    source_port: int = 0
    destination_port: int = 0
    icmp_type: int = 0
    icmp_code: int = 0
    icmp_id: int = 0


@dataclass(frozen=True, slots=True)
class BuildSegment:
    """Make the network's bridge and tunnel, or put right what differs."""

    segment: Segment


@dataclass(frozen=True, slots=True)
class SetForwarding:
    """Change what a network's bridge and tunnel know of other nodes' ports."""

    before: Segment
    after: Segment


@dataclass(frozen=True, slots=True)
class RemoveSegment:
    """Take the network's devices away."""

    vni: int


@dataclass(frozen=True, slots=True)
class BuildTap:
    """Make the tap, or put right what differs."""

    tap: TapLink


@dataclass(frozen=True, slots=True)
class RemoveTap:
    """Take the tap away."""

    name: str


@dataclass(frozen=True, slots=True)
class LoadRules:
    """Replace the whole filter, at one stroke."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class EndFlows:
    """Forget connections that no rule allows any more: their next packet is judged afresh."""

    flows: tuple[Flow, ...]


Step = BuildSegment | SetForwarding | RemoveSegment | BuildTap | RemoveTap | LoadRules | EndFlows
