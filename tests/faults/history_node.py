"""One node that keeps history, as a process: `python -m tests.faults.history_node '<json of Job>'`.

It says on stdout, one JSON line each, which revisions were acknowledged to it, and at last what history it has. It ends
when its stdin ends.
"""

import sys
from hashlib import blake2b
from pathlib import Path

import msgspec
import trio

import consensus.history
from consensus.codec import Codec
from consensus.history.integrity import verify
from consensus.history.links import Book, ChainState
from consensus.history.paging import missing
from consensus.history.reconcile import HistoryReconciler
from consensus.host.history_files import HistoryFiles
from consensus.host.peers import PeerClient, PeerServer
from consensus.host.raft import RaftNode
from consensus.host.tls import member_contexts
from consensus.log import OutcomeUnknown
from consensus.machine import Machine
from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import AdmitNode, LabelNode
from consensus.members.model import Node
from consensus.proposals import LogCluster
from noded.core.errors import Refused
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.service import PeerContext
from noded.peers import PeerCalls
from tests.logs import until

FILE_BYTES = 16 * 1024
CHECKPOINT_ENTRIES = 150
PATIENCE_S = 60.0


class Job(msgspec.Struct, kw_only=True):
    """Which node to be, and what to do."""

    node_id: str
    state: str
    listen: tuple[str, int]
    peers: dict[str, tuple[str, int]]
    founds: bool
    life: int
    writers: int
    calls_port: int
    hosts: dict[str, str]  # where each node, this one too, answers peer calls


class Acknowledged(msgspec.Struct, tag=True):
    """A change was acknowledged at this revision."""

    revision: int


class Kept(msgspec.Struct, tag=True):
    """What history this node has, after a read barrier and after it asked the others for what it missed."""

    head: str
    revisions: list[int]
    digest: str
    problems: list[str]
    gaps: int


def say(what: Acknowledged | Kept) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


class Member:
    """The node's parts, as the daemon puts them together."""

    def __init__(self, job: Job) -> None:
        self.job = job
        state, tls = Path(job.state), member_contexts(Path(job.state))
        codec = Codec(MEMBERS.commands, MEMBERS.records)
        self.book = HistoryFiles(state / "log" / "history", file_bytes=FILE_BYTES)
        self.machine = Machine(codec, self.book)
        client = PeerClient(tls, lambda node_id: (job.hosts[node_id],), port=job.calls_port)
        self.calls = PeerCalls(NodeId(job.node_id), (consensus.history.SERVICE,), client)
        self.server = PeerServer(NodeId(job.node_id), tls, self.calls.served())
        self.raft = RaftNode(
            job.node_id,
            state / "log",
            self.machine,
            tls=tls,
            listen=job.listen,
            found=job.founds,
            on_applied=lambda index: self.cluster.on_applied(index),  # noqa: PLW0108  # made below
            checkpoint_entries=CHECKPOINT_ENTRIES,
        )
        self.cluster = LogCluster(self.raft, self.machine, codec, self.calls)
        for node_id, address in job.peers.items():
            self.raft.set_peer(node_id, address)
        self.drivers = Drivers()
        self.drivers.add(Book, self.book)
        self.drivers.add(ChainState, self.machine)
        self.calls.ready(PeerContext(cluster=self.cluster, drivers=self.drivers))

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_with_parent, nursery.cancel_scope)
            await nursery.start(self.raft.run)
            await nursery.start(self.server.serve, [self.job.hosts[self.job.node_id]], self.job.calls_port)
            if self.job.founds:
                await self.admit()
            for writer in range(self.job.writers):
                nursery.start_soon(self.write, f"{self.job.life}.{writer}")
            if not self.job.writers:
                await self.tell()

    async def admit(self) -> None:
        """The founder makes members and voters of the others, in its first life."""
        await until(lambda: self.raft.is_leader, PATIENCE_S)
        for node_id in (self.job.node_id, *self.job.peers):
            admit = AdmitNode(
                node_id=NodeId(node_id),
                name=node_id[:8],
                addresses=(self.job.hosts[node_id],),
                fingerprint=node_id + "0" * 32,
                release="1",
                now_ms=1,
            )
            await self.cluster.propose(admit)
        for peer in self.job.peers:
            await self.raft.promote(peer)

    async def write(self, name: str) -> None:
        nodes = len(self.job.hosts)
        await until(lambda: len(self.raft.voters) == nodes and self.machine.picture.count(Node) == nodes, PATIENCE_S)
        number = 0
        while True:
            number += 1
            try:
                order = LabelNode(node_id=NodeId(self.job.node_id), labels={"note": f"{name}.{number}"})
                say(Acknowledged(int(await self.cluster.propose(order))))
            except (Refused, OutcomeUnknown):
                continue  # nothing was acknowledged, so nothing is owed

    async def tell(self) -> None:
        await self.raft.read_barrier(deadline_s=PATIENCE_S)
        reconciler = HistoryReconciler(self.cluster, self.drivers)
        with trio.fail_after(PATIENCE_S):
            while missing(self.book.spans(), self.machine.link) is not None:
                await reconciler.reconcile()
                await trio.sleep(0.05)
        link = self.machine.link
        verdict = verify(self.book, link, self.job.node_id)
        stretches = [self.book.stretch(span.base.revision) for span in self.book.spans()]
        lines = [line for stretch in stretches if stretch is not None for line in stretch.lines]
        digest = blake2b(b"".join(line.head + line.covered for line in lines)).hexdigest()
        problems = [f"{each.revision}: {each.what}" for each in verdict.problems]
        say(Kept(link.head.hex(), [line.revision for line in lines], digest, problems, len(verdict.gaps)))


async def be_member(job: Job) -> None:
    """The member is made where time is kept: its links note when they were told where a peer is."""
    await Member(job).run()


async def end_with_parent(scope: trio.CancelScope) -> None:
    async with trio.lowlevel.FdStream(sys.stdin.fileno()) as stdin:
        while await stdin.receive_some():
            pass
    scope.cancel()


if __name__ == "__main__":
    trio.run(be_member, msgspec.json.decode(sys.argv[1], type=Job))
