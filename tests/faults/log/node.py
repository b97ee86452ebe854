"""One node of a fault test as a process: `python -m tests.faults.log.node '<json of Job>'`."""

import sys
from contextlib import suppress
from pathlib import Path

import msgspec
import trio

from consensus.host.raft import RaftNode
from consensus.host.tls import member_contexts
from consensus.log import MembershipRefused, NotLeader, OutcomeUnknown
from consensus.machine import Machine
from consensus.proposals import LogCluster
from consensus.room import Limits
from noded.core import errors
from noded.core.ids import NodeId
from noded.core.store import View
from tests.faults.log import builds
from tests.faults.log.registers import CompareAndSet, Forget, Register, codec, history
from tests.faults.log.wire import (
    Answer,
    Ask,
    Demote,
    Done,
    Drop,
    Get,
    HandOver,
    Held,
    Job,
    Lines,
    Look,
    Meet,
    No,
    Promote,
    Set,
    Standing,
    Tell,
    Told,
    Unclear,
    decode_ask,
)

CHECKPOINT_ENTRIES = 250
CONTROL_S_MAX = 20.0


class NoPeers:
    """Nodes of these tests ask one another nothing beside the log."""

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        raise errors.Unavailable("This node serves no peer calls.")


class Served:
    """A node and what may be asked of it."""

    def __init__(self, job: Job) -> None:
        encodings = codec()
        self._machine = Machine(encodings)
        self._reads_locally = job.build == builds.LOCAL_READS
        self.raft: RaftNode = builds.node_class(job.build)(
            job.node_id,
            Path(job.state) / "log",
            self._machine,
            tls=member_contexts(Path(job.state)),
            listen=job.listen,
            found=job.founds,
            on_applied=lambda index: self.cluster.on_applied(index),  # noqa: PLW0108  # made below
            checkpoint_entries=CHECKPOINT_ENTRIES,
            limits=Limits(),
            disk=builds.disk(job.build),
        )
        self.cluster = LogCluster(self.raft, self._machine, encodings, NoPeers())
        self._meet(job.peers, [])

    def _meet(self, peers: dict[str, tuple[str, int]], gone: list[str]) -> None:
        for node_id, address in peers.items():
            if node_id != self.raft.node_id:
                self.raft.set_peer(node_id, address)
        for node_id in gone:
            self.raft.drop_peer(node_id)

    async def answer(self, asked: Ask) -> Answer:
        """Total: whatever comes of it is an answer."""
        within_s = asked.within_s if isinstance(asked, Set | Get) else CONTROL_S_MAX
        with trio.move_on_after(within_s):
            try:
                return await self._answer(asked)
            except (errors.OutcomeUnknown, OutcomeUnknown) as unknown:
                return Unclear(str(unknown))
            except errors.Conflict as refused:
                return No(refused.message, int(refused.code))
            except (errors.Refused, MembershipRefused, NotLeader) as refused:
                return No(str(refused))
        return Unclear(f"not within {within_s} s")

    async def _answer(self, asked: Ask) -> Answer:
        match asked:
            case Set():
                command = CompareAndSet(
                    register=asked.register, epoch=asked.epoch, expected=asked.expected, value=asked.value
                )
                await self.cluster.propose(command)
                return Held(asked.expected + 1, asked.value)
            case Get():
                held = (await self._view()).get(Register, asked.register)
                return Held(0, "") if held is None else Held(held.version, held.value)
            case Drop():
                await self.cluster.propose(Forget(epoch=asked.epoch))
            case Tell():
                view = self.cluster.view() if asked.anyhow else await self.cluster.fresh_view()
                return Told(history(view, asked.epoch))
            case Look():
                raft = self.raft
                return Standing(raft.term, raft.is_leader, raft.leader_id, sorted(raft.voters), raft.applied_index)
            case Meet():
                self._meet(asked.peers, asked.gone)
            case Promote():
                await self.raft.promote(asked.node_id)
            case Demote():
                await self.raft.demote(asked.node_id)
            case HandOver():
                await self.raft.transfer_leadership(None)
        return Done()

    async def _view(self) -> View:
        return self.cluster.view() if self._reads_locally else await self.cluster.fresh_view()

    async def serve(self, stream: trio.SocketStream) -> None:
        """One caller's requests, one after the other."""
        lines = Lines(stream)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while line := await lines.next():
                await lines.send(await self.answer(decode_ask(line)))
        await trio.aclose_forcefully(stream)


async def be_node(job: Job) -> None:
    """Run until killed, or until the disk fails."""
    served = Served(job)
    path = Path(job.socket)
    path.unlink(missing_ok=True)
    listener = trio.socket.socket(trio.socket.AF_UNIX)
    async with trio.open_nursery() as nursery:
        await nursery.start(served.raft.run)
        await listener.bind(str(path))
        listener.listen(64)
        await trio.serve_listeners(served.serve, [trio.SocketListener(listener)])


if __name__ == "__main__":
    trio.run(be_node, msgspec.json.decode(sys.argv[1], type=Job))
