"""What a log does to the store: all or none, the same everywhere, and after a restore."""

import os
import subprocess
import sys
from typing import ClassVar

import pytest

from consensus.codec import Codec
from consensus.machine import Applied, Declined, Machine
from consensus.store import Picture
from noded.core.command import Command
from noded.core.errors import Conflict, Kind, NotFound
from noded.core.ids import Revision
from noded.core.origin import Origin
from noded.core.record import Record
from noded.core.store import Transaction


class Book(Record, frozen=True, kw_only=True, tag="book.1"):
    INDEXED: ClassVar[tuple[str, ...]] = ("shelf", "topics")
    NOUN: ClassVar[str] = "book"

    shelf: str | None = None
    topics: tuple[str, ...] = ()


class AddBook(Command, frozen=True, kw_only=True, tag="book.add.1"):
    book: Book

    def apply(self, tx: Transaction) -> None:
        if tx.get(Book, self.book.id) is not None:
            raise Conflict(f"Book {self.book.id} is already there.")
        tx.put(self.book)


class DropBook(Command, frozen=True, kw_only=True, tag="book.drop.1"):
    book_id: str

    def apply(self, tx: Transaction) -> None:
        tx.delete(Book, self.book_id)


class Explode(Command, frozen=True, kw_only=True, tag="book.explode.1"):
    def apply(self, tx: Transaction) -> None:
        tx.put(Book(id="half-made"))
        raise ZeroDivisionError


ORIGIN = Origin("node:n1", "", "", "", "", 0)
CODEC = Codec([AddBook, DropBook, Explode], [Book])


def book(id: str, shelf: str | None = None, *topics: str) -> AddBook:
    return AddBook(book=Book(id=id, shelf=shelf, topics=topics))


def filled() -> Machine:
    machine = Machine(CODEC)
    for index, command in enumerate([book("b", "s1", "x"), book("a", "s1", "x", "y"), book("c", "s2")], start=1):
        assert isinstance(machine.apply(index, CODEC.encode_entry(ORIGIN, [command])), Applied)
    return machine


def test_an_entry_applies_all_of_its_commands_or_none() -> None:
    machine = filled()
    outcome = machine.apply(4, CODEC.encode_entry(ORIGIN, [book("d"), book("a")]))
    assert outcome == Declined(Revision(4), Kind.CONFLICT, "Book a is already there.", "")
    assert machine.picture.get(Book, "d") is None
    assert machine.picture.revision == 4


def test_a_command_that_raises_changes_nothing_and_stops_nothing() -> None:
    machine = filled()
    outcome = machine.apply(4, CODEC.encode_entry(ORIGIN, [Explode()]))
    assert isinstance(outcome, Declined)
    assert outcome.kind is Kind.BUG
    assert machine.picture.get(Book, "half-made") is None
    assert isinstance(machine.apply(5, CODEC.encode_entry(ORIGIN, [book("d")])), Applied)


def test_an_entry_that_cannot_be_read_is_declined() -> None:
    machine = filled()
    for payload in (b"", b"\xff\x00", CODEC.encode_records([Book(id="x")])):
        assert isinstance(machine.apply(9, payload), Declined)
    assert machine.picture.count(Book) == 3


def test_an_index_follows_every_change() -> None:
    picture = filled().picture
    assert [found.id for found in picture.find(Book, "shelf", "s1")] == ["a", "b"]
    assert [found.id for found in picture.find(Book, "topics", "x")] == ["a", "b"]
    change = picture.begin(Revision(9))
    change.put(Book(id="a", shelf="s2", topics=("y", "y")))
    change.delete(Book, "c")
    later = change.commit()
    assert [found.id for found in later.find(Book, "shelf", "s2")] == ["a"]
    assert [found.id for found in later.find(Book, "topics", "x")] == ["b"]
    assert [found.id for found in picture.find(Book, "shelf", "s2")] == ["c"], "an old view must not change"
    change = later.begin(Revision(10))
    change.delete(Book, "a")
    assert change.commit().find(Book, "topics", "y") == []


def test_what_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(NotFound, match="No book with id or name zz"):
        Picture.empty().need(Book, "zz")


def test_a_restored_machine_equals_the_one_that_was_captured() -> None:
    machine = filled()
    other = Machine(CODEC)
    other.restore(machine.capture().blocks())
    assert other.digest() == machine.digest()
    assert other.picture.revision == machine.picture.revision
    assert other.picture.find(Book, "topics", "x") == machine.picture.find(Book, "topics", "x")


def test_equal_logs_give_equal_digests_whatever_the_hash_seed() -> None:
    program = "from tests.unit.consensus.test_store import filled; print(filled().digest())"
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(digests) == 1


def test_a_view_tells_when_a_table_last_changed() -> None:
    picture = filled().picture
    assert picture.changed_at({"book"}) == 3
    assert picture.changed_at({"other"}) == 0
