"""Replicated logs for tests: a state machine to watch, identities for nodes, and real nodes on the loopback."""

import errno
import hashlib
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import trio

from consensus.authority import found_authority, new_private_key, public_key_of, sign_node
from consensus.host.disk import Disk
from consensus.host.raft import RaftNode
from consensus.host.tls import (
    TlsContexts,
    authority_file,
    member_contexts,
    node_certificate_file,
    node_key_file,
    tls_directory,
)
from consensus.host.twin import SimulatedCluster, SimulatedLog
from consensus.naming import node_id_of
from consensus.room import Limits, Shortage, Space
from noded.core.units import MIB

PATIENCE_S = 30.0
LIMITS = Limits(reserve=0, low=64 * MIB)


class Ledger:
    """A state machine that keeps every payload in order."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, bytes]] = []

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.entries]

    def apply(self, index: int, payload: bytes) -> object:
        self.entries.append((index, payload))
        return len(self.entries)

    def capture(self) -> "LedgerCapture":
        return LedgerCapture(list(self.entries))

    def restore(self, blocks: Iterable[bytes]) -> None:
        self.entries = [
            pair for block in blocks for pair in msgspec.msgpack.decode(block, type=list[tuple[int, bytes]])
        ]

    def digest(self) -> str:
        return hashlib.sha256(msgspec.msgpack.encode(self.entries)).hexdigest()


class LedgerCapture:
    """A ledger's picture, in blocks of a hundred entries."""

    def __init__(self, entries: Sequence[tuple[int, bytes]]) -> None:
        self._entries = entries

    def blocks(self) -> Iterator[bytes]:
        for start in range(0, len(self._entries), 100):
            yield msgspec.msgpack.encode(self._entries[start : start + 100])


@dataclass(frozen=True)
class Identity:
    """A node's id, its certificates, and where it listens."""

    node_id: str
    tls: TlsContexts
    address: tuple[str, int]


def make_identities(directory: Path, count: int) -> list[Identity]:
    """Members of one cluster, with their files below `directory`, ordered by id."""
    now = datetime.now(UTC)
    authority = found_authority("test", now)
    made = []
    for port in free_ports(count):
        key = new_private_key()
        public_key = public_key_of(key)
        node_id = node_id_of(public_key)
        state = directory / node_id
        tls_directory(state).mkdir(parents=True)
        node_key_file(state).write_bytes(key)
        authority_file(state).write_bytes(authority.certificate_pem)
        node_certificate_file(state).write_bytes(sign_node(authority, public_key, now))
        made.append(Identity(node_id, member_contexts(state), ("127.0.0.1", port)))
    return sorted(made, key=lambda identity: identity.node_id)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        with closing(one):
            pass
    return ports


async def until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Wait for something that happens by itself, and fail if it does not."""
    with trio.fail_after(patience_s):
        while not condition():
            await trio.sleep(0.01)


class Platter:
    """A disk of which a test says how full it is, and what fails on it."""

    def __init__(self, free: int = 1024 * MIB, total: int = 1024 * MIB) -> None:
        self.free = free
        self.total = total
        self.takes: int | None = None  # bytes until a write finds the disk full; None: any number
        self.fault: OSError | None = None  # what each sync answers
        self.disk = Disk(write=self._write, fdatasync=self._sync, space=self._space, allocate=self._allocate)

    def _write(self, descriptor: int, data: bytes | memoryview) -> int:
        if self.takes is None:
            return os.write(descriptor, data)
        if self.takes == 0:
            raise OSError(errno.ENOSPC, "no space left on this disk")
        written = os.write(descriptor, data[: self.takes])
        self.takes -= written
        return written

    def _sync(self, descriptor: int) -> None:
        if self.fault is not None:
            raise self.fault
        os.fdatasync(descriptor)

    def _space(self, _directory: Path) -> Space:
        return Space(total=self.total, free=self.free)

    def _allocate(self, descriptor: int, length: int) -> None:
        self.free -= length - os.fstat(descriptor).st_size
        os.truncate(descriptor, length)


Node = RaftNode | SimulatedLog


class Logs:
    """A cluster of logs in this process. Subclasses say what a node is."""

    def __init__(self, nursery: trio.Nursery, ids: list[str]) -> None:
        self._nursery = nursery
        self._scopes: dict[str, trio.CancelScope] = {}
        self._ended: dict[str, trio.Event] = {}
        self.ids = ids
        self.nodes: dict[str, Node] = {}
        self.machines: dict[str, Ledger] = {}
        self.applied: dict[str, list[int]] = {node_id: [] for node_id in ids}

    def make(self, node_id: str, machine: Ledger, *, found: bool) -> Node:
        """A node on what it left, if it ran before."""
        raise NotImplementedError

    def set_free(self, node_id: str, free_bytes: int) -> None:
        """How much room a node's disk has from now on. `LIMITS` say what is too little."""
        raise NotImplementedError

    async def start(self, node_id: str, *, found: bool = False) -> Node:
        """Start a node with a fresh state machine."""
        machine = self.machines[node_id] = Ledger()
        node = self.nodes[node_id] = self.make(node_id, machine, found=found)
        await self._nursery.start(self._run, node_id, node)
        return node

    async def _run(self, node_id: str, node: Node, task_status: trio.TaskStatus[None]) -> None:
        ended = self._ended[node_id] = trio.Event()
        with trio.CancelScope() as scope:
            self._scopes[node_id] = scope
            await node.run(task_status=task_status)
        ended.set()

    async def stop(self, node_id: str) -> None:
        """Stop a node at once; what it has on disk stays."""
        self._scopes[node_id].cancel()
        await self._ended[node_id].wait()
        del self.nodes[node_id]

    async def leader(self) -> Node:
        """The node that leads, when one does."""
        await until(lambda: any(node.is_leader for node in self.nodes.values()))
        return max((node for node in self.nodes.values() if node.is_leader), key=lambda node: node.term)

    async def follower(self) -> Node:
        """A node that does not lead, and knows who does."""
        leader = await self.leader()
        follower = next(node for node in self.nodes.values() if node is not leader)
        await until(lambda: follower.leader_id == leader.node_id)
        return follower

    async def form(self) -> None:
        """Found the cluster and make every node a voter."""
        for node_id in self.ids:
            await self.start(node_id, found=node_id == self.ids[0])
        leader = await self.leader()
        for node_id in self.ids[1:]:
            await leader.promote(node_id)

    async def level(self) -> None:
        """Wait until all running nodes have applied everything, and check that their states are equal."""
        index = await (await self.leader()).read_barrier(deadline_s=PATIENCE_S)
        await until(lambda: all(node.applied_index >= index for node in self.nodes.values()))
        assert len({self.machines[node_id].digest() for node_id in self.nodes}) == 1


class SimulatedLogs(Logs):
    """The twin."""

    def __init__(self, nursery: trio.Nursery, count: int) -> None:
        super().__init__(nursery, [f"node{number}" for number in range(count)])
        self.cluster = SimulatedCluster()

    def make(self, node_id: str, machine: Ledger, *, found: bool) -> Node:
        return SimulatedLog(node_id, self.cluster, machine, found=found, on_applied=self.applied[node_id].append)

    def set_free(self, node_id: str, free_bytes: int) -> None:
        is_short = free_bytes < LIMITS.low
        self.cluster.lack_room(node_id, Shortage(free_bytes, LIMITS.low) if is_short else None)


class RaftLogs(Logs):
    """Real nodes, which talk TLS over the loopback and keep their files below `directory`."""

    def __init__(self, nursery: trio.Nursery, directory: Path, count: int, **options: int) -> None:
        self._directory = directory
        self._options = options
        self._identities = {identity.node_id: identity for identity in make_identities(directory, count)}
        super().__init__(nursery, list(self._identities))
        self.platters = {node_id: Platter() for node_id in self.ids}

    def set_free(self, node_id: str, free_bytes: int) -> None:
        self.platters[node_id].free = free_bytes

    def make(self, node_id: str, machine: Ledger, *, found: bool) -> Node:
        node = RaftNode(
            node_id,
            self.directory_of(node_id),
            machine,
            tls=self._identities[node_id].tls,
            listen=self._identities[node_id].address,
            found=found,
            on_applied=self.applied[node_id].append,
            limits=LIMITS,
            disk=self.platters[node_id].disk,
            **self._options,
        )
        for other in self._identities.values():
            node.set_peer(other.node_id, other.address)
        return node

    def address_of(self, node_id: str) -> tuple[str, int]:
        """Where a node listens."""
        return self._identities[node_id].address

    def directory_of(self, node_id: str) -> Path:
        """Where a node keeps its log."""
        return self._directory / node_id / "raft"
