"""What the cluster knows, on this node: tables of records in persistent maps, so that a view costs nothing to keep.

Every change makes a new picture that shares what did not change with the one before. Nothing here depends on the order
in which maps iterate: results are ordered by id, so equal logs give equal states whatever PYTHONHASHSEED says.
"""

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator
from typing import Final, TypeVar, cast

from immutables import Map, MapMutation

from noded.core.errors import NotFound
from noded.core.ids import Revision
from noded.core.record import Record, table_of

R = TypeVar("R", bound=Record)

Rows = Map[str, Record]
Index = Map[object, Map[str, None]]

_RUN_KEYS: Final = 10_000

_NO_ROWS: Rows = Map()
_NO_INDEX: Index = Map()
_NO_IDS: Map[str, None] = Map()


def _indexed_values(record: Record, field: str) -> Iterable[object]:
    value = getattr(record, field)
    if isinstance(value, tuple):
        return value
    return () if value is None else (value,)


class _Reader:
    """Reading, alike for a finished picture and for one that a log entry is changing."""

    __slots__ = ("_indexes", "_revision", "_rows")

    def __init__(self, rows: Map[str, Rows], indexes: Map[tuple[str, str], Index], revision: Revision) -> None:
        self._rows = rows
        self._indexes = indexes
        self._revision = revision

    @property
    def revision(self) -> Revision:
        return self._revision

    def get(self, kind: type[R], id: str) -> R | None:
        return cast("R | None", self._rows.get(table_of(kind), _NO_ROWS).get(id))

    def need(self, kind: type[R], id: str) -> R:
        record = self.get(kind, id)
        if record is None:
            raise NotFound.of(kind.NOUN, id)
        return record

    def all(self, kind: type[R]) -> list[R]:
        rows = self._rows.get(table_of(kind), _NO_ROWS)
        return [cast(R, rows[key]) for key in sorted(rows)]

    def count(self, kind: type[R]) -> int:
        return len(self._rows.get(table_of(kind), _NO_ROWS))

    def find(self, kind: type[R], field: str, value: object) -> list[R]:
        assert field in kind.INDEXED, f"{kind.__name__}.{field} is not indexed"
        table = table_of(kind)
        ids = self._indexes.get((table, field), _NO_INDEX).get(value, _NO_IDS)
        rows = self._rows.get(table, _NO_ROWS)
        return [cast(R, rows[key]) for key in sorted(ids)]


class Picture(_Reader):
    """The whole store at one revision; immutable. Also knows when each table last changed."""

    __slots__ = ("_changed_at",)

    def __init__(
        self,
        rows: Map[str, Rows],
        indexes: Map[tuple[str, str], Index],
        changed_at: Map[str, int],
        revision: Revision,
    ) -> None:
        super().__init__(rows, indexes, revision)
        self._changed_at = changed_at

    @classmethod
    def empty(cls) -> "Picture":
        """The store before the first entry."""
        return cls(Map(), Map(), Map(), Revision(0))

    @property
    def size(self) -> int:
        """How many records there are."""
        return sum(len(rows) for rows in self._rows.values())

    def changed_at(self, tables: Collection[str]) -> int:
        """The newest revision at which one of `tables` changed; 0 if none ever did."""
        return max((self._changed_at.get(table, 0) for table in tables), default=0)

    def begin(self, revision: Revision) -> "Change":
        """A transaction on top of this picture, for the entry at `revision`."""
        return Change(self._rows, self._indexes, self._changed_at, revision)

    def at(self, revision: Revision) -> "Picture":
        """The same state, seen later: an entry that was refused still moves the revision."""
        return Picture(self._rows, self._indexes, self._changed_at, revision)

    def records(self) -> Iterator[Record]:
        """Every record of every table, in one order everywhere."""
        for table in sorted(self._rows):
            rows = self._rows[table]
            for key in _in_order(rows):
                yield rows[key]


class Loading:
    """Builds a whole picture at once, from a checkpoint: much cheaper than a change for each record."""

    def __init__(self, revision: Revision) -> None:
        self._revision = revision
        self._rows: dict[str, MapMutation[str, Record]] = {}
        self._indexes: dict[tuple[str, str], MapMutation[object, Map[str, None]]] = {}
        self.count = 0

    def add(self, records: Collection[Record]) -> None:
        """More records, each once."""
        for record in records:
            table = table_of(type(record))
            rows = self._rows.get(table)
            if rows is None:
                rows = self._rows[table] = _NO_ROWS.mutate()
                self._indexes |= {(table, field): _NO_INDEX.mutate() for field in record.INDEXED}
            rows[record.id] = record
            for field in record.INDEXED:
                index = self._indexes[table, field]
                for value in _indexed_values(record, field):
                    index[value] = index.get(value, _NO_IDS).set(record.id, None)
        self.count += len(records)

    def finish(self) -> Picture:
        """The picture; every table changed at its revision."""
        return Picture(
            Map({table: rows.finish() for table, rows in self._rows.items()}),
            Map({key: index.finish() for key, index in self._indexes.items()}),
            Map(dict.fromkeys(self._rows, int(self._revision))),
            self._revision,
        )


def _in_order(rows: Rows) -> Iterator[str]:
    """The keys, sorted a run at a time: one sort of a million would hold up every thread of the process."""
    keys = iter(rows)
    runs = list(iter(lambda: sorted(itertools.islice(keys, _RUN_KEYS)), []))
    return iter(runs[0]) if len(runs) == 1 else heapq.merge(*runs)


class Change(_Reader):
    """A transaction: what one log entry does to a picture. Dropping it changes nothing.

    `touched` says of each record that it put or deleted what it was before; None if it was not there.
    """

    __slots__ = ("_changed_at", "touched")

    def __init__(
        self,
        rows: Map[str, Rows],
        indexes: Map[tuple[str, str], Index],
        changed_at: Map[str, int],
        revision: Revision,
    ) -> None:
        super().__init__(rows, indexes, revision)
        self._changed_at = changed_at
        self.touched: dict[tuple[str, str], Record | None] = {}

    def put(self, record: Record) -> None:
        table = table_of(type(record))
        rows = self._rows.get(table, _NO_ROWS)
        before = rows.get(record.id)
        self.touched.setdefault((table, record.id), before)
        if before is not None:
            self._unindex(table, before)
        self._rows = self._rows.set(table, rows.set(record.id, record))
        self._changed_at = self._changed_at.set(table, self._revision)
        for field in record.INDEXED:
            index = self._indexes.get((table, field), _NO_INDEX)
            for value in _indexed_values(record, field):
                index = index.set(value, index.get(value, _NO_IDS).set(record.id, None))
            self._indexes = self._indexes.set((table, field), index)

    def delete(self, kind: type[R], id: str) -> None:
        record = self.need(kind, id)
        table = table_of(kind)
        self.touched.setdefault((table, id), record)
        self._unindex(table, record)
        self._rows = self._rows.set(table, self._rows[table].delete(id))
        self._changed_at = self._changed_at.set(table, self._revision)

    def row(self, table: str, id: str) -> Record | None:
        """The record as it is now, whatever its kind."""
        return self._rows.get(table, _NO_ROWS).get(id)

    def commit(self) -> Picture:
        """The picture that this change leads to."""
        return Picture(self._rows, self._indexes, self._changed_at, self._revision)

    def _unindex(self, table: str, record: Record) -> None:
        for field in record.INDEXED:
            index = self._indexes[table, field]
            for value in _indexed_values(record, field):
                ids = index.get(value, _NO_IDS)
                if record.id not in ids:
                    continue  # the same element twice in one tuple
                ids = ids.delete(record.id)
                index = index.set(value, ids) if ids else index.delete(value)
            self._indexes = self._indexes.set((table, field), index)
