"""How does every follower come to hold the leader's log? Appends, acknowledgements, checkpoints.

Differs from stock where that loses data or floods: a follower cuts its log only where an entry conflicts; replies carry
their term, so that one from an earlier term counts for nothing; after a rejection the leader probes with empty appends,
one at a time, until the logs meet; what is in flight to one follower is bounded.
"""

from typing import Final, cast

from consensus.host.elections import Elections
from consensus.host.journal import Journal
from consensus.host.messages import Append, AppendReply, CheckpointChunk
from consensus.host.seams import Entry, Message, Node, Role, clock
from consensus.host.shelf import Chunk, Shelf
from consensus.room import Shortage, Standing

IN_FLIGHT_BYTES_MAX: Final = 2 * 1024 * 1024
LEARNER_HEARTBEAT_S: Final = 0.5  # voters need the leader's heartbeat more often: theirs are the elections


class SafetyViolated(Exception):  # noqa: N818
    """Two leaders committed different entries at one index. This node must stop before it spreads."""


class Replication(Elections):
    """The skeleton with replication of our own. Subclasses bring the journal, the shelf and the links."""

    journal: Journal
    shelf: Shelf
    wants_replication: bool
    is_installing: bool
    _probing: dict[Node, float]  # followers whose log does not meet ours yet, and when each was asked last
    _told: dict[Node, tuple[int, float]]  # the commit index that each follower heard last, and when
    standing: Standing  # how much room this node's disk has
    shortage: Shortage | None
    stopped_by: dict[str, Shortage]  # whose disks keep the cluster from taking writes, as the leader says
    short: dict[str, tuple[Standing, Shortage]]  # which followers told this leader that they lack room
    leader_hears: frozenset[str]
    _told_up: dict[Node, frozenset[str]]  # what each learner heard last of who is up
    _removals: dict[Node, int]  # who was last seen to lose its vote at which index, maybe not committed yet

    def backlog(self, node: Node) -> int:
        """How many bytes wait to be sent to that node."""
        raise NotImplementedError

    def checkpoint_received(self, leader: Node) -> None:
        """The last chunk is here: verify and install."""
        raise NotImplementedError

    def lose_leader(self) -> None:
        super().lose_leader()
        self.stopped_by = {}

    # -- the leader's side

    def replicate(self) -> None:
        """Tell every follower what it does not have yet, and that this node leads."""
        self.heartbeat_due = clock() + self.conf.appendEntriesPeriod
        self.wants_replication = False
        for node in sorted(self.other_voters | self.learner_nodes, key=lambda node: str(node.id)):
            if node in self.linked_nodes and node in self.next_index:
                self._feed(node)

    def _feed(self, node: Node) -> None:
        if self._is_full(node):
            if self._heartbeat_is_due(node):
                self._append_nothing(node)
        elif self.next_index[node] <= self.journal.first_index:
            self._feed_checkpoint(node)
        elif node in self._probing:
            self._probe(node)
        else:
            self._feed_entries(node)

    def _feed_entries(self, node: Node) -> None:
        said = False
        while self.backlog(node) < IN_FLIGHT_BYTES_MAX and (entries := self._batch(node)):
            self._append(node, entries)
            self.next_index[node] = entries[-1][1] + 1
            said = True
        if not said and self._heartbeat_is_due(node):
            self._append(node, [])

    def _is_full(self, node: Node) -> bool:
        told = self.short.get(node.id)
        return told is not None and told[0] is Standing.FULL

    def _append_nothing(self, node: Node) -> None:
        """Say that this node leads, to one that takes no entries: nothing is asked that it would have to reject."""
        self.next_index[node] = max(self.match_index[node] + 1, self.journal.first_index + 1)
        self._append(node, [])

    def _probe(self, node: Node) -> None:
        """Ask again whether the logs meet, but not more often than heartbeats are due."""
        if clock() - self._probing[node] >= self.conf.appendEntriesPeriod:
            self._probing[node] = clock()
            self._append(node, [])

    def _feed_checkpoint(self, node: Node) -> None:
        said = False
        while self.backlog(node) < IN_FLIGHT_BYTES_MAX and (chunk := self.shelf.next_chunk(node)) is not None:
            self._send_chunk(node, chunk)
            said = True
            if chunk.last:
                self.next_index[node] = self.shelf.finish_sending(node) + 1
                break
        if not said and self._heartbeat_is_due(node):
            self._send_chunk(node, None)

    def _heartbeat_is_due(self, node: Node) -> bool:
        commit_index, at = self._told.get(node, (-1, 0.0))
        # News for one follower must not cost the others a message each time.
        patience_s = LEARNER_HEARTBEAT_S if node in self.learner_nodes else self.conf.appendEntriesPeriod / 2
        return commit_index != self.committed or clock() - at >= patience_s

    def _batch(self, node: Node) -> list[Entry]:
        """What that node needs next, as far as it fits one message; at least one entry, if there is one."""
        start = self.next_index[node] - self.journal.first_index
        size, batch = 0, list[Entry]()
        for position in range(start, self._end_for(node) - self.journal.first_index):
            entry = self.journal[position]
            size += len(entry[0])
            if batch and size > self.conf.appendEntriesBatchSizeBytes:
                break
            batch.append(entry)
        return batch

    def _end_for(self, node: Node) -> int:
        """Behind the last entry that this node may have now.

        Who loses its vote hears of that when it is committed. Before, its vote may still be needed: if the leader dies,
        a node that holds the longest log and believes that it may not stand would let nobody else win.
        """
        removal = self._removals.get(node, 0)
        if removal > self.committed and node not in self.other_voters:
            return removal
        return self.last_index() + 1

    def _append(self, node: Node, entries: list[Entry]) -> None:
        """Send entries that follow on what the node is believed to have."""
        previous = self.journal.at(self.next_index[node] - 1)
        assert previous is not None, "the entry before the next one is held, or a checkpoint would be sent"
        self._told[node] = (self.committed, clock())
        message = Append(
            type="append",
            term=self.current_term,
            commit_index=self.committed,
            previous_index=previous[1],
            previous_term=previous[2],
            entries=entries,
        )
        if node in self.learner_nodes and self._told_up.get(node) != (up := self._hears()):
            self._told_up[node] = up
            message["up"] = sorted(up)
        if self.stopped_by:
            message["short"] = {voter: (shortage.free, shortage.needed) for voter, shortage in self.stopped_by.items()}
        self.send(node, message)

    def _hears(self) -> frozenset[str]:
        return frozenset(str(node.id) for node in self.linked_nodes)

    def _send_chunk(self, node: Node, chunk: Chunk | None) -> None:
        self._told[node] = (self.committed, clock())
        message = CheckpointChunk(
            type="checkpoint_chunk",
            term=self.current_term,
            commit_index=self.committed,
            chunk=None if chunk is None else (chunk.data, chunk.first, chunk.last),
        )
        self.send(node, message)

    def on_append_reply(self, node: Node, message: Message) -> None:
        """A follower says how far its log agrees."""
        reply = cast(AppendReply, message)
        if reply["term"] > self.current_term:
            self.step_down(reply["term"])
            return
        if reply["term"] < self.current_term or self.role != Role.LEADER or node not in self.match_index:
            return
        self.answered_at[node] = clock()
        self._note_room(node, reply.get("room"))
        if "matched" in reply:
            self._matched(node, reply["matched"], start_over=reply.get("start_over", False))
        elif "rejected" in reply:
            self._rejected(node, reply["rejected"], reply.get("hint", 1))
        elif self.shelf.is_sending(node):
            self.wants_replication = True

    def _note_room(self, node: Node, room: tuple[int, int, int] | None) -> None:
        was_full = self._is_full(node)
        if room is None:
            self.short.pop(node.id, None)
        else:
            self.short[node.id] = (Standing(room[0]), Shortage(*room[1:]))
        if was_full and not self._is_full(node):
            self._probing[node] = 0.0
            self.wants_replication = True

    def _matched(self, node: Node, index: int, *, start_over: bool) -> None:
        self._probing.pop(node, None)
        self.match_index[node] = max(self.match_index[node], index)
        following = self.match_index[node] + 1
        if start_over or self.next_index[node] < following:
            self.next_index[node] = following
        if self.next_index[node] <= self.last_index():
            self.wants_replication = True

    def _rejected(self, node: Node, index: int, hint: int) -> None:
        # Several appends may be in flight when the first is rejected. Only the answer to the one that asks the
        # current question moves the question; acting on a late one would send the leader back and forth for ever.
        probed = self.next_index[node] - 1 if node in self._probing else index
        if index < self.match_index[node] or index != probed:
            return
        if index == self.match_index[node]:
            # It said once that it holds this entry: its log was emptied. What it counted for is committed already.
            self.match_index[node] = 0
        self.next_index[node] = max(hint, self.match_index[node] + 1)
        self._probing[node] = 0.0
        self.wants_replication = True

    # -- the follower's side

    def on_append(self, leader: Node, message: Message) -> None:
        """Make the log agree with the leader's, and say how far it does."""
        asked = cast(Append, message)
        if not self.follow(leader, asked["term"]) or self.is_installing:
            self._reply(leader, {})
            return
        self.leader_committed = asked["commit_index"]
        self.stopped_by = {voter: Shortage(*shortage) for voter, shortage in asked.get("short", {}).items()}
        if "up" in asked:
            self.leader_hears = frozenset(asked["up"])
        previous = asked["previous_index"]
        if (mismatch := self._mismatch(previous, asked["previous_term"])) is not None:
            self._reply(leader, {"rejected": previous, "hint": mismatch})
            return
        # What stands before the log is in the checkpoint, so it was committed: the logs agree there.
        agreed = max(previous, self.journal.first_index)
        taken = asked["entries"] if self.standing is not Standing.FULL else []
        entries = [entry for entry in taken if entry[1] > agreed]
        if entries and entries[0][1] == agreed + 1:
            self._take(entries)
            agreed = entries[-1][1]
        self._commit_up_to(min(asked["commit_index"], agreed))
        self._reply(leader, {"matched": agreed})

    def _mismatch(self, index: int, term: int) -> int | None:
        """None if this log has that entry, or had it; else from where the leader should try."""
        if index < self.journal.first_index:
            return None
        held = self.journal.at(index)
        if held is None:
            return self.last_index() + 1
        if held[2] == term:
            return None
        # Skip the whole run of the conflicting term: one question a term instead of one an entry.
        hint = index
        while (before := self.journal.at(hint - 1)) and before[2] == held[2] and before[1] > self.committed:
            hint -= 1
        return hint

    def _take(self, entries: list[Entry]) -> None:
        """Append what is missing; cut only where an entry conflicts, never where one is merely repeated."""
        for position, entry in enumerate(entries):
            held = self.journal.at(entry[1])
            if held is not None and held[2] == entry[2]:
                continue
            if held is not None:
                self._cut_from(entry[1])
            for fresh in entries[position:]:
                self.journal.add(*fresh)
                self.note_appended(fresh)
            break

    def _cut_from(self, index: int) -> None:
        if index <= self.committed:
            raise SafetyViolated(f"the leader has another entry at {index}, which was committed here")
        for entry in reversed(self.journal.since(index)):
            self.note_cut(entry)
        self.journal.cut_from(index)

    def _commit_up_to(self, index: int) -> None:
        if index > self.committed:
            self.committed = index
            self.journal.set_commit_hint(index)

    def on_checkpoint_chunk(self, leader: Node, message: Message) -> None:
        """Keep a piece of the leader's checkpoint."""
        asked = cast(CheckpointChunk, message)
        if self.follow(leader, asked["term"]) and not self.is_installing and asked["chunk"] is not None:
            self.leader_committed = asked["commit_index"]
            if self.shelf.receive(leader, Chunk(*asked["chunk"])):
                self.is_installing = True
                self.checkpoint_received(leader)
        self._reply(leader, {})

    def reply_installed(self, leader: Node) -> None:
        """A checkpoint took the log's place: the leader goes on behind it."""
        self._reply(leader, {"matched": self.applied, "start_over": True})

    def _reply(self, leader: Node, answer: dict[str, int]) -> None:
        reply: dict[str, object] = {"type": "append_reply", "term": self.current_term, **answer}
        if self.shortage is not None:
            reply["room"] = (int(self.standing), *self.shortage)
        self.send(leader, reply)

    def note_appended(self, entry: Entry) -> None:
        """An entry was added: a change of voters acts from now on."""
        raise NotImplementedError

    def note_cut(self, entry: Entry) -> None:
        """An entry was cut off: a change of voters is taken back."""
        raise NotImplementedError
