"""How a network's own services get a network stack of their own: a namespace that lives as long as its descriptor.

Guests of different networks may have the same addresses, so each network's DHCP and metadata sockets live in a stack
that knows that network alone, and the machine's own stack stays out of guests' reach. Nobody but the daemon holds the
namespace: when the daemon ends, however it ends, the kernel takes namespace, cable and sockets away.

A namespace belongs to a thread: threads made for one purpose enter it, make what is needed, and end. Sockets stay.
"""

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from net.addresses import METADATA_ADDRESS
from net.dataplane.dhcp import SERVER_PORT
from net.dataplane.model import Segment, cable_name, service_mac
from net.host.netlink import Writer, set_up_inside
from net.links import DataplaneFault

T = TypeVar("T")

INSIDE = "guests"  # how the cable's other end is called in the namespace
_HTTP_PORT = 80
_BACKLOG = 64
_CLONE_NEWNET = 0x4000_0000


@dataclass(slots=True)
class ServiceSockets:
    """What a network's services listen and speak on. Closing it takes the namespace and the cable away."""

    namespace: int
    dhcp: socket.socket  # receives requests
    frames: socket.socket  # sends answers, as whole frames
    http: socket.socket  # listens

    def close(self) -> None:
        """Let the kernel take all of it."""
        for each in (self.dhcp, self.frames, self.http):
            each.close()
        os.close(self.namespace)


def open_services(segment: Segment) -> ServiceSockets:
    """A namespace on the network's bridge, with its sockets. Blocking; raises `DataplaneFault` or `OSError`."""
    namespace = _in_thread(_new_namespace)
    try:
        with Writer() as writer:
            mac = service_mac(segment.vni)
            writer.connect(cable_name(segment.vni), INSIDE, mac, namespace, segment.vni, segment.mtu)
        return _in_thread(lambda: _sockets_inside(namespace))
    except BaseException:
        os.close(namespace)
        raise


def _new_namespace() -> int:
    _check(_libc().unshare(_CLONE_NEWNET), "unshare")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _sockets_inside(namespace: int) -> ServiceSockets:
    _check(_libc().setns(namespace, _CLONE_NEWNET), "setns")
    set_up_inside(INSIDE, [METADATA_ADDRESS])
    dhcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    dhcp.bind(("", SERVER_PORT))
    # Protocol 0: it only sends, nothing is queued for it.
    frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    frames.bind((INSIDE, 0))
    http = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    http.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    http.bind((METADATA_ADDRESS, _HTTP_PORT))
    http.listen(_BACKLOG)
    return ServiceSockets(namespace, dhcp, frames, http)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(code: int, call: str) -> None:
    if code != 0:
        raise DataplaneFault(f"{call}: {os.strerror(ctypes.get_errno())}: noded must run as root, with CAP_SYS_ADMIN")


def _in_thread(work: Callable[[], T]) -> T:
    """Do the work in a thread that ends with it: a thread that changed its namespace must serve nobody else."""
    results: list[T] = []
    faults: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as fault:  # noqa: BLE001  # carried over to the caller's thread, whatever it is
            faults.append(fault)

    thread = threading.Thread(target=run, name="net namespace")
    thread.start()
    thread.join()
    if faults:
        raise faults[0]
    return results[0]
