"""One node of a log as a process: `python -m tests.faults.log_node '<json of Job>'`.

It says on stdout, one JSON line each, what was acknowledged to it; it ends when its stdin ends.
"""

import sys
from pathlib import Path

import msgspec
import trio

from consensus.host.raft import RaftNode
from consensus.host.tls import member_contexts
from consensus.log import OutcomeUnknown
from tests.logs import Ledger, until


class Job(msgspec.Struct, kw_only=True):
    """Which node to be, and what to do."""

    node_id: str
    state: str
    listen: tuple[str, int]
    peers: dict[str, tuple[str, int]]
    founds: bool
    life: int
    writers: int


class Acknowledged(msgspec.Struct, tag=True):
    """This payload was acknowledged."""

    payload: str


class State(msgspec.Struct, tag=True):
    """Everything that this node has applied, after a read barrier."""

    index: int
    payloads: list[str]


def say(what: Acknowledged | State) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


async def be_node(job: Job) -> None:
    machine = Ledger()
    node = RaftNode(
        job.node_id,
        Path(job.state) / "raft",
        machine,
        tls=member_contexts(Path(job.state)),
        listen=job.listen,
        found=job.founds,
        on_applied=lambda _index: None,
        checkpoint_entries=200,
    )
    for node_id, address in job.peers.items():
        node.set_peer(node_id, address)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        nursery.start_soon(end_with_parent, nursery.cancel_scope)
        if job.founds:
            nursery.start_soon(admit, node, list(job.peers))
        for writer in range(job.writers):
            nursery.start_soon(write, node, f"{job.node_id[:4]}.{job.life}.{writer}", len(job.peers) + 1)
        if not job.writers:
            index = await node.read_barrier(deadline_s=30)
            say(State(index, [payload.decode() for payload in machine.payloads]))


async def end_with_parent(scope: trio.CancelScope) -> None:
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
        while await stdin.receive_some():
            pass
    scope.cancel()


async def admit(node: RaftNode, peers: list[str]) -> None:
    """The founder makes voters of the others, in its first life."""
    await until(lambda: node.is_leader)
    for peer in peers:
        await node.promote(peer)


async def write(node: RaftNode, name: str, voters: int) -> None:
    await until(lambda: len(node.voters) == voters)
    number = 0
    while True:
        payload = f"{name}.{number}"
        try:
            await node.propose(payload.encode(), deadline_s=5)
        except OutcomeUnknown:
            pass
        else:
            say(Acknowledged(payload))
        number += 1


if __name__ == "__main__":
    trio.run(be_node, msgspec.json.decode(sys.argv[1], type=Job))
