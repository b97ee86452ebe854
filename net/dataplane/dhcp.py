"""What DHCP answers: a request's bytes and a lease in, a whole Ethernet frame out (RFC 2131, 2132, 3442). No I/O.

The server is 169.254.169.254, the address of the metadata service too: it needs no address of the subnet. A lease is
not kept anywhere: a card always gets the address that its record has.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network

from net.addresses import METADATA_ADDRESS
from net.dataplane.model import Lease

SERVER_PORT = 67
CLIENT_PORT = 68
LEASE_S = 86_400

_BOOTP = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
_COOKIE = b"\x63\x82\x53\x63"
_REQUEST, _REPLY = 1, 2
_ETHERNET = 1
_MAC_BYTES = 6
_PAYLOAD_BYTES_MIN = 300  # what BOOTP relays and old clients expect (RFC 1542, 2.1)
_OPTION_BYTES_MAX = 255
_ANYWHERE = IPv4Network("0.0.0.0/0")
_NO_ADDRESS = str(IPv4Address(0))
_ON_LINK = _NO_ADDRESS  # as the router of a classless route: the destination is on the link itself
_BROADCAST = str(IPv4Address(0xFFFF_FFFF))
_BROADCAST_FLAG = 0x8000


class Kind(IntEnum):
    """DHCP message types (option 53)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """The options that are read or written here."""

    PAD = 0
    MASK = 1
    ROUTER = 3
    DNS = 6
    HOSTNAME = 12
    MTU = 26
    REQUESTED_ADDRESS = 50
    LEASE_S = 51
    KIND = 53
    SERVER = 54
    ROUTES = 121
    END = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class DhcpRequest:
    """What a client asks."""

    kind: Kind
    transaction: int
    flags: int
    mac: str
    client_address: str  # that it has and uses already
    requested_address: str | None
    server: str | None


def parse_request(payload: bytes) -> DhcpRequest | None:
    """The request in a UDP payload, or None if it isn't one that a client could mean for us."""
    if len(payload) < _BOOTP.size:
        return None
    fields = _BOOTP.unpack_from(payload)
    op, hardware, mac_bytes, _, transaction, _, flags, client = fields[:8]
    if (op, hardware, mac_bytes, fields[14]) != (_REQUEST, _ETHERNET, _MAC_BYTES, _COOKIE):
        return None
    options = _options(payload[_BOOTP.size :])
    kind = options.get(Option.KIND, b"")
    if len(kind) != 1 or kind[0] not in tuple(Kind):
        return None
    return DhcpRequest(
        kind=Kind(kind[0]),
        transaction=transaction,
        flags=flags,
        mac=":".join(f"{byte:02x}" for byte in fields[11][:_MAC_BYTES]),
        client_address=str(IPv4Address(client)),
        requested_address=_address(options.get(Option.REQUESTED_ADDRESS)),
        server=_address(options.get(Option.SERVER)),
    )


def _options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    at = 0
    while at < len(data) and data[at] != Option.END:
        if data[at] == Option.PAD:
            at += 1
            continue
        if at + 1 >= len(data):
            break
        length = data[at + 1]
        options[data[at]] = options.get(data[at], b"") + data[at + 2 : at + 2 + length]
        at += 2 + length
    return options


def _address(data: bytes | None) -> str | None:
    return str(IPv4Address(data)) if data is not None and len(data) == 4 else None


def reply(request: DhcpRequest, lease: Lease, hostname: str, service_mac: str) -> bytes | None:
    """The Ethernet frame that answers, or None where the protocol wants silence (RFC 2131, 4.1 and 4.3)."""
    kind = _kind_of_reply(request, lease)
    if kind is None:
        return None
    if kind is not Kind.NAK and request.client_address != _NO_ADDRESS:
        destination = request.client_address
    elif kind is Kind.NAK or request.flags & _BROADCAST_FLAG:
        destination = _BROADCAST
    else:
        destination = lease.ip_address
    payload = _message(request, lease, kind, hostname)
    return _frame(payload, source_mac=service_mac, destination_mac=request.mac, destination=destination)


def _kind_of_reply(request: DhcpRequest, lease: Lease) -> Kind | None:
    if request.server not in (None, METADATA_ADDRESS):
        return None  # it accepted another server's offer
    if request.kind is Kind.DISCOVER:
        return Kind.OFFER
    if request.kind is Kind.INFORM:
        return Kind.ACK
    if request.kind is not Kind.REQUEST:
        return None
    asked = request.requested_address or request.client_address
    return Kind.ACK if asked == lease.ip_address else Kind.NAK


def _message(request: DhcpRequest, lease: Lease, kind: Kind, hostname: str) -> bytes:
    given = IPv4Address(0) if kind is Kind.NAK or request.kind is Kind.INFORM else IPv4Address(lease.ip_address)
    server = IPv4Address(METADATA_ADDRESS)
    head = _BOOTP.pack(
        _REPLY, _ETHERNET, _MAC_BYTES, 0, request.transaction, 0, request.flags,
        IPv4Address(request.client_address).packed, given.packed,
        IPv4Address(0).packed if kind is Kind.NAK else server.packed, IPv4Address(0).packed,
        _mac_bytes(request.mac).ljust(16, b"\0"), b"", b"", _COOKIE,
    )  # fmt: skip
    options = [(Option.KIND, bytes([kind])), (Option.SERVER, server.packed)]
    if kind is not Kind.NAK:
        if request.kind is not Kind.INFORM:
            options.append((Option.LEASE_S, LEASE_S.to_bytes(4, "big")))
        options += _lease_options(lease, hostname)
    return (head + _encoded(options)).ljust(_PAYLOAD_BYTES_MIN, b"\0")


def _lease_options(lease: Lease, hostname: str) -> list[tuple[Option, bytes]]:
    mask = IPv4Network((0, lease.prefix_length)).netmask.packed
    options = [(Option.MASK, mask), (Option.MTU, lease.mtu.to_bytes(2, "big"))]
    if lease.gateway is not None:
        options.append((Option.ROUTER, IPv4Address(lease.gateway).packed))
    if lease.nameservers:
        options.append((Option.DNS, b"".join(IPv4Address(server).packed for server in lease.nameservers)))
    if hostname:
        options.append((Option.HOSTNAME, hostname.encode("ascii", "replace")[:_OPTION_BYTES_MAX]))
    # A client that reads these routes ignores option 3, so they hold the default route as well (RFC 3442).
    routes = [(f"{METADATA_ADDRESS}/32", _ON_LINK), *lease.routes]
    if lease.gateway is not None and not any(destination == str(_ANYWHERE) for destination, _ in lease.routes):
        routes.append((str(_ANYWHERE), lease.gateway))
    options.append((Option.ROUTES, b"".join(_route(IPv4Network(to), IPv4Address(via)) for to, via in routes)))
    return options


def _route(destination: IPv4Network, router: IPv4Address) -> bytes:
    """RFC 3442: the prefix's length, as many bytes of it as matter, the router."""
    significant = (destination.prefixlen + 7) // 8
    return bytes([destination.prefixlen]) + destination.network_address.packed[:significant] + router.packed


def _encoded(options: Iterable[tuple[Option, bytes]]) -> bytes:
    """The options; a longer one is split into several of the same code, to be joined by the client (RFC 3396)."""
    parts = []
    for code, value in options:
        for start in range(0, len(value), _OPTION_BYTES_MAX):
            piece = value[start : start + _OPTION_BYTES_MAX]
            parts.append(bytes([code, len(piece)]) + piece)
    return b"".join(parts) + bytes([Option.END])


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _frame(payload: bytes, *, source_mac: str, destination_mac: str, destination: str) -> bytes:
    """The payload in UDP, IPv4 and Ethernet, to one card alone: also where the client has no address yet.

    `destination` is the IP address to write; what guests that hear all frames could learn from a broadcast stays out.
    """
    udp_length = 8 + len(payload)
    source, target = IPv4Address(METADATA_ADDRESS).packed, IPv4Address(destination).packed
    pseudo = source + target + struct.pack("!BBH", 0, 17, udp_length)
    udp_head = struct.pack("!HHH", SERVER_PORT, CLIENT_PORT, udp_length)
    checksum = _checksum(pseudo + udp_head + b"\0\0" + payload) or 0xFFFF
    udp = udp_head + struct.pack("!H", checksum) + payload
    ip_head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + udp_length, 0, 0, 64, 17, 0, source, target)
    ip = ip_head[:10] + struct.pack("!H", _checksum(ip_head)) + ip_head[12:]
    return _mac_bytes(destination_mac) + _mac_bytes(source_mac) + b"\x08\x00" + ip + udp


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
