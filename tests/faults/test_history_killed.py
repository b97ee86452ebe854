"""History across kill -9 of every node in the middle of writing, and the loss of one node's history files."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import trio

from tests.faults.history_node import Acknowledged, Job, Kept
from tests.logs import free_ports, make_identities

ROUNDS = 3
ACKNOWLEDGED_A_ROUND = 300
PATIENCE_S = 240  # never what decides: a quiet machine needs a twentieth

_decode = msgspec.json.Decoder(Acknowledged | Kept).decode


class Processes:
    """The nodes of one cluster, each a process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.identities = make_identities(directory, 3)
        self._hosts = {one.node_id: f"127.0.0.{number}" for number, one in enumerate(self.identities, start=2)}
        [self._calls_port] = free_ports(1)
        self._running: list[trio.Process] = []

    async def start(self, life: int, writers: int) -> list[trio.Process]:
        for identity in self.identities:
            job = Job(
                node_id=identity.node_id,
                state=str(self._directory / identity.node_id),
                listen=identity.address,
                peers={one.node_id: one.address for one in self.identities if one is not identity},
                founds=life == 0 and identity is self.identities[0],
                life=life,
                writers=writers,
                calls_port=self._calls_port,
                hosts=self._hosts,
            )
            command = [sys.executable, "-m", "tests.faults.history_node", msgspec.json.encode(job).decode()]
            process = await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._running.append(process)
        return self._running

    async def kill(self) -> None:
        for process in self._running:
            process.kill()
        for process in self._running:
            await process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                await trio.aclose_forcefully(pipe)
        self._running = []

    def lose_history(self, number: int) -> None:
        """One node's files are gone, as after a fault of its disk."""
        shutil.rmtree(self._directory / self.identities[number].node_id / "log" / "history")


async def lines_of(process: trio.Process, put: trio.MemorySendChannel[Acknowledged | Kept]) -> None:
    """What a process says, as long as its lines are whole."""
    assert process.stdout is not None
    buffer = b""
    async with put:
        async for piece in process.stdout:
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                if line.startswith(b"{"):  # its log lines go there too
                    await put.send(_decode(line))


async def hear(processes: list[trio.Process], count: int) -> list[Acknowledged | Kept]:
    """The next things that the processes say."""
    heard: list[Acknowledged | Kept] = []
    put, take = trio.open_memory_channel[Acknowledged | Kept](0)
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


async def test_history_is_whole_and_the_same_on_all_nodes_after_they_were_killed(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    acknowledged: set[int] = set()
    try:
        with trio.fail_after(PATIENCE_S):
            for life in range(ROUNDS):
                heard = await hear(await processes.start(life, writers=4), ACKNOWLEDGED_A_ROUND)
                await processes.kill()
                assert len(heard) == ACKNOWLEDGED_A_ROUND, "a process ended by itself"
                acknowledged |= {said.revision for said in heard if isinstance(said, Acknowledged)}
            processes.lose_history(1)
            kept = await hear(await processes.start(ROUNDS, writers=0), 3)
    finally:
        with trio.CancelScope(shield=True):
            await processes.kill()
    states = [said for said in kept if isinstance(said, Kept)]
    assert len(states) == 3
    assert all((state.problems, state.gaps) == ([], 0) for state in states), states
    assert {state.digest for state in states} == {states[0].digest}, "two nodes have another history"
    assert {state.head for state in states} == {states[0].head}
    assert acknowledged <= set(states[0].revisions), "an acknowledged change is not in the history"
