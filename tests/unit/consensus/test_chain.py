"""What a line of history says of an entry, and what its head covers."""

from typing import ClassVar

import msgspec
import pytest

from consensus.chain import CHANGES_BYTES_MAX, START, Line, RecordChange, decode_line, encode_line, next_line
from consensus.codec import Codec
from consensus.machine import Machine
from consensus.store import Picture
from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import Revision
from noded.core.origin import Origin
from noded.core.record import Record
from noded.core.secrecy import HIDDEN, SECRET
from noded.core.store import Transaction


class Person(Record, frozen=True, kw_only=True, tag="user.1"):
    """Has the tag of a record with a secret."""

    NOUN: ClassVar[str] = "person"

    name: str = ""
    password_hash: str | None = None
    friends: tuple[str, ...] = ()
    notes: dict[str, int] = msgspec.field(default_factory=dict)


class Enrol(Command, frozen=True, kw_only=True, tag="user.create.1"):
    id: str
    name: str = ""
    password_hash: str | None = None

    def apply(self, tx: Transaction) -> None:
        if self.name == "nobody":
            raise Conflict("Nobody may be called nobody.", code="Nobody")
        tx.put(Person(id=self.id, name=self.name, password_hash=self.password_hash))


class Befriend(Command, frozen=True, kw_only=True, tag="test.befriend.1"):
    one: str
    other: str
    times: int = 1

    def apply(self, tx: Transaction) -> None:
        person = tx.need(Person, self.one)
        tx.put(msgspec.structs.replace(person, friends=(*person.friends, *[self.other] * self.times)))


class Forget(Command, frozen=True, kw_only=True, tag="test.forget.1"):
    id: str

    def apply(self, tx: Transaction) -> None:
        tx.delete(Person, self.id)


CODEC = Codec([Enrol, Befriend, Forget], [Person])
ORIGIN = Origin("user:u1", "ann", "p1", "req-1", "10.0.0.1", 5)


class Kept:
    """Keeps lines in memory."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def keep(self, line: Line, before: object) -> None:
        self.lines.append(line)

    def resume(self, link: object) -> None: ...
    def settle(self) -> None: ...


class Scene:
    def __init__(self) -> None:
        self.kept = Kept()
        self.machine = Machine(CODEC, self.kept)
        self.index = 3

    def do(self, *commands: Command) -> Line:
        self.index += 1
        self.machine.apply(self.index, CODEC.encode_entry(ORIGIN, commands))
        return self.kept.lines[-1]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_line_says_what_changed_and_hides_what_is_secret(scene: Scene) -> None:
    line = scene.do(Enrol(id="1", name="bob", password_hash="argon"))
    said = line.content()
    assert b"argon" not in encode_line(line)
    assert said.changes == [RecordChange("user", "1", None, None, {"id": "1", "name": "bob", "password_hash": HIDDEN})]
    origin, [command] = msgspec.msgpack.decode(said.payload)[1:]
    assert origin[:5] == ["user:u1", "ann", "p1", "req-1", "10.0.0.1"]
    assert command == {"$": "user.create.1", "id": "1", "name": "bob", "password_hash": HIDDEN}


def test_a_change_names_the_fields_that_differ_and_that_a_secret_did(scene: Scene) -> None:
    scene.do(Enrol(id="1", name="bob", password_hash="one"))
    assert scene.do(Befriend(one="1", other="ann")).content().changes == [
        RecordChange("user", "1", None, {"friends": []}, {"friends": ["ann"]})
    ]
    assert scene.do(Enrol(id="1", name="bob", password_hash="two")).content().changes == [
        RecordChange(
            "user",
            "1",
            None,
            {"password_hash": HIDDEN, "friends": ["ann"]},
            {"password_hash": HIDDEN, "friends": []},
        )
    ]
    assert scene.do(Enrol(id="1", name="bob", password_hash="two")).content().changes == []
    [gone] = scene.do(Forget(id="1")).content().changes
    assert (gone.before, gone.after) == ({"id": "1", "name": "bob", "password_hash": HIDDEN}, None)


def test_what_an_entry_makes_and_removes_again_did_not_change(scene: Scene) -> None:
    assert scene.do(Enrol(id="1"), Forget(id="1")).content().changes == []


def test_a_refusal_is_a_line_too(scene: Scene) -> None:
    line = scene.do(Enrol(id="1", name="bob"), Enrol(id="2", name="nobody"))
    assert (line.content().verdict, line.code, line.message) == ("conflict", "Nobody", "Nobody may be called nobody.")
    assert line.content().changes == []


def test_an_entry_that_nobody_can_read_is_a_line_without_its_bytes(scene: Scene) -> None:
    scene.machine.apply(4, b"\xc1 secret")
    [line] = scene.kept.lines
    assert b"secret" not in encode_line(line)
    assert line.content().verdict == "bug"


def test_an_entry_that_changes_too_much_keeps_only_the_ids(scene: Scene) -> None:
    scene.do(Enrol(id="1"))
    line = scene.do(Befriend(one="1", other="x" * 1000, times=CHANGES_BYTES_MAX // 1000 + 1))
    assert line.content().changes == [RecordChange("user", "1", None, None, None)]


def test_lines_follow_one_another_and_no_other_way(scene: Scene) -> None:
    lines = [scene.do(Enrol(id=str(number))) for number in range(3)]
    assert lines[0].follows(START)
    assert lines[1].follows(lines[0].link)
    assert not lines[2].follows(lines[0].link), "one was removed"
    altered = msgspec.structs.replace(lines[1], covered=lines[1].covered.replace(b"ann", b"eve"))
    assert not altered.follows(lines[0].link)
    assert decode_line(encode_line(lines[1])) == lines[1]


def test_the_head_is_part_of_the_state(scene: Scene) -> None:
    scene.do(Enrol(id="1"))
    blocks = list(scene.machine.capture().blocks())
    other = Scene()
    other.machine.restore(blocks)
    assert other.machine.link == scene.machine.link == scene.kept.lines[-1].link
    other.index = scene.index
    assert scene.do(Befriend(one="1", other="2")) == other.do(Befriend(one="1", other="2"))


def test_the_head_is_the_same_whatever_fields_with_defaults_a_release_knows(scene: Scene) -> None:
    class NewerPerson(Record, frozen=True, kw_only=True, tag="user.1"):
        name: str = ""
        password_hash: str | None = None
        friends: tuple[str, ...] = ()
        color: str = "grey"

    class NewerEnrol(Command, frozen=True, kw_only=True, tag="user.create.1"):
        id: str
        name: str = ""
        password_hash: str | None = None
        color: str = "grey"

        def apply(self, tx: Transaction) -> None:
            tx.put(NewerPerson(id=self.id, name=self.name, password_hash=self.password_hash, color=self.color))

    entry = CODEC.encode_entry(ORIGIN, [Enrol(id="1", password_hash="x")])
    newer = Machine(Codec([NewerEnrol], [NewerPerson]))
    newer.apply(4, entry)
    scene.do(Enrol(id="1", password_hash="x"))
    assert newer.link == scene.machine.link


def test_the_head_is_the_same_in_whatever_order_a_node_holds_the_entries_of_a_mapping() -> None:
    heads = set()
    for notes in ({"b": 1, "a": 2}, {"a": 2, "b": 1}):  # as it was made, and as a checkpoint gives it back
        change = Picture.empty().begin(Revision(1))
        change.put(Person(id="p", notes=notes))
        heads.add(next_line(START, 1, b"", (), change).head)
    assert len(heads) == 1


def test_the_tags_of_this_file_have_secrets() -> None:
    assert all("password_hash" in SECRET[tag] for tag in ("user.1", "user.create.1"))
