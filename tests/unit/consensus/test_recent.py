"""The memory of recent changes: complete or said to be not, and never larger than it may be."""

from hypothesis import given
from hypothesis import strategies as st

from consensus.recent import Recent
from consensus.store import Picture
from noded.core.ids import Revision
from noded.core.record import Record
from noded.core.watch import Watched


class Pot(Record, frozen=True, kw_only=True, tag="pot.1"):
    size: int = 0


class Lid(Record, frozen=True, kw_only=True, tag="lid.1"):
    pass


BOTH = {"pot", "lid"}


class Kitchen:
    """A store with its memory."""

    def __init__(self, **limits: int) -> None:
        self.picture = Picture.empty()
        self.recent = Recent(**limits)

    def put(self, *records: Record) -> None:
        change = self.picture.begin(Revision(self.picture.revision + 1))
        for record in records:
            change.put(record)
        self.picture = change.commit()
        self.recent.add(self.picture.revision, change)

    def drop(self, id: str) -> None:
        change = self.picture.begin(Revision(self.picture.revision + 1))
        change.delete(Pot, id)
        self.picture = change.commit()
        self.recent.add(self.picture.revision, change)

    def since(self, after: int, tables: set[str] = BOTH) -> Watched:
        return self.recent.since(after, tables, self.picture.revision)

    def told(self, after: int, tables: set[str] = BOTH) -> list[tuple[str, int, bool]]:
        assert not self.since(after, tables).list_again
        return [(change.id, change.revision, change.gone) for change in self.since(after, tables).changes]


def test_a_watcher_hears_of_each_record_once_and_of_its_kinds_alone() -> None:
    kitchen = Kitchen()
    kitchen.put(Pot(id="a"), Lid(id="l"))
    kitchen.put(Pot(id="b"))
    kitchen.put(Pot(id="a", size=2))
    kitchen.drop("b")
    assert kitchen.told(0) == [("l", 1, False), ("a", 3, False), ("b", 4, True)]
    assert kitchen.told(0, {"lid"}) == [("l", 1, False)]
    assert kitchen.told(3) == [("b", 4, True)]
    assert kitchen.told(4) == []
    assert kitchen.since(2).revision == 4


def test_a_watcher_that_lags_is_told_to_list_again() -> None:
    kitchen = Kitchen(remembered_max=3)
    for number in range(5):
        kitchen.put(Pot(id=f"{number}"))
    assert kitchen.since(1) == Watched(revision=Revision(5), list_again=True)
    assert kitchen.told(2) == [("2", 3, False), ("3", 4, False), ("4", 5, False)]


def test_too_much_to_tell_is_listed_again() -> None:
    kitchen = Kitchen(told_max=3)
    for number in range(5):
        kitchen.put(Pot(id=f"{number}"))
    assert kitchen.since(0).list_again
    assert len(kitchen.told(2)) == 3


def test_after_a_checkpoint_nothing_before_it_is_known() -> None:
    kitchen = Kitchen()
    kitchen.put(Pot(id="a"))
    kitchen.recent.restart(Revision(7))
    assert kitchen.since(6).list_again
    assert not kitchen.since(7).list_again


@given(
    steps=st.lists(st.lists(st.sampled_from("abcdef"), max_size=3), max_size=30),
    after=st.integers(0, 30),
    most=st.integers(1, 40),
)
def test_nothing_is_missed_without_being_told(steps: list[list[str]], after: int, most: int) -> None:
    kitchen = Kitchen(remembered_max=most)
    newest: dict[str, int] = {}
    for revision, ids in enumerate(steps, start=1):
        kitchen.put(*(Pot(id=id, size=revision) for id in ids))
        newest |= dict.fromkeys(ids, revision)
    found = kitchen.since(after)
    if not found.list_again:
        expected = sorted((revision, id) for id, revision in newest.items() if revision > after)
        assert [(change.revision, change.id) for change in found.changes] == expected
