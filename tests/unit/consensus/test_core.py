"""One core, spoken to message by message: late, repeated and stale ones, and what is on the disk when it dies."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consensus.host import checkpoint
from consensus.host.checkpoint import Part
from consensus.host.core import Core, beginning, change_of_voters
from consensus.host.journal import Journal
from consensus.host.messages import PROMISES
from consensus.host.replication import SafetyViolated
from consensus.host.seams import Entry, EntryKind, Message, Role, set_clock
from consensus.host.shelf import Shelf
from consensus.incarnation import Incarnation

ME, LEADER, OTHER = "me", "leader", "other"
VOTERS = (ME, LEADER, OTHER)
REQUEST = bytes([EntryKind.REQUEST])


@dataclass
class Post:
    """Keeps what a core says."""

    sent: list[tuple[str, Message]] = field(default_factory=list)
    early: list[str] = field(default_factory=list)  # what left before the journal was synced

    def post(self, node_id: str, message: object, *, when_durable: bool) -> None:
        assert isinstance(message, dict)
        self.sent.append((node_id, message))
        if not when_durable:
            self.early.append(str(message["type"]))

    def backlog(self, _node_id: str) -> int:
        return 0


@dataclass
class Desk:
    """A core on files, with a clock that stands still unless it is moved."""

    directory: Path
    now: float = 1000.0
    applied: list[bytes] = field(default_factory=list)
    post: Post = field(default_factory=Post)

    def open(self) -> None:
        self.journal = Journal(self.directory / "journal", fdatasync=lambda _file: None)
        self.shelf = Shelf(self.directory / "checkpoint")
        if not len(self.journal) and self.shelf.header() is None:
            self.journal.add(bytes([EntryKind.NOTHING]), 1, 0)
            for index, voter in enumerate(VOTERS, start=2):
                self.journal.add(change_of_voters("add", voter), index, 0)
            self.journal.add(beginning(Incarnation(1, "x")), 5, 0)
            self.journal.sync()
        self.post = Post()
        self.core = Core(ME, self.journal, self.shelf, self.post, self._apply, checkpoint_entries=20)
        for peer in (LEADER, OTHER):
            self.core.link_up(peer)

    def _apply(self, _index: int, content: bytes) -> object:
        self.applied.append(content)
        return None

    def die(self) -> None:
        self.journal.close()
        self.shelf.close()

    def hear(self, sender: str, **message: object) -> Message:
        """Deliver a message; the last thing that the core said in answer to its sender."""
        self.post.sent.clear()
        self.core.deliver(sender, message)
        self.core.tick()
        return next((said for receiver, said in reversed(self.post.sent) if receiver == sender), {})

    def append(self, entries: list[Entry], *, term: int = 1, after: tuple[int, int], commit: int = 1) -> Message:
        """The leader's entries behind the one with that index and term."""
        return self.hear(
            LEADER,
            type="append",
            term=term,
            commit_index=commit,
            previous_index=after[0],
            previous_term=after[1],
            entries=entries,
        )

    def lead(self) -> int:
        """Win an election; the term."""
        self.now += 10
        self.core.tick()  # asks whether it would win
        for peer in (LEADER, OTHER):
            self.core.deliver(
                peer, {"type": "pre_vote_reply", "term": self.core.current_term + 1, "granted": True, "current_term": 0}
            )
        self.core.tick()
        self.core.deliver(OTHER, {"type": "response_vote", "term": self.core.current_term})
        self.core.tick()
        assert self.core.role == Role.LEADER
        return self.core.current_term


def requests(first: int, count: int, term: int, size: int = 1) -> list[Entry]:
    return [(REQUEST + b"%d." % index + b"." * size, index, term) for index in range(first, first + count)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    before = set_clock(lambda: made.now)
    made.open()
    yield made
    made.die()
    set_clock(before)


def test_a_repeated_or_late_append_cuts_nothing_that_was_acknowledged(desk: Desk) -> None:
    entries = requests(6, 10, 1)
    assert desk.append(entries, after=(5, 0))["matched"] == 15
    assert desk.append(entries[:3], after=(5, 0))["matched"] == 8  # a late one says less, and takes nothing away
    assert desk.append(entries, after=(5, 0))["matched"] == 15
    assert desk.append([], after=(7, 1))["matched"] == 7
    assert desk.core.last_index() == 15


def test_only_what_conflicts_is_cut(desk: Desk) -> None:
    desk.append(requests(6, 10, 1), after=(5, 0))
    newer = requests(10, 2, 2)
    assert desk.append(newer, term=2, after=(9, 1))["matched"] == 11
    assert desk.core.last_index() == 11
    assert [term for _, _, term in desk.journal.since(8)] == [1, 1, 2, 2]


def test_what_is_committed_is_never_cut(desk: Desk) -> None:
    desk.append(requests(6, 4, 1), after=(5, 0), commit=8)
    with pytest.raises(SafetyViolated, match="which was committed here"):
        desk.append(requests(7, 1, 2), term=2, after=(6, 1))


def test_an_append_of_an_earlier_term_is_not_heard(desk: Desk) -> None:
    desk.append(requests(6, 2, 3), term=3, after=(5, 0))
    answer = desk.append(requests(6, 1, 2), term=2, after=(5, 0))
    assert "matched" not in answer
    assert answer["term"] == 3
    assert desk.core.last_index() == 7


def test_a_diverged_tail_longer_than_a_batch_is_replaced_in_a_few_questions(desk: Desk) -> None:
    desk.append(requests(6, 30, 1, size=30_000), after=(5, 0))
    hint, previous, asked = 0, (40, 3), 0
    while True:
        answer = desk.append([], term=3, after=previous)
        asked += 1
        if "matched" in answer:
            break
        assert isinstance(answer["hint"], int)
        hint = answer["hint"]
        previous = (hint - 1, 0 if hint - 1 <= 5 else 1)
    assert asked <= 3
    assert desk.append(requests(hint, 40, 3), term=3, after=previous)["matched"] == hint + 39


def test_stale_answers_move_nothing(desk: Desk) -> None:
    term = desk.lead()
    last = desk.core.last_index()
    matched = dict(desk.core.match_index)
    desk.hear(OTHER, type="append_reply", term=term - 1, matched=last)
    assert desk.core.match_index == matched
    desk.hear(OTHER, type="append_reply", term=term, matched=last)
    following = dict(desk.core.next_index)
    desk.hear(OTHER, type="append_reply", term=term, rejected=last - 2, hint=2)  # asked long ago
    assert desk.core.next_index == following
    desk.hear(OTHER, type="append_reply", term=term, matched=last - 3)
    assert desk.core.next_index == following


def test_late_rejections_do_not_send_the_leader_back_and_forth(desk: Desk) -> None:
    term = desk.lead()
    last = desk.core.last_index()
    first = desk.hear(OTHER, type="append_reply", term=term, rejected=last - 1, hint=4)
    assert first["previous_index"] == 3
    for late in (last - 1, last, last - 2):
        desk.now += 0.5
        desk.hear(OTHER, type="append_reply", term=term, rejected=late, hint=2)
    assert desk.core.next_index[next(node for node in desk.core.other_voters if node.id == OTHER)] == 4
    assert desk.hear(OTHER, type="append_reply", term=term, matched=3)["entries"]


def test_a_follower_that_lost_what_it_held_is_caught_up(desk: Desk) -> None:
    """Also while the same leader leads, who heard that it holds all. Found by seed 713496."""
    term = desk.lead()
    last = desk.core.last_index()
    desk.hear(OTHER, type="append_reply", term=term, matched=last)
    node = next(node for node in desk.core.other_voters if node.id == OTHER)
    probe = desk.hear(OTHER, type="append_reply", term=term, rejected=last, hint=3)
    assert probe["previous_index"] == 2
    assert desk.core.match_index[node] == 0
    for late in (last, last - 1):
        desk.now += 0.5
        desk.hear(OTHER, type="append_reply", term=term, rejected=late, hint=3)
    assert desk.core.next_index[node] == 3
    assert desk.hear(OTHER, type="append_reply", term=term, matched=2)["entries"]
    desk.hear(OTHER, type="append_reply", term=term, rejected=2, hint=1)
    assert desk.core.next_index[node] == 1, "it lost the rest as well: a checkpoint is sent"


def test_an_entry_of_an_earlier_term_is_not_committed_by_counting(desk: Desk) -> None:
    desk.append(requests(6, 3, 1), after=(5, 0), commit=5)
    term = desk.lead()
    desk.hear(OTHER, type="append_reply", term=term, matched=8)
    assert desk.core.committed == 5
    desk.hear(OTHER, type="append_reply", term=term, matched=9)
    assert desk.core.committed == 9
    assert len(desk.applied) == 3


def test_a_vote_is_given_once_in_a_term_and_outlives_the_process(desk: Desk) -> None:
    ask = {"type": "request_vote", "term": 7, "last_log_index": 50, "last_log_term": 3}
    assert desk.hear(LEADER, **ask)["type"] == "response_vote"
    desk.journal.sync()
    desk.die()
    desk.open()
    assert desk.hear(OTHER, **ask) == {}
    assert desk.core.current_term == 7


def test_nothing_that_promises_leaves_before_the_journal_is_synced(desk: Desk) -> None:
    desk.append(requests(6, 3, 1), after=(5, 0))
    desk.hear(OTHER, type="request_vote", term=9, last_log_index=50, last_log_term=3)
    desk.lead()
    assert not PROMISES & set(desk.post.early)


def test_a_node_dies_between_its_checkpoint_and_the_trim_of_its_journal(desk: Desk) -> None:
    desk.append(requests(6, 40, 1), after=(5, 0), commit=45)
    assert desk.core.wants_checkpoint
    header = desk.core.begin_checkpoint()
    checkpoint.write(desk.shelf.path, header, [(Part.STATE, b"")], lambda: None)
    desk.journal.sync()
    desk.die()  # nobody told the core that it is durable: the journal still holds everything
    desk.open()
    assert desk.core.applied == header.index == 45
    assert desk.core.last_index() == 45
    assert desk.core.voters == set(VOTERS)
    assert desk.core.incarnation == Incarnation(1, "x")
    assert desk.append(requests(46, 1, 1), after=(45, 1), commit=46)["matched"] == 46
    assert len(desk.applied) == 41


def test_a_node_dies_after_the_trim_and_before_its_sync(desk: Desk) -> None:
    desk.append(requests(6, 40, 1), after=(5, 0), commit=45)
    desk.journal.sync()
    header = desk.core.begin_checkpoint()
    checkpoint.write(desk.shelf.path, header, [(Part.STATE, b"")], lambda: None)
    desk.core.end_checkpoint(header)
    assert desk.journal.is_dirty
    desk.die()
    desk.open()
    assert desk.core.applied == 45
    assert desk.append(requests(46, 1, 1), after=(45, 1), commit=46)["matched"] == 46


def test_nobody_but_the_log_says_where_a_life_begins(desk: Desk) -> None:
    desk.lead()
    last = desk.core.last_index()
    desk.hear(OTHER, type="apply_command", command=beginning(Incarnation(9, "forged")), request_id=1)
    desk.hear(OTHER, type="apply_command", command=b"", request_id=2)
    assert desk.core.last_index() == last
    assert desk.core.incarnation == Incarnation(1, "x")


def test_a_life_that_is_cut_off_was_none(tmp_path: Path, desk: Desk) -> None:
    desk.append([(beginning(Incarnation(2, "y")), 6, 1)], after=(5, 0))
    assert desk.core.incarnation == Incarnation(2, "y")
    desk.append(requests(6, 1, 2), term=2, after=(5, 0))
    assert desk.core.incarnation == Incarnation(1, "x")
    assert tmp_path == desk.directory


def test_an_answer_meant_for_an_earlier_life_of_the_process_acknowledges_nothing(desk: Desk) -> None:
    desk.append([], after=(5, 0))
    first: list[int] = []
    desk.core.submit(EntryKind.REQUEST, b"one", lambda _result, failure: first.append(failure))
    desk.core.tick()
    [asked] = [said for _, said in desk.post.sent if said["type"] == "apply_command"]
    desk.die()
    desk.open()
    desk.append([], after=(5, 0))
    second: list[int] = []
    desk.core.submit(EntryKind.REQUEST, b"two", lambda _result, failure: second.append(failure))
    desk.core.tick()
    answer = {"type": "apply_command_response", "request_id": asked["request_id"], "log_idx": 6, "log_term": 1}
    desk.hear(LEADER, **answer)
    desk.append(requests(6, 1, 1), after=(5, 0), commit=6)
    assert second == []
