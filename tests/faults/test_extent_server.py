"""A real extent server: who is let in, what a full disk answers, and what is left when it is killed."""

import fcntl
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from noded.core.ids import DiskId
from storage.extents import frame
from storage.extents.frame import HEADER, HEADER_BYTES, PAYLOAD, Op, Why, hash_of
from storage.extents.layout import BLOCK_BYTES
from storage.extents.messages import Hello, Usage, volume_key
from storage.host.paths import extent_socket
from storage.host.tls import NodeTls, server_name
from tests.twins.keys import Keys

VOLUME = "0f6e1a52-7c3b-4d1e-9a55-3f2b8c9d0e01"
DISK = DiskId("d")
EXTENT_BYTES = 64 << 20
PORT = 27_410
SECONDS_MAX = 10.0
EXT4_SHUTDOWN = 0x8004587D
SHUTDOWN_NO_FLUSH = 2


class Client:
    """A volume server's side of one connection, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(SECONDS_MAX)
        self.sequence = 0

    def ask(self, op: Op, payload: bytes = b"", **fields: int) -> tuple[int, int, bytes]:
        """The op, the offset (why, if it is refused) and the payload of the answer."""
        if payload:
            fields |= {"flags": PAYLOAD, "length": len(payload), "payload_hash": hash_of(payload)}
        self.sock.sendall(frame.pack(op, request=1, volume=volume_key(VOLUME), **fields) + payload)
        answer = HEADER.unpack(self._take(HEADER_BYTES))
        return answer[1], answer[9], self._take(answer[4]) if answer[2] & PAYLOAD else bytes(answer[4])

    def open(self, epoch: int) -> None:
        hello = Hello(VOLUME, epoch, 4 * EXTENT_BYTES, EXTENT_BYTES, writer=True)
        assert self.ask(Op.HELLO, msgspec.msgpack.encode(hello))[0] == Op.DATA
        assert self.ask(Op.SEAL, stamp=frame.first_stamp(epoch))[0] == Op.ACK
        self.epoch = epoch

    def write(self, offset: int, content: bytes) -> tuple[int, int, bytes]:
        return self.ask(Op.WRITE, content, offset=offset, stamp=self._stamp())

    def zero(self, offset: int, length: int) -> tuple[int, int, bytes]:
        return self.ask(Op.ZERO, offset=offset, length=length, stamp=self._stamp())

    def read(self, offset: int, length: int) -> bytes:
        return self.ask(Op.READ, offset=offset, length=length)[2]

    def usage(self) -> Usage:
        return msgspec.msgpack.decode(self.ask(Op.USAGE)[2], type=Usage)

    def _stamp(self) -> int:
        self.sequence += 1
        return frame.first_stamp(self.epoch) + self.sequence

    def _take(self, size: int) -> bytes:
        content = b""
        while len(content) < size:
            piece = self.sock.recv(size - len(content))
            if not piece:
                raise EOFError
            content += piece
        return content


class Server:
    """The process, on a disk directory."""

    def __init__(self, directory: Path, disk: Path, keys: Keys) -> None:
        self.directory = directory
        self.disk = disk
        self.clients: list[Client] = []
        self.keys = keys
        self.node_id = keys.admit(directory / "tls")
        self.start()

    def start(self) -> None:
        arguments = ["--disk", self.disk, "--disk-id", DISK, "--listen", f"127.0.0.1:{PORT}", "--segment-mib", "4"]
        arguments += ["--tls", self.directory / "tls", "--run", self.directory / "run"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "storage.host.extent_server", *map(str, arguments)], stderr=log
            )

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def local(self) -> Client:
        sock = socket.socket(socket.AF_UNIX)
        until = time.monotonic() + SECONDS_MAX
        while True:
            try:
                sock.connect(str(extent_socket(self.directory / "run", DISK)))
                return self._client(sock)
            except OSError:
                assert time.monotonic() < until, (self.directory / "log").read_text()
                time.sleep(0.02)

    def remote(self, context: ssl.SSLContext) -> Client:
        plain = socket.create_connection(("127.0.0.1", PORT), timeout=SECONDS_MAX)
        return self._client(context.wrap_socket(plain, server_hostname=server_name(self.node_id)))

    def plain(self) -> Client:
        return self._client(socket.create_connection(("127.0.0.1", PORT), timeout=SECONDS_MAX))

    def close(self) -> None:
        self.kill()
        for client in self.clients:
            client.sock.close()

    def _client(self, sock: socket.socket) -> Client:
        self.clients.append(Client(sock))
        return self.clients[-1]


@contextmanager
def serving(directory: Path, disk: Path | None = None) -> Iterator[Server]:
    server = Server(directory, disk or directory / "disk", Keys())
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "noded-test", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def mortal_disk(tmp_path: Path) -> Iterator[Path]:
    """An ext4 of its own, which can be let die."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    image, path = tmp_path / "image", tmp_path / "mortal"
    path.mkdir()
    with image.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, path], check=True)
    yield path
    # With the mount goes its loop device.
    subprocess.run(["umount", "-l", path], check=True)


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        client = server.local()
        client.open(1)
        for number in range(1, 101):
            assert client.write(number * BLOCK_BYTES, bytes([number]) * BLOCK_BYTES)[0] == Op.ACK
        server.kill()
        server.start()
        client = server.local()
        client.open(2)
        for number in range(1, 101):
            assert client.read(number * BLOCK_BYTES, BLOCK_BYTES) == bytes([number]) * BLOCK_BYTES


def test_nodes_of_the_cluster_are_let_in_over_tls_and_nobody_else(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        local = server.local()
        server.keys.admit(tmp_path / "other")
        peer = server.remote(NodeTls(tmp_path / "other").client())
        peer.open(1)
        content = os.urandom(1 << 20)
        assert peer.write(0, content)[0] == Op.ACK
        assert peer.read(0, 1 << 20) == content
        Keys().admit(tmp_path / "stranger")
        with pytest.raises(ssl.SSLError):
            server.remote(NodeTls(tmp_path / "stranger").client())
        nameless = ssl.create_default_context(cafile=tmp_path / "tls" / "ca.crt")
        with pytest.raises((OSError, EOFError)):
            server.remote(nameless).usage()
        with pytest.raises((OSError, EOFError)):
            server.plain().usage()
        assert local.usage().volumes == (VOLUME,)


def test_renewed_certificates_count_from_the_next_connection_on(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.local()
        server.keys.admit(tmp_path / "other")
        before = server.remote(NodeTls(tmp_path / "other").client())
        renewed = Keys()
        node_id = renewed.admit(tmp_path / "new")
        renewed.admit(tmp_path / "peer")
        for name in ("node.key", "node.crt", "ca.crt"):
            (tmp_path / "new" / name).rename(tmp_path / "tls" / name)
        server.node_id = node_id
        assert server.remote(NodeTls(tmp_path / "peer").client()).usage().volumes == ()
        assert before.usage().volumes == ()


def test_garbage_ends_its_own_connection_only(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        good, bad = server.local(), server.local()
        good.open(1)
        bad.sock.sendall(os.urandom(4096))
        assert bad.sock.recv(1) == b""
        assert good.write(0, bytes(BLOCK_BYTES))[0] == Op.ACK


def test_a_full_disk_says_so_before_it_is_and_serves_again_after_a_trim(tmp_path: Path, small_disk: Path) -> None:
    with serving(tmp_path, small_disk) as server:
        client = server.local()
        client.open(1)
        offset = 0
        while (answer := client.write(offset, os.urandom(1 << 20)))[0] == Op.ACK:
            offset += 1 << 20
        assert (answer[0], answer[1]) == (Op.REFUSED, Why.FULL)
        assert offset > 16 << 20
        assert len(client.read(offset - (1 << 20), 1 << 20)) == 1 << 20
        assert client.zero(0, 16 << 20)[0] == Op.ACK
        server.kill()
        server.start()
        client = server.local()
        client.open(2)
        assert client.usage().bytes_free > 8 << 20
        assert client.write(0, os.urandom(1 << 20))[0] == Op.ACK


def test_a_disk_that_dies_takes_its_server_along_and_nothing_is_acknowledged(tmp_path: Path, mortal_disk: Path) -> None:
    with serving(tmp_path, mortal_disk) as server:
        client = server.local()
        client.open(1)
        assert client.write(0, bytes([1]) * BLOCK_BYTES)[0] == Op.ACK
        directory = os.open(mortal_disk, os.O_RDONLY)
        fcntl.ioctl(directory, EXT4_SHUTDOWN, struct.pack("I", SHUTDOWN_NO_FLUSH))
        os.close(directory)
        with pytest.raises((OSError, EOFError)):
            client.write(0, bytes([2]) * BLOCK_BYTES)
        assert server.process.wait(SECONDS_MAX) != 0


def test_two_servers_never_serve_one_disk(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        server.local()
        arguments = ["--disk", tmp_path / "disk", "--disk-id", DISK, "--run", tmp_path / "run2"]
        second = subprocess.run(
            [sys.executable, "-m", "storage.host.extent_server", *map(str, arguments)],
            capture_output=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert second.returncode != 0
        assert b"AlreadyRunning" in second.stderr
