"""Where is this machine on the network, and who waits for the daemon to be ready?"""

import fcntl
import os
import socket
import struct
import sys
from typing import NoReturn

# No packet is sent: connecting a datagram socket only makes the kernel choose the way there (RFC 5737, TEST-NET-1).
_ANYWHERE = ("192.0.2.1", 9)
_ANYWHERE_6 = ("2001:db8::1", 9)  # RFC 3849
_SIOCGIFADDR = 0x8915  # netdevice(7): the first IPv4 address of an interface


class NoAddress(Exception):  # noqa: N818
    """The machine has no address that other nodes could use; the message says what to set."""


def own_address(address: str, interface: str) -> str:
    """The configured address, else that of the configured interface, else that of the default route."""
    if address:
        return address
    try:
        return _address_of(interface) if interface else _address_towards_anywhere()
    except OSError as fault:
        where = f"interface {interface} has no IPv4 address" if interface else "there is no default route"
        raise NoAddress(f"{where} ({fault.strerror}); set `address` or `interface` in noded.toml") from fault


def tell_ready() -> None:
    """Tell the service manager that the node serves (sd_notify(3)); nothing if none asked to be told."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect("\0" + path[1:] if path.startswith("@") else path)
        manager.send(b"READY=1")


def start_again() -> NoReturn:
    """Become the same command anew, as the same process: its manager sees no end, and guests none either."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # our own command, no shell


def _address_of(interface: str) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        request = struct.pack("256s", interface.encode()[:15])
        answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
    return socket.inet_ntoa(answer[20:24])


def _address_towards_anywhere() -> str:
    try:
        return _address_towards(socket.AF_INET, _ANYWHERE)
    except OSError:
        return _address_towards(socket.AF_INET6, _ANYWHERE_6)


def _address_towards(family: socket.AddressFamily, target: tuple[str, int]) -> str:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(target)
        return str(probe.getsockname()[0])
