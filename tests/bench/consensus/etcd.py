"""etcd 3.4 on the same machine, on the same terms: TLS everywhere, one directory a member, and a client in gRPC.

The client speaks gRPC itself, many calls at a time on one HTTP/2 connection a member: etcd's own protocol, since its
JSON gateway makes etcd handle each request twice. Debian does not package etcd's `benchmark` program.
"""

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from shutil import rmtree

import trio
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from hpack import Decoder

from consensus import authority as pki
from tests.logs import free_ports

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_WINDOW_BYTES = 1 << 30
READY_S_MAX = 30.0


class GrpcFailed(Exception):
    """The call was refused, or the connection broke."""


class _Stream:
    def __init__(self) -> None:
        self.body = b""
        self.failure: str | None = None
        self.done = trio.Event()


class Grpc:
    """Unary calls, many at a time on one connection. Only what etcd's answers need of HTTP/2 (RFC 9113)."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream], authority: str) -> None:
        self._stream = stream
        self._authority = authority.encode()
        self._decoder = Decoder()
        self._streams: dict[int, _Stream] = {}
        self._next_id = 1
        self._out = bytearray()
        self._wake = trio.Event()
        self._may_send = 65_535
        self._window_moved = trio.Event()
        self._to_give_back = 0

    @classmethod
    @asynccontextmanager
    async def connect(cls, port: int, context: ssl.SSLContext) -> AsyncIterator["Grpc"]:
        """A connection to a member on the loopback."""
        plain = await trio.open_tcp_stream("127.0.0.1", port)
        stream = trio.SSLStream(plain, context, server_hostname="127.0.0.1")
        client = cls(stream, f"127.0.0.1:{port}")
        client._say(_PREFACE + _frame(_SETTINGS, 0, 0, b"\x00\x04" + (2**31 - 1).to_bytes(4, "big")))
        client._say(_frame(_WINDOW, 0, 0, _WINDOW_BYTES.to_bytes(4, "big")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client._write)
            nursery.start_soon(client._read)
            try:
                yield client
            finally:
                nursery.cancel_scope.cancel()
                await trio.aclose_forcefully(stream)

    async def call(self, path: str, message: bytes) -> bytes:
        """The answer's message. Raises GrpcFailed."""
        body = b"\x00" + len(message).to_bytes(4, "big") + message
        while self._may_send < len(body):
            await self._window_moved.wait()
        self._may_send -= len(body)
        number, self._next_id = self._next_id, self._next_id + 2
        stream = self._streams[number] = _Stream()
        self._say(
            _frame(_HEADERS, _END_HEADERS, number, self._headers(path)) + _frame(_DATA, _END_STREAM, number, body)
        )
        try:
            await stream.done.wait()
        finally:
            self._streams.pop(number, None)
        if stream.failure is not None:
            raise GrpcFailed(stream.failure)
        return stream.body[5:]

    def _headers(self, path: str) -> bytes:
        name = path.encode()
        return (  # HPACK (RFC 7541): indexed where the static table has it whole, else literal and never indexed
            b"\x83\x87\x04" + bytes([len(name)]) + name
            + b"\x01" + bytes([len(self._authority)]) + self._authority
            + b"\x0f\x10\x10application/grpc"
            + b"\x00\x02te\x08trailers"
        )  # fmt: skip

    def _say(self, frames: bytes) -> None:
        self._out += frames
        self._wake.set()

    async def _write(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            out, self._out = self._out, bytearray()
            try:
                await self._stream.send_all(out)
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                self._fail(str(error))
                return

    async def _read(self) -> None:
        buffer = bytearray()
        try:
            while piece := await self._stream.receive_some(65_536):
                buffer += piece
                while len(buffer) >= 9 and len(buffer) >= (end := 9 + int.from_bytes(buffer[:3], "big")):
                    number = int.from_bytes(buffer[5:9], "big") & 0x7FFFFFFF
                    self._take(buffer[3], buffer[4], number, bytes(buffer[9:end]))
                    del buffer[:end]
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._fail(str(error))
        else:
            self._fail("the member closed the connection")

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number, _Stream())
        if kind == _DATA:
            stream.body += payload
            self._give_back(len(payload))
        elif kind == _HEADERS:
            headers = dict(self._decoder.decode(payload))
            if headers.get("grpc-status", "0") != "0":
                stream.failure = headers.get("grpc-message", "refused")
        elif kind == _SETTINGS and not flags & _ACK:
            self._say(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._say(_frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW and number == 0:
            self._may_send += int.from_bytes(payload, "big")
            self._window_moved.set()
            self._window_moved = trio.Event()
        elif kind in (_RESET, _GOAWAY):
            stream.failure = "the member broke the call off"
        if kind == _RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
            stream.done.set()

    def _give_back(self, size: int) -> None:
        self._to_give_back += size
        if self._to_give_back > 1 << 20:
            self._say(_frame(_WINDOW, 0, 0, self._to_give_back.to_bytes(4, "big")))
            self._to_give_back = 0

    def _fail(self, why: str) -> None:
        for stream in list(self._streams.values()):
            stream.failure = why
            stream.done.set()


class EtcdClient:
    """What is asked of one member."""

    def __init__(self, grpc: Grpc) -> None:
        self._grpc = grpc

    async def put(self, key: str, value: bytes) -> None:
        """Durable on a majority when it returns."""
        await self._grpc.call("/etcdserverpb.KV/Put", _text(1, key.encode()) + _text(2, value))

    async def get(self, key: str) -> None:
        """A linearizable read."""
        await self._grpc.call("/etcdserverpb.KV/Range", _text(1, key.encode()))

    async def leads(self) -> bool:
        """Whether this member leads."""
        fields = _numbers(await self._grpc.call("/etcdserverpb.Maintenance/Status", b""))
        return fields.get((4,), 0) == fields[1, 2]


class Etcd:
    """A cluster of members, each a process."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory = directory
        self._context = _certificates(directory)
        ports = free_ports(2 * count)
        self.ports = dict(zip((f"member{number}" for number in range(1, count + 1)), ports[:count], strict=True))
        self._peer_ports = dict(zip(self.ports, ports[count:], strict=True))
        self.processes: dict[str, trio.Process] = {}

    async def start(self, name: str) -> None:
        """Start one member, a new one or one that ran before."""
        tls = self._directory
        peers = {member: f"https://127.0.0.1:{port}" for member, port in self._peer_ports.items()}
        client = f"https://127.0.0.1:{self.ports[name]}"
        command = [
            "etcd", "--name", name, "--data-dir", str(self._directory / name), "--log-level", "error",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name],
            "--initial-cluster", ",".join(f"{member}={url}" for member, url in peers.items()),
            "--initial-cluster-state", "new", "--logger", "zap",
            "--cert-file", str(tls / "etcd.crt"), "--key-file", str(tls / "etcd.key"),
            "--trusted-ca-file", str(tls / "ca.crt"), "--client-cert-auth",
            "--peer-cert-file", str(tls / "etcd.crt"), "--peer-key-file", str(tls / "etcd.key"),
            "--peer-trusted-ca-file", str(tls / "ca.crt"), "--peer-client-cert-auth",
        ]  # fmt: skip
        with (self._directory / f"{name}.log").open("ab") as log:
            self.processes[name] = await trio.lowlevel.open_process(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[EtcdClient]:
        """A client of one member."""
        async with Grpc.connect(self.ports[name], self._context) as grpc:
            yield EtcdClient(grpc)

    async def leader(self) -> str:
        """Which member leads, when one does and all answer."""
        with trio.fail_after(READY_S_MAX):
            while True:
                for name in self.processes:
                    try:
                        async with self.client(name) as client:
                            if await client.leads():
                                return name
                    except* (GrpcFailed, OSError):
                        pass
                await trio.sleep(0.05)

    async def kill(self, name: str) -> None:
        """As a power cut does."""
        process = self.processes.pop(name)
        process.kill()
        await process.wait()


@asynccontextmanager
async def etcd_of(directory: Path, count: int) -> AsyncIterator[Etcd]:
    """A new cluster of so many members."""
    rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    cluster = Etcd(directory, count)
    try:
        for name in cluster.ports:
            await cluster.start(name)
        await cluster.leader()
        yield cluster
    finally:
        with trio.CancelScope(shield=True):
            for name in list(cluster.processes):
                await cluster.kill(name)


def _certificates(directory: Path) -> ssl.SSLContext:
    """One certificate for every member and for the client, from an authority as noded's nodes have it."""
    now = datetime.now(UTC)
    authority = pki.found_authority("etcd", now)
    key = pki.new_private_key()
    names = [x509.IPAddress(ip_address("127.0.0.1"))]
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = pki._sign(authority, pki.public_key_of(key), "etcd", names, usages, now)
    (directory / "ca.crt").write_bytes(authority.certificate_pem)
    (directory / "etcd.key").write_bytes(key)
    (directory / "etcd.crt").write_bytes(certificate)
    context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
    context.load_cert_chain(directory / "etcd.crt", directory / "etcd.key")
    context.set_alpn_protocols(["h2"])
    return context


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + number.to_bytes(4, "big") + payload


def _varint(number: int) -> bytes:
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)


def _text(field: int, content: bytes) -> bytes:
    """A field of bytes in protocol buffers' encoding."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _numbers(message: bytes, deep: bool = True) -> dict[tuple[int, ...], int]:
    """Every number in a message by its field; those in the first field's message by both fields."""
    found: dict[tuple[int, ...], int] = {}
    position = 0

    def varint() -> int:
        nonlocal position
        number = shift = 0
        while True:
            byte = message[position]
            position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return number

    while position < len(message):
        field, kind = divmod(varint(), 8)
        if kind == 0:
            found[field,] = varint()
        elif kind == 2:
            length = varint()
            if deep and field == 1:
                below = _numbers(message[position : position + length], deep=False)
                found |= {(field, *path): number for path, number in below.items()}
            position += length
        else:
            raise AssertionError(f"field {field} has kind {kind}")
    return found
