"""What does one node know of the log, and what does it do with what it hears? The corrected pysyncobj.

No I/O but through the journal, the shelf and `Outbox`: the loop in `raft.py` owns sockets, threads and time.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import msgspec

from consensus.host.checkpoint import CheckpointRefused, Header
from consensus.host.journal import Journal
from consensus.host.messages import PROMISES
from consensus.host.replication import Replication
from consensus.host.seams import Entry, EntryKind, Failure, Message, Node, ProposalDone, Role, clock, settings_for
from consensus.host.shelf import Shelf
from consensus.incarnation import UNNAMED, Incarnation
from consensus.room import Shortage, Standing, shortages_that_stop

# Elections after 1-2 s of silence: short enough for clients, long enough for a slow disk under load.
TIMING: Final = {
    "raftMinTimeout": 1.0,
    "raftMaxTimeout": 2.0,
    "appendEntriesPeriod": 0.3,
    "leaderFallbackTimeout": 1.5,
    "connectionTimeout": 4.0,
    "appendEntriesBatchSizeBytes": 256 * 1024,
    "commandsQueueSize": 20_000,
}
CHECKPOINT_ENTRIES: Final = 5000
CHECKPOINT_BYTES: Final = 24 * 1024 * 1024
CHECKPOINT_RETRY_S: Final = 30.0
HANDOVER_S: Final = 1.0

_decode_incarnation = msgspec.msgpack.Decoder(Incarnation).decode
_decode_change = msgspec.msgpack.Decoder(tuple[str, str]).decode


class Outbox(Protocol):
    """Where messages go. One for a node without a link is dropped: the protocol repeats what matters."""

    def post(self, node_id: str, message: object, *, when_durable: bool) -> None:
        """Send now, or after the next sync of the journal."""

    def backlog(self, node_id: str) -> int:
        """How many bytes wait to be sent."""


def founding_entries(first_voter: str) -> list[Entry]:
    """The log with which a cluster is born. Only these make a voter that no other voter admitted."""
    return [(bytes([EntryKind.NOTHING]), 1, 0), (change_of_voters("add", first_voter), 2, 0)]


def beginning(incarnation: Incarnation) -> bytes:
    """The command of the entry that begins a life of the log. Written only where a log begins, never proposed."""
    return bytes([EntryKind.INCARNATION]) + msgspec.msgpack.encode(incarnation)


def incarnation_in(entries: Iterable[Entry], before: Incarnation | None) -> Incarnation | None:
    """The life that these entries belong to; `before`: what the log said until then."""
    for command, _, _ in entries:
        if command[0] == EntryKind.INCARNATION:
            before = _decode_incarnation(command[1:])
    return before


def voters_in(entries: Iterable[Entry], before: Iterable[str]) -> set[str]:
    """Who votes after these entries; `before`: who did until then."""
    voters = set(before)
    for command, _, _ in entries:
        if command[0] == EntryKind.MEMBERSHIP:
            kind, node_id = _decode_change(command[1:])
            (voters.add if kind == "add" else voters.discard)(node_id)
    return voters


class Core(Replication):
    """One node's share of the log. Everything here is synchronous and called from one task."""

    def __init__(
        self,
        me: str,
        journal: Journal,
        shelf: Shelf,
        outbox: Outbox,
        apply: Callable[[int, bytes], object],
        *,
        checkpoint_entries: int = CHECKPOINT_ENTRIES,
    ) -> None:
        """Raises CheckpointRefused when journal and checkpoint do not continue each other."""
        self.journal = journal
        self.shelf = shelf
        self._outbox = outbox
        self._apply = apply
        self._checkpoint_entries = checkpoint_entries
        self.standing = Standing.ENOUGH
        self.shortage = None
        self.stopped_by = {}
        self.short = {}
        self.leader_hears = frozenset()
        self._told_up = {}
        self._probing = {}
        self._told = {}
        self._removals = {}
        self.wants_replication = False
        self.is_installing = False
        self.is_checkpointing = False
        self.wants_checkpoint = False
        self.installs: list[Node] = []
        self._replicated = (0, 0, 0)
        self._checkpoint_not_before = 0.0
        self._handover_until = 0.0
        header = shelf.header()
        self._checkpoint_index = header.index if header is not None else 0
        self._join_journal_to(header)
        self.voters = self._voters_since(header)
        self._incarnation = self._incarnation_since(header)
        super().__init__(me, frozenset(self.voters), settings_for(journal, **TIMING), self._send_stock)
        if header is not None:
            self.applied = header.index
            self.committed = max(self.committed, header.index)
        if self.voters == {me}:
            self.election_deadline = 0.0  # nobody else can lead, so there is nothing to wait for

    # -- what the loop calls

    @property
    def me(self) -> str:
        return str(self.self_node.id)

    @property
    def leads(self) -> bool:
        return self.role == Role.LEADER

    @property
    def incarnation(self) -> Incarnation | None:
        """Which life of the log this node takes part in; None as long as it holds nothing of one."""
        return self._incarnation or (UNNAMED if self.voters else None)

    def deliver(self, node_id: str, message: Message) -> None:
        """Take in what another node said."""
        node = Node(node_id)
        match message["type"]:
            case "append":
                self.on_append(node, message)
            case "append_reply":
                self.on_append_reply(node, message)
            case "checkpoint_chunk":
                self.on_checkpoint_chunk(node, message)
            case "pre_vote":
                self.on_pre_vote(node, message)
            case "pre_vote_reply":
                self.on_pre_vote_reply(node, message)
            case "timeout_now" if not self.may_campaign():
                pass
            case "apply_command" if _kind_of(message) not in (EntryKind.REQUEST, EntryKind.MEMBERSHIP):
                pass  # nobody but the log itself says where it begins
            case _:
                self.stock_receive(node, message)

    def tick(self) -> None:
        """Do all that is due. What must be durable before others hear of it is in the journal afterwards."""
        self.campaign_when_due()
        self.stock_tick()
        if self.leads:
            self._see_whether_writes_stop()
            state = (self.last_index(), self.committed, self.current_term)
            if state != self._replicated or self.wants_replication:
                self._replicated = state
                self.replicate()

    def due_in_s(self) -> float:
        """When the next tick is due if nothing is heard before."""
        deadline = self.heartbeat_due if self.leads else self.election_deadline
        return min(max(0.001, deadline - clock() + 0.001), 1.0)

    @property
    def must_tick_again(self) -> bool:
        """Whether the journal's sync alone lets something be committed: then nobody's message will say so."""
        return self.leads and not self.other_voters and self.committed < self.last_index()

    def link_up(self, node_id: str) -> None:
        """Messages to that node now arrive, or the link breaks."""
        node = Node(node_id)
        self._forget_conversation(node)
        if node in self.other_voters:
            self.stock_voter_linked(node)
        else:
            self.stock_learner_linked(node)
        self.wants_replication = True

    def link_down(self, node_id: str) -> None:
        """What was sent last may not have arrived."""
        node = Node(node_id)
        self._forget_conversation(node)
        if node in self.other_voters:
            self.stock_voter_unlinked(node)
        else:
            self.stock_learner_unlinked(node)
        if node == self.leader_node:
            self.forget_forwards()

    def _forget_conversation(self, node: Node) -> None:
        self._probing.pop(node, None)
        self._told.pop(node, None)
        self._told_up.pop(node, None)
        self.short.pop(str(node.id), None)
        self.shelf.stop_sending(node)

    def submit(self, kind: EntryKind, content: bytes, done: ProposalDone) -> None:
        leader = self.leader_node
        if not self.leads and leader is not None and leader not in self.linked_nodes:
            done(None, Failure.MISSING_LEADER)  # forwarded into the void, it would only time out
        else:
            super().submit(kind, content, done)

    # -- hooks of the skeleton

    def send(self, node: Node, message: object) -> None:
        self._send_stock(node.id, message)

    def _send_stock(self, node_id: str, message: object) -> None:
        assert isinstance(message, dict)
        # A term that a crash may take back must not be heard: a second life would use it for other entries.
        when_durable = message["type"] in PROMISES or not self.journal.term_is_durable
        self._outbox.post(node_id, message, when_durable=when_durable)

    def backlog(self, node: Node) -> int:
        return self._outbox.backlog(node.id)

    def may_campaign(self) -> bool:
        # Who votes alone leads even on a full disk: it takes no writes, but answers what needs a leader.
        has_room = self.standing is not Standing.FULL or self.voters == {self.me}
        return self.me in self.voters and not self.is_installing and has_room

    def yields(self) -> bool:
        return self.standing is Standing.LOW

    # -- room on the disks

    def set_room(self, standing: Standing, shortage: Shortage | None) -> None:
        """How much room this node's disk has now."""
        self.standing, self.shortage = standing, shortage

    def successors(self) -> list[str]:
        """The voters who could lead with room on their disks, the one with most of the log first."""
        able = [node for node in self.other_voters if node in self.linked_nodes and node.id not in self.short]
        return [node.id for node in sorted(able, key=lambda node: (-self.match_index.get(node, 0), node.id))]

    def why_no_writes(self) -> Mapping[str, Shortage]:
        """Whose disks keep the cluster from taking writes, as far as this node knows."""
        if not self.stopped_by and self.leader_node is None and self.standing is Standing.FULL:
            assert self.shortage is not None, "a full disk lacks room"
            return {self.me: self.shortage}  # nobody leads, and this node's own disk may be why
        return self.stopped_by

    def _see_whether_writes_stop(self) -> None:
        short = {node_id: shortage for node_id, (_, shortage) in self.short.items()}
        if self.shortage is not None:
            short[self.me] = self.shortage
        linked = {node.id for node in self.linked_nodes}
        stopped_by = shortages_that_stop(self.me, self.voters, linked, short) if short else {}
        if stopped_by.keys() != self.stopped_by.keys():
            self.wants_replication = True
            self._told.clear()  # everybody hears of it now, and not with the next heartbeat
        self.stopped_by = stopped_by

    def become_leader(self) -> None:
        self._probing.clear()
        self._told.clear()
        self._told_up.clear()
        self.short.clear()
        self._removals = self._uncommitted_removals()
        self.stock_become_leader()

    def apply_entry(self, index: int, command: bytes) -> object:
        if command[0] == EntryKind.REQUEST:
            return self._apply(index, command[1:])
        return None

    def _checkCommandsToApply(self) -> None:  # noqa: N802  # pysyncobj's name
        # While leadership is handed over, new entries would keep the successor from ever having them all.
        if self.leads and self.standing is Standing.FULL:
            return  # they wait until there is room, or their proposers give up
        if not self.leads or clock() >= self._handover_until:
            super()._checkCommandsToApply()

    # -- voters: one change at a time, in force as soon as it is in the log

    def membership_request(self, command: bytes) -> tuple[str, str, Node] | None:
        if command[0] != EntryKind.MEMBERSHIP:
            return None
        kind, node_id = _decode_change(command[1:])
        return kind, node_id, Node(node_id)

    def admit_change(self, request: tuple[str, str, Node]) -> bool:
        kind, node_id, node = request
        own = self.first_own_index
        # Before an entry of the own term is committed, an older leader's change may still be undecided (Ongaro 2015).
        if own is None or self.applied < own or self._change_is_pending():
            return False
        if (kind == "add") == (node_id in self.voters) or (kind == "rem" and node_id == self.me):
            return False
        if kind == "rem":
            self._removals = {node: self.last_index() + 1}  # earlier ones are committed
        self._change_voters(request, reverse=False)
        return True

    def propose_change(self, kind: str, node_id: str, done: ProposalDone) -> None:
        """Queue a change of voters."""
        self.submit(EntryKind.MEMBERSHIP, change_of_voters(kind, node_id)[1:], done)

    def hand_over(self, node_id: str | None, done: ProposalDone) -> None:
        """Let a voter that has the whole log take over; denied as long as none has."""
        self._handover_until = clock() + HANDOVER_S
        self.stock_hand_over(None if node_id is None else Node(node_id), done)

    def end_handover(self) -> None:
        """Take proposals again."""
        self._handover_until = 0.0

    def note_appended(self, entry: Entry) -> None:
        self._incarnation = incarnation_in([entry], self._incarnation)
        if (request := self.membership_request(entry[0])) is not None:
            self._change_voters(request, reverse=False)

    def note_cut(self, entry: Entry) -> None:
        if entry[0][0] == EntryKind.INCARNATION:
            header = self.shelf.header()
            held = [one for one in self.journal.since(self._checkpoint_index + 1) if one[1] < entry[1]]
            self._incarnation = incarnation_in(held, header.incarnation if header is not None else None)
        if (request := self.membership_request(entry[0])) is not None:
            self._change_voters(request, reverse=True)

    def _uncommitted_removals(self) -> dict[Node, int]:
        """What a new leader must assume: it may know less of what is committed than those who lost their vote."""
        requests = ((self.membership_request(entry[0]), entry[1]) for entry in self.journal.since(self.committed + 1))
        return {request[2]: index for request, index in requests if request is not None and request[0] == "rem"}

    def _change_is_pending(self) -> bool:
        return any(entry[0][0] == EntryKind.MEMBERSHIP for entry in self.journal.since(self.committed + 1))

    def _change_voters(self, request: tuple[str, str, Node], *, reverse: bool) -> None:
        kind, node_id, node = request
        adds = (kind == "add") != reverse
        matched = self.match_index.get(node, 0)
        (self.voters.add if adds else self.voters.discard)(node_id)
        self.stock_change_voters(request, reverse)
        if node_id == self.me:
            return
        if adds:
            self.learner_nodes.discard(node)
            self.match_index[node] = matched  # it goes on where it was as a learner
        elif node in self.linked_nodes:
            self.stock_learner_linked(node)

    def _voters_since(self, header: Header | None) -> set[str]:
        """The voters of the newest configuration: the checkpoint's, changed by the entries behind it."""
        return voters_in(self.journal.since(self._checkpoint_index + 1), header.voters if header is not None else ())

    def _incarnation_since(self, header: Header | None) -> Incarnation | None:
        before = header.incarnation if header is not None else None
        return incarnation_in(self.journal.since(self._checkpoint_index + 1), before)

    def _applied_voters(self) -> set[str]:
        voters = set(self.voters)
        for entry in reversed(self.journal.since(self.applied + 1)):
            if (request := self.membership_request(entry[0])) is not None:
                (voters.discard if request[0] == "add" else voters.add)(request[1])
        return voters

    # -- checkpoints

    def compact_when_due(self) -> None:
        grown = self.applied - self._checkpoint_index
        is_large = self.journal.content_bytes > CHECKPOINT_BYTES and grown >= self._checkpoint_entries // 50
        is_free = not (self.is_checkpointing or self.is_installing)
        if (grown >= self._checkpoint_entries or is_large) and is_free and clock() >= self._checkpoint_not_before:
            self.wants_checkpoint = True

    def begin_checkpoint(self) -> Header:
        """The place in the log where the state machine stands now."""
        self.wants_checkpoint = False
        self.is_checkpointing = True
        previous, last = self.journal.at(self.applied - 1), self.journal.at(self.applied)
        assert previous is not None, "the newest applied entries are held"
        assert last is not None, "the newest applied entries are held"
        voters = tuple(sorted(self._applied_voters()))
        # A life begins with the log itself, so all that is applied belongs to the one that the newest entry is of.
        return Header(previous=previous, last=last, voters=voters, incarnation=self._incarnation)

    def end_checkpoint(self, header: Header | None) -> None:
        """It is durable, so the log before it can go; None: it failed, try again later."""
        self.is_checkpointing = False
        if header is None:
            self._checkpoint_not_before = clock() + CHECKPOINT_RETRY_S
        else:
            self._checkpoint_index = max(self._checkpoint_index, header.index)
            # A follower that lags by no more than the trail is served from the log, and not by a checkpoint.
            self.journal.trim(header.index - 1, self._checkpoint_entries * 2 // 5)

    def checkpoint_received(self, leader: Node) -> None:
        self.installs.append(leader)

    def end_install(self, leader: Node, header: Header | None) -> None:
        """The state machine now is what the checkpoint says; None: it was refused, or nothing new."""
        self.is_installing = False
        if header is None:
            return
        self._checkpoint_index = header.index
        self._join_journal_to(header)
        self.applied = header.index
        self.committed = max(self.committed, header.index)
        self.journal.set_commit_hint(self.committed)
        self._incarnation = self._incarnation_since(header)
        self._replace_voters(self._voters_since(header))
        self.give_up_waiting(header.index)
        self.reply_installed(leader)

    def _replace_voters(self, voters: set[str]) -> None:
        for node_id in sorted(self.voters - voters):
            self._change_voters(("rem", node_id, Node(node_id)), reverse=False)
        for node_id in sorted(voters - self.voters):
            self._change_voters(("add", node_id, Node(node_id)), reverse=False)

    def _join_journal_to(self, header: Header | None) -> None:
        """Make the journal continue the checkpoint: keep it if it holds the checkpoint's last entry."""
        if header is None:
            if len(self.journal) and self.journal.first_index > 1:
                raise CheckpointRefused(f"{self.shelf.path} is missing, and the journal starts later")
            return
        if len(self.journal) and self.journal.first_index > header.index:
            raise CheckpointRefused(f"{self.shelf.path} is older than the start of the journal")
        held = self.journal.at(header.index)
        if held is None or held[2] != header.last[2]:
            self.journal.clear()
            self.journal.add(*header.previous)
            self.journal.add(*header.last)


def _kind_of(message: Message) -> int | None:
    command = message["command"]
    assert isinstance(command, bytes), "its form was checked where it came in"
    return command[0] if command else None


def change_of_voters(kind: str, node_id: str) -> bytes:
    """The command of an entry that adds a voter (`add`) or removes one (`rem`)."""
    return bytes([EntryKind.MEMBERSHIP]) + msgspec.msgpack.encode((kind, node_id))
