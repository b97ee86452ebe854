"""What a watcher is told: which records changed after a revision, or that it must list again."""

import msgspec

from noded.core.ids import Revision


class RecordChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A record's newest change: in which table, and whether it is gone."""

    kind: str  # the table: a record's tag without its version
    id: str
    revision: Revision
    gone: bool


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """All changes after the revision that was asked with, up to `revision`; each record once.

    `list_again`: they are too many, or too long ago to be remembered. Then read everything, in a view of at least this
    revision, and go on watching from the view's.
    """

    revision: Revision
    changes: tuple[RecordChanged, ...] = ()
    list_again: bool = False
