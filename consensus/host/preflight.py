"""Can the members reach a newcomer where they must? Tried before it is admitted, so that no node comes in half.

The newcomer listens on the ports that it will serve as a member, and says a nonce to whoever connects; the member that
admits dials each of them back. On one port it then sends more than one full packet and wants it returned: a path that
swallows large packets, or a firewall, is named here and not found out weeks later.
"""

import hmac
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from typing import Final

import trio

from consensus.admission import MTU_MIN, PROBE_NONCE_BYTES, AskAdmission
from consensus.host.tls import door_client, peer_public_key

DIAL_S_MAX: Final = 3.0
LARGE_BYTES: Final = 8 * 1024
PROBES_AT_ONCE_MAX: Final = 16
NO_WORDS: Final = bytes(4)  # an empty frame: a door takes it for a look, and not for a wrong guess
_IP_MTU, _IPV6_MTU = 14, 24  # of linux/in.h and linux/in6.h, which `socket` has no names for


class PortTaken(Exception):  # noqa: N818
    """A port that this node will need is in use; the message says which."""


@asynccontextmanager
async def probes(address: str, ports: tuple[int, ...], nonce: bytes) -> AsyncIterator[None]:
    """Answer on these ports of `address`. Raises PortTaken."""
    limiter = trio.CapacityLimiter(PROBES_AT_ONCE_MAX)
    listeners: list[trio.SocketListener] = []
    try:
        for port in ports:
            try:
                listeners += await trio.open_tcp_listeners(port, host=address)
            except OSError as error:
                raise PortTaken(
                    f"TCP port {port} of {address} can't be had ({error.strerror or error}): end what uses it"
                ) from error
        async with trio.open_nursery() as nursery:
            if listeners:
                nursery.start_soon(trio.serve_listeners, partial(_answer, limiter, nonce), list(listeners))
            yield
            nursery.cancel_scope.cancel()
    finally:
        for listener in listeners:
            await trio.aclose_forcefully(listener)


async def _answer(limiter: trio.CapacityLimiter, nonce: bytes, stream: trio.SocketStream) -> None:
    try:
        async with limiter, stream:
            with trio.move_on_after(DIAL_S_MAX):
                await stream.send_all(nonce)
                left = LARGE_BYTES
                while left and (piece := await stream.receive_some(left)):
                    await stream.send_all(piece)
                    left -= len(piece)
    except (OSError, trio.BrokenResourceError):
        return  # whoever it was has left


async def unreachable_ports(asked: AskAdmission, public_key: bytes) -> str | None:
    """Why members could not reach the node with that key, port by port, and what to do; None if they can."""
    address = asked.addresses[0]
    faults: dict[int, str] = {}

    async def try_one(port: int, *, shown: bool, large: bool) -> None:
        try:
            with trio.fail_after(DIAL_S_MAX):
                if shown:
                    await _expect_key(address, port, public_key)
                else:
                    await _expect_nonce(address, port, asked.nonce, large=large)
        except trio.TooSlowError:
            faults[port] = "does not answer: a firewall drops what members send there"
        except _Lost:
            faults[port] = (
                "answers, but large packets are lost on the way: the path carries less than"
                f" {MTU_MIN} bytes. Raise the MTU of every switch and tunnel between, or let ICMP through"
            )
        except _Narrow as narrow:
            faults[port] = f"is behind a path that carries packets of {narrow.mtu} bytes only; {MTU_MIN} are needed"
        except _Stranger as stranger:
            faults[port] = str(stranger)
        except (OSError, trio.BrokenResourceError) as error:
            faults[port] = f"refuses members' connections ({getattr(error, 'strerror', None) or error})"

    async with trio.open_nursery() as nursery:
        for number, port in enumerate(asked.ports_to_come):
            nursery.start_soon(partial(try_one, port, shown=False, large=number == 0))
        for port in asked.ports_shown:
            nursery.start_soon(partial(try_one, port, shown=True, large=False))
    if not faults:
        return None
    return f"members can't reach it at {address}: " + "; ".join(
        f"TCP port {port} {faults[port]}" for port in sorted(faults)
    )


class _Lost(Exception):  # noqa: N818
    """Small packets arrive and large ones do not."""


class _Narrow(Exception):  # noqa: N818
    """The kernel knows that the path is too narrow."""

    def __init__(self, mtu: int) -> None:
        super().__init__(mtu)
        self.mtu = mtu


class _Stranger(Exception):  # noqa: N818
    """Somebody else answers."""


async def _expect_key(address: str, port: int, public_key: bytes) -> None:
    plain = await trio.open_tcp_stream(address, port)
    stream = trio.SSLStream(plain, door_client(), https_compatible=True)
    try:
        await stream.do_handshake()
        if peer_public_key(stream) != public_key:
            raise _Stranger("is answered by another node")
        await stream.send_all(NO_WORDS)
    finally:
        await trio.aclose_forcefully(stream)


async def _expect_nonce(address: str, port: int, nonce: bytes, *, large: bool) -> None:
    async with await trio.open_tcp_stream(address, port) as stream:
        if not hmac.compare_digest(await _receive(stream, PROBE_NONCE_BYTES), nonce):
            raise _Stranger("is answered by another program")
        if not large:
            return
        try:
            with trio.fail_after(DIAL_S_MAX / 2):
                await stream.send_all(bytes(LARGE_BYTES))
                await _receive(stream, LARGE_BYTES)
        except trio.TooSlowError:
            raise _Lost from None
        if (mtu := _path_mtu(stream)) < MTU_MIN:
            raise _Narrow(mtu)


async def _receive(stream: trio.SocketStream, size: int) -> bytes:
    taken = bytearray()
    while len(taken) < size:
        piece = await stream.receive_some(size - len(taken))
        if not piece:
            raise _Stranger("hangs up at once")
        taken += piece
    return bytes(taken)


def _path_mtu(stream: trio.SocketStream) -> int:
    """What the kernel has learned of the path by now."""
    if stream.socket.family == socket.AF_INET6:
        peer = ip_address(str(stream.socket.getpeername()[0]).split("%", maxsplit=1)[0])
        mapped = getattr(peer, "ipv4_mapped", None) is not None
        return (
            _number(stream, socket.IPPROTO_IP, _IP_MTU) if mapped else _number(stream, socket.IPPROTO_IPV6, _IPV6_MTU)
        )
    return _number(stream, socket.IPPROTO_IP, _IP_MTU)


def _number(stream: trio.SocketStream, level: int, option: int) -> int:
    found: int = struct.unpack("i", stream.socket.getsockopt(level, option, 4))[0]
    return found
