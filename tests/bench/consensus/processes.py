"""How the bench holds its worker processes: starts them, asks them, kills them."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import trio

from consensus.authority import Authority, found_authority, new_private_key, public_key_of, sign_node
from consensus.host.tls import authority_file, node_certificate_file, node_key_file, tls_directory
from consensus.naming import fingerprint, node_id_of
from tests.bench.consensus.member import Place
from tests.twins.loopback import own_address

ANSWER_S_MAX = 300.0  # fifty nodes on two cores take their time over 20,000 records each


class Process:
    """One worker."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._buffer = b""
        self._turn = trio.Lock()
        self.pid = process.pid

    async def ask(self, do: str, **arguments: Any) -> Any:
        """What a method of `Worker` answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            with trio.fail_after(ANSWER_S_MAX):
                await self._process.stdin.send_all(msgspec.json.encode({"do": do, **arguments}) + b"\n")
                while b"\n" not in self._buffer:
                    piece = await self._process.stdout.receive_some()
                    if not piece:
                        raise RuntimeError(f"the worker ended while it did {do}")
                    self._buffer += piece
            line, _, self._buffer = self._buffer.partition(b"\n")
            return msgspec.json.decode(line)

    async def kill(self) -> None:
        """As a power cut does."""
        self._process.kill()
        await self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            await trio.aclose_forcefully(pipe)


class Cluster:
    """The places of a cluster's nodes, and the processes that run them."""

    def __init__(self, directory: Path, count: int) -> None:
        self.directory = directory
        self.authority: Authority = found_authority("bench", datetime.now(UTC))
        self.places = [self._new_place(number) for number in range(1, count + 1)]
        self.at: dict[str, Process] = {}

    def _new_place(self, number: int) -> Place:
        key = new_private_key()
        public_key = public_key_of(key)
        node_id = node_id_of(public_key)
        directory = self.directory / f"node{number}"
        tls_directory(directory).mkdir(parents=True)
        node_key_file(directory).write_bytes(key)
        authority_file(directory).write_bytes(self.authority.certificate_pem)
        certificate = sign_node(self.authority, public_key, datetime.now(UTC))
        node_certificate_file(directory).write_bytes(certificate)
        return Place(node_id, fingerprint(public_key), f"node{number}", own_address(number), str(directory))

    async def spawn(self) -> Process:
        """One more worker, without nodes."""
        command = [sys.executable, "-m", "tests.bench.consensus.worker"]
        return Process(await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))

    async def start(self, process: Process, places: list[Place], *, found: bool = False) -> float:
        """Start nodes in a worker; the time when they run."""
        for place in places:
            self.at[place.node_id] = process
        fields = [msgspec.to_builtins(place) for place in places]
        peers = [msgspec.to_builtins(place) for place in self.places]
        began: float = await process.ask("start", places=fields, peers=peers, found=found)
        return began

    async def found(self) -> None:
        """Found the cluster on its first place, which runs."""
        first = self.places[0]
        certificate, key = self.authority.certificate_pem.decode(), self.authority.key_pem.decode()
        await self.at[first.node_id].ask("found", node=first.node_id, certificate=certificate, key=key)

    async def admit(self, places: list[Place]) -> None:
        """Make them members."""
        leader = await self.leader()
        fields = [msgspec.to_builtins(place) for place in places]
        await self.at[leader].ask("admit", node=leader, places=fields)

    async def standing(self) -> dict[str, dict[str, Any]]:
        """What every running node knows."""
        found: dict[str, dict[str, Any]] = {}
        for process in dict.fromkeys(self.at.values()):
            found |= await process.ask("standing")
        return found

    async def settled(self, voters: int) -> str:
        """Wait until all agree who leads and that so many vote, and have applied as much; the leader."""
        with trio.fail_after(ANSWER_S_MAX):
            while True:
                nodes = (await self.standing()).values()
                leaders = {node["leader"] for node in nodes}
                agreed = (
                    len(leaders) == 1 and None not in leaders and {len(node["voters"]) for node in nodes} == {voters}
                )
                if agreed and len({node["applied"] for node in nodes}) == 1:
                    return str(leaders.pop())
                await trio.sleep(0.05)

    async def leader(self) -> str:
        """The node that leads."""
        while True:
            for node_id, node in (await self.standing()).items():
                if node["leads"]:
                    return node_id
            await trio.sleep(0.05)

    async def end(self) -> None:
        """Kill all workers."""
        for process in dict.fromkeys(self.at.values()):
            await process.kill()
        self.at = {}


@asynccontextmanager
async def cluster_of(directory: Path, count: int) -> AsyncIterator[Cluster]:
    """A cluster of so many nodes, each a process and, at the end, a voter."""
    cluster = Cluster(directory, count)
    try:
        for number, place in enumerate(cluster.places):
            await cluster.start(await cluster.spawn(), [place], found=number == 0)
        await cluster.found()
        await cluster.admit(cluster.places[1:])
        await cluster.settled(count)
        yield cluster
    finally:
        with trio.CancelScope(shield=True):
            await cluster.end()
