"""Which addresses does this host have, on which interfaces, and how large a packet do they carry?"""

import fcntl
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

import ifaddr

_SIOCGIFMTU: Final = 0x8921  # netdevice(7)
# What the cloud itself makes on a host (`net/`), and what others make for guests: no way to another node.
NO_WAY_TO_NODES: Final = (
    "lo",
    "nd",
    "tap",
    "vnet",
    "virbr",
    "docker",
    "br-",
    "veth",
    "vxlan",
    "cni",
    "flannel",
    "cali",
)


@dataclass(frozen=True)
class HostAddress:
    """One address of an interface; `index` is what a link-local address needs to mean anything."""

    address: str
    interface: str
    index: int

    @property
    def ip(self) -> IPv4Address | IPv6Address:
        """The address as a number."""
        return ip_address(self.address)


def host_addresses() -> tuple[HostAddress, ...]:
    """Every address of every interface, in the kernel's order."""
    return tuple(
        HostAddress(entry.ip if isinstance(entry.ip, str) else entry.ip[0], adapter.name, adapter.index or 0)
        for adapter in ifaddr.get_adapters()
        for entry in adapter.ips
    )


def mtu_of(address: str) -> int:
    """The MTU of the interface that has `address`; 0 if none has it."""
    name = next((found.interface for found in host_addresses() if found.address == address), "")
    if not name:
        return 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFMTU, struct.pack("16si12x", name.encode()[:15], 0))
        except OSError:
            return 0  # it has just gone
    mtu: int = struct.unpack("16si12x", answer)[1]
    return mtu
