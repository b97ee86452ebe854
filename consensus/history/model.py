"""What is asked of history, and what it answers. Nothing here is in the store: history lives in files of its own."""

from typing import Any, Final

import msgspec

LINES_DEFAULT: Final = 50
LINES_MAX: Final = 1000
RECORDS_MAX: Final = 2000  # of one difference
HEADS_MAX: Final = 20_000  # of one comparison with another node


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines are wanted: all that fit, newest first."""

    object: str = ""  # an id or name that a command names or a record has
    user: str = ""  # a name, an id, or a word such as `console:ID`
    since_ms: int | None = None
    until_ms: int | None = None
    before: int | None = None  # only lines older than this revision: the next page
    limit: int = LINES_DEFAULT
    project_id: str | None = None  # only what surely is this project's own; None: everything


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a line changed."""

    noun: str
    id: str
    name: str = ""


class HistoryLine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="line"):
    """Who did what, when, from where, and what came of it."""

    revision: int
    at: str
    at_ms: int
    who: str  # `user:ID`, `console:NODE`, `node:ID` or `anyone`
    name: str  # the same for people
    address: str
    request_id: str
    project_id: str
    told: tuple[str, ...]  # a sentence a command
    tags: tuple[str, ...]
    objects: tuple[Object, ...]
    outcome: str  # "applied" or "refused"
    reason: str
    hash: str  # the chain's head after this line


class HistoryGap(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="gap"):
    """Lines that this node does not have: those after one revision, up to another."""

    after: int
    until: int


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines, newest first."""

    lines: tuple[HistoryLine | HistoryGap, ...]
    kept_after: int  # nothing older is kept here
    head: str  # `REVISION:HASH` of the newest line: noted elsewhere, it proves later that nothing was altered
    older: int | None  # `before` of the next page; None: there is none


class DiffQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Which difference is wanted."""

    from_revision: int
    to_revision: int
    object: str = ""


class RecordDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How one record differs. `fields`: old and new value; empty if the change was too large to be kept."""

    noun: str
    id: str
    name: str
    change: str  # "added", "removed" or "changed"
    fields: dict[str, tuple[Any, Any]]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """How the store differs between two revisions."""

    from_revision: int
    to_revision: int
    records: tuple[RecordDifference, ...]
    left_out: int  # records beyond `RECORDS_MAX`


class VerifyCall(msgspec.Struct, frozen=True, kw_only=True):
    """`expect` is a noted `REVISION:HASH`, or empty."""

    expect: str = ""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was written, and at which revision it shows."""

    revision: int
    what: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What another node says. `differs_from` is the first revision at which its line is another one."""

    node_id: str
    name: str
    answered: bool
    compared: int = 0
    differs_from: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether this node's history is what the log wrote."""

    node_id: str
    kept_after: int
    lines: int
    head: str
    gaps: tuple[HistoryGap, ...]
    problems: tuple[Problem, ...]
    nodes: tuple[Comparison, ...] = ()
    expected: str = ""  # "", "equal", "altered" or "unknown"

    @property
    def is_whole(self) -> bool:
        """Whether all is there, and nothing speaks against it."""
        agree = all(node.differs_from is None for node in self.nodes)
        return not self.problems and not self.gaps and agree and self.expected in {"", "equal"}
