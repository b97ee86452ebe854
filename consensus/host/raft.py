"""How does a node take part in the replicated log? One loop that owns the core, its journal and its links.

    messages in ─► tick (elect, append, commit, apply) ─► entries out ─► fdatasync ─► acknowledgements and votes out

Everything that arrives during one fdatasync is made durable by the next: many writers share one. Nothing that promises
durability leaves before it. If fdatasync fails, the process must end.
"""

import random
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.host.applying import Applier, Waiter
from consensus.host.barrier import Barriers
from consensus.host.changing import Changes
from consensus.host.checkpointing import Checkpointing, Writing
from consensus.host.core import CHECKPOINT_ENTRIES, Core, beginning, founding_entries
from consensus.host.disk import DISK, Disk
from consensus.host.files import make_private_directory
from consensus.host.housekeeping import Housekeeping
from consensus.host.journal import Journal
from consensus.host.messages import encode
from consensus.host.rebirth import CHECKPOINT_NAME, JOURNAL_NAME, new_incarnation_id
from consensus.host.refusals import Refused, ignored
from consensus.host.requests import REQUEST_ID_BYTES, seal
from consensus.host.reserve import Reserve
from consensus.host.seams import EntryKind, Message, Node
from consensus.host.shelf import Shelf
from consensus.host.tls import TlsContexts
from consensus.host.transport import Links
from consensus.incarnation import Incarnation, agree
from consensus.log import MembershipRefused, NoRoom, NotLeader, OutcomeUnknown, StateMachine, StorageFailed, Superseded
from consensus.room import NO_LIMITS, Limits, LogRoom

__all__ = [
    "MembershipRefused",
    "NoRoom",
    "NotLeader",
    "OutcomeUnknown",
    "RaftNode",
    "StateMachine",
    "StorageFailed",
    "Superseded",
]

PAYLOAD_BYTES_MAX: Final = 256 * 1024  # an entry must fit one message and leave room for heartbeats
ATTEMPT_S_MAX: Final = 2.5
RETRY_S: Final = (0.02, 0.1)
INBOX_MESSAGES_MAX: Final = 64
MESSAGES_PER_TICK_MAX: Final = 500
BARRIER_AGAIN_S: Final = 0.05
RETIRE_S_MAX: Final = 2.0

_Heard = tuple[str, Message, Incarnation | None]  # from whom, what, and of which life of the log

log = structlog.get_logger(__name__)


class RaftNode:
    """One node's end of the replicated log; `consensus/log.py` says what it promises."""

    def __init__(
        self,
        node_id: str,
        directory: Path,
        machine: StateMachine,
        *,
        tls: TlsContexts,
        listen: tuple[str, int],
        found: bool,
        on_applied: Callable[[int], None],
        checkpoint_entries: int = CHECKPOINT_ENTRIES,
        limits: Limits = NO_LIMITS,
        disk: Disk = DISK,
        refused: Refused = ignored,
    ) -> None:
        """Open the log in `directory` and restore the state machine from its checkpoint.

        `found`: if the directory is empty, start a new cluster whose only voter is this node; else it is ignored.
        `limits`: how much of the disk is kept free. `refused` hears of connections from those who are no members.
        Raises JournalDamaged, JournalInUse, CheckpointRefused, OSError.
        """
        self._on_applied = on_applied
        self._applied_events: list[tuple[int, trio.Event]] = []
        self._held: list[tuple[str, bytes]] = []
        self._deferred: deque[Callable[[], None]] = deque()
        self._inbox_put, self._inbox = trio.open_memory_channel[_Heard](INBOX_MESSAGES_MAX)
        self._wake = trio.Event()
        self._told_applied = 1  # the first entry of every log, which says nothing
        self._linked_for: object = None
        self._told_leader: str | None = None
        self._failure: StorageFailed | Superseded | None = None
        self._is_stopped = False
        self._nursery: trio.Nursery | None = None
        self._sync_limiter = trio.CapacityLimiter(1)  # a busy thread pool must not delay what others wait for
        make_private_directory(directory)
        self._shelf = Shelf(directory / CHECKPOINT_NAME)
        self._applier = Applier(machine)
        self._reserve = Reserve(directory, disk, limits)
        make_room = self._reserve.give
        self._checkpointing = Checkpointing(self._shelf, self._applier, make_room=make_room)
        self._journal = Journal(
            directory / JOURNAL_NAME, fdatasync=disk.fdatasync, write=disk.write, make_room=make_room
        )
        try:
            self._core = self._open(node_id, found, checkpoint_entries)
        except BaseException:
            self._journal.close()
            raise
        self._changes = Changes(self._core, self._kick)
        self._housekeeping = Housekeeping(self._core, self._changes, self._reserve, self._kick)
        self._barriers = Barriers(self._core, self._send_now)
        self._links = self._make_links(tls, listen, refused)

    def _make_links(self, tls: TlsContexts, listen: tuple[str, int], refused: Refused) -> Links:
        return Links(
            self._core.me,
            tls,
            listen,
            wants=self._wants_link,
            receive=self._receive,
            link_up=self._link_up,
            link_down=self._link_down,
            incarnation=lambda: self._core.incarnation,
            superseded=self._superseded,
            refused=refused,
        )

    def _open(self, node_id: str, found: bool, checkpoint_entries: int) -> Core:
        if self._journal.torn_bytes:
            log.info("journal had a torn tail", bytes=self._journal.torn_bytes)
        if found and not self._shelf.path.exists() and not len(self._journal):
            for entry in founding_entries(node_id):
                self._journal.add(*entry)
            self._journal.add(beginning(Incarnation(1, new_incarnation_id())), len(self._journal) + 1, 0)
            self._journal.sync()
        self._checkpointing.load()
        apply = self._applier.apply
        return Core(node_id, self._journal, self._shelf, self, apply, checkpoint_entries=checkpoint_entries)

    # -- what this node knows

    @property
    def node_id(self) -> str:
        return self._core.me

    @property
    def is_leader(self) -> bool:
        return self._core.leads

    @property
    def leader_id(self) -> str | None:
        leader = self._core.leader_node
        return None if leader is None else str(leader.id)

    @property
    def term(self) -> int:
        return self._core.current_term

    @property
    def voters(self) -> frozenset[str]:
        """The voters of the newest configuration in this node's log."""
        return frozenset(self._core.voters)

    @property
    def learners(self) -> frozenset[str]:
        """Nodes with a link to this one and without a vote."""
        return frozenset(str(node.id) for node in self._core.learner_nodes)

    @property
    def applied_index(self) -> int:
        return self._core.applied

    @property
    def commit_index(self) -> int:
        return self._core.committed

    @property
    def newest(self) -> tuple[int, int]:
        """Index and term of the newest entry that this node holds, committed or not."""
        return self._core.last_index(), self._core.last_term()

    @property
    def incarnation(self) -> Incarnation | None:
        """Which life of the cluster's log this node takes part in; None until it knows."""
        return self._core.incarnation

    @property
    def room(self) -> LogRoom:
        """How the log's disk is here, and what keeps the cluster from writing."""
        return LogRoom(
            standing=self._core.standing,
            free_bytes=self._reserve.free_bytes,
            needed_bytes=self._reserve.low_bytes,
            reserve_bytes=self._reserve.held_bytes,
            checkpoint_fault=self._checkpointing.fault,
            stopped_by=dict(self._core.why_no_writes()),
        )

    def reachable(self) -> frozenset[str]:
        """Peers with a live, recently heard link. What it can't hear itself, a learner knows from the leader."""
        heard, core = self._links.reachable(), self._core
        if core.me in core.voters or core.leader_node is None or core.leader_node.id not in heard:
            return heard
        return heard | (core.leader_hears - core.voters - {core.me})

    # -- the address book

    def set_peer(self, node_id: str, address: tuple[str, int]) -> None:
        """Where a peer is found; may change at any time."""
        self._links.set_peer(node_id, address)

    def record_peer(self, node_id: str, address: tuple[str, int]) -> None:
        """Where a peer is by the records; tried too, whatever announcements say."""
        self._links.record_peer(node_id, address)

    def drop_peer(self, node_id: str) -> None:
        """Forget a peer: its links are closed and new ones refused."""
        self._links.drop_peer(node_id)

    # -- writing and reading

    async def propose(self, payload: bytes, *, deadline_s: float = 10.0, frees_room: bool = False) -> object:
        """Commit and apply `payload` exactly once; what `apply` answered on this node. Raises OutcomeUnknown, NoRoom.

        It is proposed again, under the same request id, until it is applied here or the deadline passes.
        """
        if (shortages := self._core.why_no_writes()) and not frees_room:
            raise NoRoom(shortages)
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise ValueError(f"an entry of {len(payload)} bytes is larger than the {PAYLOAD_BYTES_MAX} allowed")
        request_id = secrets.token_bytes(REQUEST_ID_BYTES)
        content = seal(request_id, self._core.applied, payload)
        with self._applier.waiting(request_id) as waiter, trio.move_on_after(deadline_s):
            while not waiter.is_settled:
                await self._attempt(waiter, content)
        if not waiter.is_applied:
            raise OutcomeUnknown(f"not applied on this node within {deadline_s} s")
        return waiter.result

    async def _attempt(self, waiter: Waiter, content: bytes) -> None:
        self._core.submit(EntryKind.REQUEST, content, waiter.attempt_done)
        self._kick()
        await waiter.wait(ATTEMPT_S_MAX)
        if not waiter.is_settled:
            await trio.sleep(random.uniform(*RETRY_S))  # noqa: S311  # spreads retries, guards nothing

    async def read_barrier(self, *, deadline_s: float = 5.0) -> int:
        """After this, local reads see every write acknowledged anywhere before the call. Raises OutcomeUnknown."""
        with trio.move_on_after(deadline_s):
            while not self._is_stopped:
                if (index := await self._barriers.index()) is not None:
                    await self._wait_applied(index)
                    return index
                await trio.sleep(BARRIER_AGAIN_S)
        raise OutcomeUnknown(f"no majority confirmed the read within {deadline_s} s")

    async def _wait_applied(self, index: int) -> None:
        if self._core.applied < index:
            event = trio.Event()
            self._applied_events.append((index, event))
            self._kick()
            await event.wait()

    # -- membership

    async def promote(self, node_id: str) -> None:
        """Make a learner a voter once it has caught up. Raises NotLeader, MembershipRefused, OutcomeUnknown."""
        await self._changes.promote(node_id)

    async def demote(self, node_id: str) -> None:
        """Make a voter a learner. Raises NotLeader, MembershipRefused, OutcomeUnknown."""
        await self._changes.demote(node_id)

    async def transfer_leadership(self, node_id: str | None) -> None:
        """Hand over to a voter (None: the one that has most). Raises NotLeader, MembershipRefused."""
        await self._changes.transfer_leadership(node_id)

    async def retire(self) -> None:
        """Before a planned end: hand over if this node leads, so that nobody has to wait for an election."""
        await self._housekeeping.hand_over(RETIRE_S_MAX)

    # -- running

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Raises OSError if the port is taken.

        Raises StorageFailed: then the process must end; Superseded: then the log in the directory is of the past.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await nursery.start(self._links.run)
                nursery.start_soon(self._loop)
                nursery.start_soon(self._housekeeping.run)
                task_status.started()
        finally:
            self._is_stopped = True
            self._applier.stop()
            self._shelf.close()
            self._journal.close()
        if self._failure is not None:
            raise self._failure

    async def _loop(self) -> None:
        core = self._core
        while True:
            with trio.move_on_after(core.due_in_s()):
                await self._wake.wait()
            self._wake = trio.Event()
            self._take_in()
            core.tick()
            self._after_tick()
            if self._journal.is_dirty and not await self._sync():
                return
            self._release()
            if core.must_tick_again:
                self._kick()
            await trio.lowlevel.checkpoint()

    def _kick(self) -> None:
        self._wake.set()

    def _take_in(self) -> None:
        while self._deferred:
            self._deferred.popleft()()
        for _ in range(MESSAGES_PER_TICK_MAX):
            try:
                node_id, message, incarnation = self._inbox.receive_nowait()
            except trio.WouldBlock:
                return
            # Asked message by message: the one before this may have been the first that said which life this log is of.
            if agree(self._core.incarnation, incarnation):
                self._deliver(node_id, message)
        self._kick()

    def _deliver(self, node_id: str, message: Message) -> None:
        match message["type"]:
            case "barrier_ask":
                assert self._nursery is not None
                self._nursery.start_soon(self._barriers.answer, node_id, message)
            case "barrier_index":
                self._barriers.on_index(message)
            case "barrier_ping":
                self._barriers.on_ping(node_id, message)
            case "barrier_pong":
                self._barriers.on_pong(node_id, message)
            case _:
                self._core.deliver(node_id, message)

    def _after_tick(self) -> None:
        core = self._core
        assert self._nursery is not None
        if core.wants_checkpoint:
            self._nursery.start_soon(self._write_checkpoint, self._checkpointing.capture(core.begin_checkpoint()))
        while core.installs:
            self._nursery.start_soon(self._install, core.installs.pop())
        if core.applied != self._told_applied:
            self._tell_applied()
        linked_for = (frozenset(core.voters), core.leader_node, core.incarnation)
        if linked_for != self._linked_for:
            self._linked_for = linked_for
            self._links.refresh()
        if self.leader_id != self._told_leader:
            self._told_leader = self.leader_id
            log.info("leader", leader=self._told_leader, term=self.term)

    def _tell_applied(self) -> None:
        self._told_applied = self._core.applied
        self._on_applied(self._told_applied)
        waiting, self._applied_events = self._applied_events, []
        for index, event in waiting:
            if index <= self._told_applied:
                event.set()
            else:
                self._applied_events.append((index, event))

    async def _sync(self) -> bool:
        try:
            await trio.to_thread.run_sync(self._journal.sync, limiter=self._sync_limiter)
        except StorageFailed as failure:
            self._end(failure)
            return False
        return True

    def _end(self, failure: StorageFailed | Superseded) -> None:
        assert self._nursery is not None
        self._failure = failure
        self._nursery.cancel_scope.cancel()

    # -- checkpoints

    async def _write_checkpoint(self, writing: Writing) -> None:
        self._defer(partial(self._core.end_checkpoint, await writing.run()))

    async def _install(self, leader: Node) -> None:
        header = await self._checkpointing.install(self._core.applied)
        self._defer(partial(self._core.end_install, leader, header))

    def _defer(self, act: Callable[[], None]) -> None:
        self._deferred.append(act)
        self._kick()

    # -- links

    def _wants_link(self, peer: str) -> bool:
        core = self._core
        leads_here = core.leader_node is not None and core.leader_node.id == peer
        return not core.voters or core.me in core.voters or peer in core.voters or leads_here

    async def _receive(self, node_id: str, message: Message, incarnation: Incarnation | None) -> None:
        await self._inbox_put.send((node_id, message, incarnation))
        self._kick()

    def _superseded(self, node_id: str, newer: Incarnation) -> None:
        self._end(Superseded(self._core.incarnation, newer, node_id))

    def _link_up(self, node_id: str) -> None:
        self._core.link_up(node_id)
        self._kick()

    def _link_down(self, node_id: str) -> None:
        self._core.link_down(node_id)
        self._kick()

    def post(self, node_id: str, message: object, *, when_durable: bool) -> None:
        """The core's outbox."""
        if when_durable:
            self._held.append((node_id, encode(message)))
        else:
            self._links.post(node_id, encode(message))

    def backlog(self, node_id: str) -> int:
        """The core's outbox."""
        return self._links.backlog(node_id)

    def _send_now(self, node_id: str, message: object) -> None:
        self._links.post(node_id, encode(message))

    def _release(self) -> None:
        held, self._held = self._held, []
        for node_id, body in held:
            self._links.post(node_id, body)
