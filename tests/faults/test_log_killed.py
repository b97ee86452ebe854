"""Power fails everywhere at once, as far as processes can tell: kill -9 of every node, in the middle of writing."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import trio

from tests.faults.log_node import Acknowledged, Job, State
from tests.logs import Identity, make_identities

ROUNDS = 3
ACKNOWLEDGED_A_ROUND = 400
PATIENCE_S = 60

_decode = msgspec.json.Decoder(Acknowledged | State).decode


class Processes:
    """The nodes of one cluster, each a process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._identities = make_identities(directory, 3)
        self._running: list[trio.Process] = []

    async def start(self, life: int, writers: int) -> list[trio.Process]:
        self._running = [await self._start(identity, life, writers) for identity in self._identities]
        return self._running

    async def _start(self, identity: Identity, life: int, writers: int) -> trio.Process:
        job = Job(
            node_id=identity.node_id,
            state=str(self._directory / identity.node_id),
            listen=identity.address,
            peers={one.node_id: one.address for one in self._identities if one is not identity},
            founds=life == 0 and identity is self._identities[0],
            life=life,
            writers=writers,
        )
        command = [sys.executable, "-m", "tests.faults.log_node", msgspec.json.encode(job).decode()]
        return await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    async def kill(self) -> None:
        for process in self._running:
            process.kill()
        for process in self._running:
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                await trio.aclose_forcefully(pipe)
        self._running = []


async def lines_of(process: trio.Process, put: trio.MemorySendChannel[Acknowledged | State]) -> None:
    """What a process says, as long as its lines are whole."""
    assert process.stdout is not None
    buffer = b""
    async with put:
        async for piece in process.stdout:
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"{"):  # its log lines go there too
                    await put.send(_decode(line))


async def hear(processes: list[trio.Process], count: int) -> list[Acknowledged | State]:
    """The next things that the processes say."""
    heard: list[Acknowledged | State] = []
    put, take = trio.open_memory_channel[Acknowledged | State](0)
    async with trio.open_nursery() as nursery, take:
        for process in processes:
            nursery.start_soon(lines_of, process, put.clone())
        put.close()
        async for said in take:
            heard.append(said)
            if len(heard) == count:
                break
        nursery.cancel_scope.cancel()
    return heard


async def test_nothing_acknowledged_is_lost_when_every_node_is_killed(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    acknowledged: list[str] = []
    try:
        with trio.fail_after(PATIENCE_S):
            for life in range(ROUNDS):
                running = await processes.start(life, writers=8)
                heard = await hear(running, ACKNOWLEDGED_A_ROUND)
                await processes.kill()
                assert len(heard) == ACKNOWLEDGED_A_ROUND, "a process ended by itself"
                acknowledged += [said.payload for said in heard if isinstance(said, Acknowledged)]
            states = await hear(await processes.start(ROUNDS, writers=0), 3)
    finally:
        with trio.CancelScope(shield=True):
            await processes.kill()
    ledgers = [state.payloads for state in states if isinstance(state, State)]
    longest = max(ledgers, key=len)
    assert all(longest[: len(ledger)] == ledger for ledger in ledgers)
    assert len(acknowledged) == ROUNDS * ACKNOWLEDGED_A_ROUND
    assert set(acknowledged) <= set(longest), "an acknowledged write was lost"
    assert Counter(longest).most_common(1)[0][1] == 1, "a write acted twice"
