"""What is read from history is what happened, on every node alike; and whatever was done to the files shows."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgspec
import pytest

from consensus.chain import START, Line, Link, decode_line, encode_line, next_line
from consensus.history.difference import difference
from consensus.history.integrity import head_at, verify
from consensus.history.links import Book, ChainState, Stretch, vocabulary_of
from consensus.history.model import DiffQuestion, HistoryGap, HistoryLine, Question, Verdict
from consensus.history.moments import moment_ms
from consensus.history.paging import missing, page_before, proved
from consensus.history.reading import Reader
from consensus.history.reconcile import HistoryReconciler
from consensus.history.views import line_view, said_by
from consensus.host.history_files import HistoryFiles
from consensus.machine import Machine
from consensus.members.model import Node
from consensus.store import Picture
from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.errors import Invalid, Unavailable
from noded.core.ids import NodeId, Revision
from noded.core.reconciler import Drivers
from tests.twins.history import MemoryBook, whole
from tests.unit.consensus.test_chain import CODEC, ORIGIN, Befriend, Enrol, Forget, Person

WORDS = vocabulary_of([Enrol, Befriend, Forget], [Person])
FIRST = 4


def drawn(dice: random.Random) -> list[Command]:
    """One entry's commands: people come, change, go; some of it is refused."""
    id = str(dice.randrange(8))
    one: Command = dice.choice(
        (
            Enrol(id=id, name=dice.choice(("ann", "bob", "nobody"))),
            Befriend(one=id, other=str(dice.randrange(3))),
            Befriend(one=id, other="x", times=dice.choice((0, 1, 40))),
            Forget(id=id),
        )
    )
    return [one, *(drawn(dice) if dice.random() < 0.3 else ())]


def entry(dice: random.Random) -> bytes:
    return CODEC.encode_entry(ORIGIN, drawn(dice))


class World:
    """A machine whose every line is kept, and its pictures at each revision."""

    def __init__(self, seed: int, count: int) -> None:
        self.book = MemoryBook()
        self.machine = Machine(CODEC, self.book)
        self.pictures: dict[int, Picture] = {0: self.machine.picture}
        dice = random.Random(seed)
        for revision in range(FIRST, FIRST + count):
            self.machine.apply(revision, entry(dice))
            self.pictures[revision] = self.machine.picture

    @property
    def reader(self) -> Reader:
        return Reader(self.book, WORDS, self.machine.picture, self.machine.link)

    @property
    def lines(self) -> list[Line]:
        return lines_of(self.book)


def lines_of(book: Book) -> list[Line]:
    found = []
    for span in book.spans():
        stretch = book.stretch(span.base.revision)
        assert stretch is not None
        assert not stretch.damaged
        found += stretch.lines
    return found


# -- differences


def plain(picture: Picture) -> dict[str, dict[str, object]]:
    return {person.id: msgspec.json.decode(msgspec.json.encode(person)) for person in picture.all(Person)}


@pytest.mark.parametrize("seed", range(60))
def test_a_difference_is_what_two_pictures_differ_in(seed: int) -> None:
    dice = random.Random(seed)
    world = World(seed, 40)
    older, newer = sorted(dice.sample(sorted(world.pictures), 2))
    before, after = plain(world.pictures[older]), plain(world.pictures[newer])
    found = difference(world.reader, DiffQuestion(from_revision=older, to_revision=newer))
    assert {each.id: each.change for each in found.records} == {
        id: "added" if id not in before else "removed" if id not in after else "changed"
        for id in before | after
        if before.get(id) != after.get(id)
    }
    for each in found.records:
        if each.change == "changed":
            old, new = before[each.id], after[each.id]
            assert each.fields == {name: (old[name], new[name]) for name in new if old[name] != new[name]}


# -- is it whole?


def rewritten(world: World, change: Callable[[list[Line]], list[Line]]) -> Verdict:
    """What `verify` says of a book with other lines in it."""
    book = MemoryBook()
    book.fill(Stretch(START, change(world.lines), []))
    return verify(book, world.machine.link, "node1")


def altered(line: Line, new: bytes) -> Line:
    return msgspec.structs.replace(line, covered=line.covered.replace(b"ann", new))


def place_of(lines: list[Line]) -> int:
    return next(number for number, line in enumerate(lines) if b"ann" in line.covered and 3 < number < 30)


def test_an_untouched_history_is_whole() -> None:
    world = World(1, 120)
    verdict = verify(world.book, world.machine.link, "node1")
    assert verdict.is_whole
    assert verdict.lines == 120


def test_a_changed_line_shows_with_its_revision() -> None:
    world = World(1, 40)
    place = place_of(world.lines)
    verdict = rewritten(world, lambda lines: [*lines[:place], altered(lines[place], b"eve"), *lines[place + 1 :]])
    assert [each.revision for each in verdict.problems] == [world.lines[place].revision]
    assert not verdict.is_whole


def test_a_changed_line_with_a_head_that_fits_shows_behind_it() -> None:
    world = World(1, 40)
    place = place_of(world.lines)

    def forge(lines: list[Line]) -> list[Line]:
        line = altered(lines[place], b"eve")
        head = lines[place - 1].link.follow(line.revision, line.covered).head
        return [*lines[:place], msgspec.structs.replace(line, head=head), *lines[place + 1 :]]

    assert [each.revision for each in rewritten(world, forge).problems] == [world.lines[place + 1].revision]


def test_a_history_forged_to_its_end_does_not_lead_to_the_states_head() -> None:
    world = World(1, 40)
    place = place_of(world.lines)

    def forge(lines: list[Line]) -> list[Line]:
        lines = [*lines[:place], altered(lines[place], b"eve"), *lines[place + 1 :]]
        for number in range(place, len(lines)):
            head = lines[number - 1].link.follow(lines[number].revision, lines[number].covered).head
            lines[number] = msgspec.structs.replace(lines[number], head=head)
        return lines

    verdict = rewritten(world, forge)
    assert [each.revision for each in verdict.problems] == [world.machine.link.revision]


@pytest.mark.parametrize("place", [0, 1, 17, 38])
def test_a_removed_line_shows(place: int) -> None:
    world = World(1, 40)
    verdict = rewritten(world, lambda lines: [*lines[:place], *lines[place + 1 :]])
    assert [each.revision for each in verdict.problems] == [world.lines[place + 1].revision]


def test_newest_lines_that_are_gone_are_missing() -> None:
    world = World(1, 40)
    verdict = rewritten(world, lambda lines: lines[:-2])
    assert verdict.gaps == (HistoryGap(after=world.lines[-3].revision, until=world.lines[-1].revision),)
    assert not verdict.is_whole


@pytest.mark.parametrize("revision", [FIRST + 10, FIRST + 9])
def test_an_inserted_line_shows(revision: int) -> None:
    world = World(1, 40)
    before = world.lines[9]
    line = next_line(before.link, revision, b"forged", (), None)
    verdict = rewritten(world, lambda lines: [*lines[:10], line, *lines[10:]])
    assert verdict.problems
    assert verdict.problems[0].revision in {revision, world.lines[10].revision}


def test_the_head_at_a_revision_is_that_of_the_line_before_it() -> None:
    world = World(1, 60)
    world.machine.apply(100, entry(random.Random(0)))
    lines = world.lines
    assert head_at(world.book, lines[5].revision, world.machine.link) == lines[5].head
    assert head_at(world.book, 80, world.machine.link) == lines[-2].head
    assert head_at(world.book, 100, world.machine.link) == lines[-1].head
    assert head_at(world.book, 101, world.machine.link) is None


# -- gaps


def test_a_gap_stands_between_the_lines_and_pages_go_over_it() -> None:
    world = World(3, 100)
    lines = world.lines
    book = MemoryBook()
    book.fill(Stretch(START, lines[:20], []))
    book.fill(Stretch(lines[59].link, lines[60:], []))
    reader = Reader(book, WORDS, world.machine.picture, world.machine.link)
    found: list[HistoryLine | HistoryGap] = []
    older: int | None = None
    while True:
        page = reader.page(Question(limit=7, before=older))
        found += page.lines
        older = page.older
        if older is None:
            break
    gap = HistoryGap(after=lines[19].revision, until=lines[59].revision)
    assert [each if isinstance(each, HistoryGap) else each.revision for each in found] == [
        *(line.revision for line in reversed(lines[60:])),
        gap,
        *(line.revision for line in reversed(lines[:20])),
    ]


def test_a_forged_page_is_not_taken() -> None:
    world = World(3, 60)
    link = world.lines[40].link
    good = page_before(world.book, link.revision)
    stretch = proved(good, link, 0)
    assert stretch is not None
    assert stretch.lines[-1] == world.lines[40]
    assert proved(good, Link(link.revision, b"x" * 32), 0) is None
    assert proved(b"\xc1", link, 0) is None
    assert proved(page_before(world.book, 1000), link, 0) is None
    other = World(4, 60)
    assert proved(page_before(other.book, link.revision), link, 0) is None


class Member:
    """A node with files of its own, which crashes, restarts and is sent checkpoints."""

    def __init__(self, directory: Path, node_id: str, log: list[bytes]) -> None:
        self.node_id = node_id
        self._directory = directory / node_id
        self._log = log
        self._checkpoint: list[bytes] = []
        self.others: list[Member] = []
        self._begin()

    def _begin(self) -> None:
        self.book = HistoryFiles(self._directory, file_bytes=2048)
        self.machine = Machine(CODEC, self.book)
        if self._checkpoint:
            self.machine.restore(self._checkpoint)

    @property
    def revision(self) -> int:
        return max(FIRST - 1, int(self.machine.picture.revision))

    def catch_up(self, count: int) -> None:
        for index in range(self.revision + 1, min(self.revision + count, FIRST - 1 + len(self._log)) + 1):
            self.machine.apply(index, self._log[index - FIRST])

    def checkpoint(self) -> None:
        self._checkpoint = list(self.machine.capture().blocks())

    def crash(self) -> None:
        """What was not made durable is gone; the page cache outlives the process."""
        self._begin()

    def install(self, other: "Member") -> None:
        if other.revision > self.revision:
            self._checkpoint = list(other.machine.capture().blocks())
            self.machine.restore(self._checkpoint)

    # -- what the reconciler sees

    def view(self) -> Picture:
        change = Picture.empty().begin(Revision(1))
        for member in (self, *self.others):
            change.put(
                Node(id=NodeId(member.node_id), name="", addresses=(), fingerprint="", admitted_at_ms=0, release="")
            )
        return change.commit()

    def reachable(self) -> frozenset[NodeId]:
        return frozenset(NodeId(member.node_id) for member in (self, *self.others))

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        assert method == "history.page"
        for member in self.others:
            if member.node_id == node_id:
                return page_before(member.book, msgspec.msgpack.decode(payload))
        raise Unavailable("nobody there")

    async def reconcile(self) -> None:
        drivers = Drivers()
        drivers.add(Book, self.book)
        drivers.add(ChainState, self.machine)
        await HistoryReconciler(cast(Cluster, self), drivers).reconcile()


@pytest.mark.parametrize("seed", range(25))
async def test_all_nodes_have_the_same_history_whatever_befell_them(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    log: list[bytes] = []
    members = [Member(tmp_path, f"node{number}", log) for number in range(3)]
    for member in members:
        member.others = [other for other in members if other is not member]
    for _ in range(60):
        log += [entry(dice) for _ in range(dice.randrange(6))]
        member = dice.choice(members)
        match dice.randrange(6):
            case 0:
                member.crash()
            case 1:
                member.checkpoint()
            case 2:
                member.install(dice.choice(member.others))
            case 3:
                await member.reconcile()
            case _:
                member.catch_up(dice.choice((1, 5, 30)))
    for member in members:
        member.catch_up(len(log))
    # What all three crashed away is nowhere but in the log: one of them has gone through all of it again.
    fresh = Member(tmp_path, "node9", log)
    fresh.catch_up(len(log))
    for member in members:
        member.others = [*member.others, fresh]
        await member.reconcile()
    wanted = lines_of(fresh.book)
    assert len(wanted) == len(log)
    for member in members:
        assert member.machine.link == fresh.machine.link
        assert lines_of(member.book) == wanted
        assert verify(member.book, member.machine.link, member.node_id).is_whole
        assert whole(member.book.spans())


def test_what_is_missing_is_the_newest_gap_first() -> None:
    world = World(3, 60)
    lines, link = world.lines, world.machine.link
    book = MemoryBook()
    assert missing(book.spans(), link) == (link, 0)
    assert missing([], START) is None
    book.fill(Stretch(lines[9].link, lines[10:20], []))
    assert missing(book.spans(), link) == (link, lines[19].revision)
    book.fill(Stretch(lines[19].link, lines[20:], []))
    assert missing(book.spans(), link) == (lines[9].link, 0)
    book.fill(Stretch(START, lines[:10], []))
    assert missing(book.spans(), link) is None


# -- words


def test_an_entry_that_this_release_cannot_read_is_a_line_all_the_same() -> None:
    line = decode_line(encode_line(next_line(START, 4, b"\xc1", (), None, "bug", "", "unreadable")))
    shown = line_view(line, line.content(), said_by(line.content()), WORDS, Picture.empty())
    assert shown.told == ("made a change that this release can't read",)
    assert (shown.outcome, shown.reason) == ("refused", "unreadable")


NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("90s", NOW_MS - 90_000),
        ("2h", NOW_MS - 7_200_000),
        ("1w", NOW_MS - 604_800_000),
        ("1970-01-02", 86_400_000),
        ("1970-01-01T01:00", 3_600_000),
        ("1970-01-01 01:00:30.5", 3_630_500),
        ("1970-01-01T01:00+01:00", 0),
        ("1970-01-01T01:00:00Z", 3_600_000),
    ],
)
def test_a_moment_is_a_date_a_time_or_how_long_ago(text: str, ms: int) -> None:
    assert moment_ms(text, NOW_MS) == ms


@pytest.mark.parametrize("text", ["", "now", "2h30m", "1970-02-30", "1970-1-1", "25:00", "\u0661h", "9" * 4000 + "h"])
def test_what_is_no_moment_says_how_one_is_written(text: str) -> None:
    with pytest.raises(Invalid, match="how long ago"):
        moment_ms(text, NOW_MS)
