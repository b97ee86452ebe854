"""Does TLS in memory carry what a socket carries, whole and in order, and is what is wrong an OSError?"""

import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from consensus.naming import node_id_of, public_key_in
from noded.core.ids import NodeId
from storage.extents.serving import Buffer
from storage.host.tls import NodeTls, server_name
from storage.host.wire import PlainWire, TlsWire, Wire
from tests.twins.keys import Keys

Ends = tuple[TlsWire, TlsWire, NodeId]


class Pair:
    """The two ends of a connection."""

    def __init__(self, near: Wire, far: Wire) -> None:
        self.near = near
        self.far = far

    def carry(self, buffers: list[Buffer]) -> bytes:
        """What the far end gets of what the near end sends, while nobody waits for the other."""
        out, got, room = list(buffers), bytearray(), memoryview(bytearray(2 << 20))
        while out or self.near.has_unsent or len(got) < sum(map(len, buffers)):
            with suppress(BlockingIOError):
                self.near.send(out)
            with suppress(BlockingIOError):
                got += room[: self.far.receive_into(room)]
        return bytes(got)


def tls_pair(directory: Path) -> Ends:
    """Two nodes of a cluster, after their handshake, and the id of the near one."""
    keys = Keys()
    near_id = keys.admit(directory / "near")
    keys.admit(directory / "far")
    near, far = socket.socketpair()
    server = TlsWire(near, NodeTls(directory / "near").server())
    client = TlsWire(far, NodeTls(directory / "far").client(), server_hostname=server_name(near_id))
    dialing = threading.Thread(target=client.shake_hands)
    dialing.start()
    assert server.shake_hands()
    dialing.join(10)
    for sock in (near, far):
        sock.setblocking(False)
    return server, client, near_id


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    made = tls_pair(tmp_path)
    yield made
    made[0].close()
    made[1].close()


@pytest.fixture(params=["plain", "tls"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    if request.param == "tls":
        near, far, _ = tls_pair(tmp_path)
        made = Pair(near, far)
    else:
        socks = socket.socketpair()
        for sock in socks:
            sock.setblocking(False)
        made = Pair(PlainWire(socks[0]), PlainWire(socks[1]))
    yield made
    made.near.close()
    made.far.close()


@pytest.mark.parametrize("sizes", [(1,), (64, 4096) * 40, (64, 1 << 20) * 5, (3, 20_000, 7, 5), (1,) * 3000])
def test_all_comes_in_order_whatever_the_sizes(pair: Pair, sizes: tuple[int, ...]) -> None:
    buffers: list[Buffer] = [secrets.token_bytes(size) for size in sizes]
    assert pair.carry(buffers) == b"".join(buffers)


def test_all_that_has_come_is_taken_at_once(pair: Pair) -> None:
    """Otherwise a server would bring one write to its disk and only then see the next."""
    for _ in range(5):
        pair.near.send([bytes(4096)])
    room = memoryview(bytearray(1 << 20))
    assert pair.far.receive_into(room) == 5 * 4096
    with pytest.raises(BlockingIOError):
        pair.far.receive_into(room)


def test_what_has_no_room_is_taken_next(ends: Ends) -> None:
    near, far, _ = ends
    near.send([b"a" * 10 + b"b" * 10])
    room = memoryview(bytearray(10))
    assert [bytes(room[: far.receive_into(room)]) for _ in range(2)] == [b"a" * 10, b"b" * 10]


def test_the_end_of_the_stream_is_an_error(pair: Pair) -> None:
    pair.near.close()
    with pytest.raises(ConnectionResetError):
        pair.far.receive_into(memoryview(bytearray(10)))


def test_each_end_knows_the_others_certificate(ends: Ends) -> None:
    _, far, near_id = ends
    assert far.certificate is not None
    assert node_id_of(public_key_in(far.certificate)) == near_id


def test_a_stranger_is_told_why(tmp_path: Path) -> None:
    keys, others = Keys(), Keys()
    near_id = keys.admit(tmp_path / "near")
    others.admit(tmp_path / "stranger")
    near, far = socket.socketpair()
    server = TlsWire(near, NodeTls(tmp_path / "near").server())
    client = TlsWire(far, NodeTls(tmp_path / "stranger").client(), server_hostname=server_name(near_id))
    met: list[OSError] = []

    def dial() -> None:
        try:
            client.shake_hands()
        except OSError as error:
            met.append(error)

    dialing = threading.Thread(target=dial)
    dialing.start()
    with pytest.raises(ssl.SSLError):
        server.shake_hands()
    dialing.join(10)
    assert "CERTIFICATE_VERIFY_FAILED" in str(met[0])
    server.close()
    client.close()
