"""Which records changed lately? A bounded memory of what the newest entries did: nothing is kept for a watcher.

A watcher comes back with the revision up to which it knows everything. If that is too long ago it is told so, and lists
again: however slow it is, it costs no memory here, and it never misses a change without being told.
"""

from collections import deque
from collections.abc import Collection
from typing import Final, NamedTuple

from consensus.store import Change
from noded.core.ids import Revision
from noded.core.watch import RecordChanged, Watched

REMEMBERED_MAX: Final = 20_000  # changes of records
TOLD_MAX: Final = 2_000  # changes in one answer: beyond it, listing again is cheaper for both sides


class _Touched(NamedTuple):
    table: str
    id: str
    gone: bool


class Recent:
    """The changes of the newest entries."""

    def __init__(self, *, remembered_max: int = REMEMBERED_MAX, told_max: int = TOLD_MAX) -> None:
        self._remembered_max = remembered_max
        self._told_max = told_max
        self._entries: deque[tuple[Revision, tuple[_Touched, ...]]] = deque()
        self._count = 0
        self._complete_after = Revision(0)

    def add(self, revision: Revision, change: Change) -> None:
        """The entry at `revision` made that change."""
        touched = tuple(_Touched(table, id, change.row(table, id) is None) for table, id in change.touched)
        if not touched:
            return
        self._entries.append((revision, touched))
        self._count += len(touched)
        while self._count > self._remembered_max:
            forgotten, changes = self._entries.popleft()
            self._count -= len(changes)
            self._complete_after = forgotten

    def restart(self, revision: Revision) -> None:
        """The state came from a checkpoint: what led to it is not known."""
        self._entries.clear()
        self._count = 0
        self._complete_after = revision

    def since(self, after: int, tables: Collection[str], now: Revision) -> Watched:
        """What changed in these tables after that revision, up to `now`, the newest applied; oldest first."""
        found: dict[tuple[str, str], RecordChanged] = {}
        if after < self._complete_after:
            return Watched(revision=now, list_again=True)
        for revision, touched in reversed(self._entries):
            if revision <= after:
                break
            for table, id, gone in touched:
                if table in tables and (table, id) not in found:
                    found[table, id] = RecordChanged(kind=table, id=id, revision=revision, gone=gone)
            if len(found) > self._told_max:
                return Watched(revision=now, list_again=True)
        return Watched(revision=now, changes=tuple(sorted(found.values(), key=_order)))


def _order(change: RecordChanged) -> tuple[int, str, str]:
    return (change.revision, change.kind, change.id)
