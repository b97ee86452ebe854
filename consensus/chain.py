"""How is it kept, beyond dispute, who changed what? Each entry of the log makes one line, and lines form a chain.

    head = BLAKE2b-256(head of the line before, its revision, this revision, what is covered)
    covered = the entry with its secrets hidden, the verdict, and what changed in which record

The newest head is part of the state, so all nodes agree on it at each revision and a checkpoint carries it. All that is
covered is the same on nodes of different releases: the entry is the log's own bytes, and of records it holds only the
fields that differ from their defaults. A refusal's words may differ, so they stand beside what is covered.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from consensus.store import Change
from noded.core.command import Command
from noded.core.record import Record
from noded.core.secrecy import HIDDEN, mask, secret_paths

CHANGES_BYTES_MAX: Final = 256 * 1024  # of one entry; beyond it only the ids of what changed are kept
CHANGES_MAX: Final = 5000  # ids of one entry
TEXT_CHARS_MAX: Final = 2000  # of one field; longer ones are cut
HEAD_BYTES: Final = 32
_FORMAT: Final = 1
_PLAIN: Final = frozenset({bool, int, float})
_NUMBERS: Final = struct.Struct(">QQ")

Fields = dict[str, Any]


class Link(NamedTuple):
    """Where the chain stands: the newest line's revision, and its head."""

    revision: int
    head: bytes

    def follow(self, revision: int, covered: bytes) -> "Link":
        """The link of the line after this one."""
        hasher = blake2b(self.head, digest_size=HEAD_BYTES)
        hasher.update(_NUMBERS.pack(self.revision, revision))
        hasher.update(covered)
        return Link(revision, hasher.digest())


START: Final = Link(0, bytes(HEAD_BYTES))


class RecordChange(msgspec.Struct, frozen=True, array_like=True):
    """What an entry did to one record. Without `before` it was added, without `after` removed; else these changed.

    Both are None if the whole entry changed too much to be kept. `owner` is the project that it belonged to all along.
    """

    table: str
    id: str
    owner: str | None
    before: Fields | None
    after: Fields | None


class Covered(msgspec.Struct, frozen=True, array_like=True):
    """What the chain covers of one entry. `verdict` is the kind of its refusal, empty if it was applied."""

    payload: bytes
    verdict: str
    changes: list[RecordChange]


class Line(msgspec.Struct, frozen=True, array_like=True):
    """One line of history. `previous` is the revision of the line before it."""

    format: int
    revision: int
    previous: int
    head: bytes
    covered: bytes
    code: str
    message: str

    @property
    def link(self) -> Link:
        """Where the chain stands after this line."""
        return Link(self.revision, self.head)

    def follows(self, link: Link) -> bool:
        """Whether it is the line after that one, and nobody changed it."""
        return self.previous == link.revision and link.follow(self.revision, self.covered) == self.link

    def content(self) -> Covered:
        """What the chain covers of it. Raises `msgspec.DecodeError` if somebody changed it."""
        return _decode_covered(self.covered)


class Keeper(Protocol):
    """Keeps lines on this node. What it can't keep is a gap, and never stops the log."""

    def keep(self, line: Line, before: Link) -> None:
        """Another line, which follows that link. Need not be durable: what a crash takes is made again from the log."""

    def resume(self, link: Link) -> None:
        """The state became what a checkpoint says. Lines after it come again; those before it may be missing."""

    def settle(self) -> None:
        """Make durable what was kept so far: a checkpoint will stand for the log. Called in worker threads."""


class NoKeeper:
    """Keeps nothing: for who needs the chain alone."""

    def keep(self, line: Line, before: Link) -> None: ...
    def resume(self, link: Link) -> None: ...
    def settle(self) -> None: ...


_encode = msgspec.msgpack.Encoder().encode
_decode_covered = msgspec.msgpack.Decoder(Covered).decode
_decode_line = msgspec.msgpack.Decoder(Line).decode


def encode_line(line: Line) -> bytes:
    """A line as bytes."""
    return _encode(line)


def decode_line(content: bytes) -> Line:
    """The line; raises `msgspec.DecodeError`."""
    line = _decode_line(content)
    if line.format != _FORMAT:
        raise msgspec.ValidationError(f"history format {line.format} is not known to this release")
    return line


def next_line(
    link: Link,
    revision: int,
    payload: bytes,
    commands: Sequence[Command],
    change: Change | None,
    verdict: str = "",
    code: str = "",
    message: str = "",
) -> Line:
    """The line of one entry. `commands` is empty if it could not be read, `change` None if nothing was changed."""
    readable = _without_secrets(payload, commands) if commands else blake2b(payload, digest_size=HEAD_BYTES).digest()
    changes = [] if change is None else changes_of(change)
    covered = _encode(Covered(readable, verdict, changes))
    if len(covered) - len(readable) > CHANGES_BYTES_MAX:
        changes = [RecordChange(each.table, each.id, each.owner, None, None) for each in changes[:CHANGES_MAX]]
        covered = _encode(Covered(readable, verdict, changes))
    following = link.follow(revision, covered)
    return Line(_FORMAT, revision, link.revision, following.head, covered, code, message[:TEXT_CHARS_MAX])


def _without_secrets(payload: bytes, commands: Iterable[Command]) -> bytes:
    # Nearly every entry is kept as the log has it, which costs nothing.
    if not any(secret_paths(_tag_of(type(command))) for command in commands):
        return payload
    entry = msgspec.msgpack.decode(payload)
    for command in entry[2]:
        mask(command, command["$"])
    return _encode(entry)


def changes_of(change: Change) -> list[RecordChange]:
    """What a transaction changed, secrets hidden, in the order in which it did."""
    found = []
    for (table, id), before in change.touched.items():
        after = change.row(table, id)
        if before is not after and before != after:
            found.append(_difference(table, id, before, after))
    return found


def _difference(table: str, id: str, before: Record | None, after: Record | None) -> RecordChange:
    owner = getattr(before if after is None else after, "project_id", None)
    if before is None or after is None:
        return RecordChange(table, id, owner, _image(before), _image(after))
    if owner != getattr(before, "project_id", None):
        owner = None
    fields = [
        name
        for name, _ in _fields_of(type(after))
        if (old := getattr(before, name, None)) is not (new := getattr(after, name)) and old != new
    ]
    return RecordChange(table, id, owner, _image(before, fields), _image(after, fields))


def _image(record: Record | None, only: Sequence[str] | None = None) -> Fields | None:
    """A record's fields that are not at their default (or only these), in plain values, secrets hidden."""
    if record is None:
        return None
    if only is None:
        return mask(_plain_struct(record), _tag_of(type(record)))
    return mask({name: _plain(getattr(record, name, None)) for name in only}, _tag_of(type(record)))


def _plain_struct(value: msgspec.Struct) -> Fields:
    image = {}
    for name, default in _fields_of(type(value)):
        each = getattr(value, name)
        if each is default or each == default:
            continue
        # Most fields are short texts and numbers: every entry goes through here.
        kind = type(each)
        is_plain = kind in _PLAIN or (kind is str and len(each) <= TEXT_CHARS_MAX)
        image[name] = each if is_plain else _plain(each)
    return image


def _plain(value: object) -> object:
    kind = type(value)
    if value is None or kind in _PLAIN:
        plain = value
    elif isinstance(value, Enum):
        plain = value.value
    elif isinstance(value, str):
        plain = value if len(value) <= TEXT_CHARS_MAX else f"{value[:TEXT_CHARS_MAX]}… ({len(value)} characters)"
    elif isinstance(value, msgspec.Struct):
        plain = _plain_struct(value)
    elif isinstance(value, Mapping):
        # Sorted: a record that came from a checkpoint may hold its entries in another order than where it was made.
        plain = {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    elif isinstance(value, list | tuple):
        plain = [_plain(each) for each in value]
    elif isinstance(value, frozenset | set):
        plain = sorted((_plain(each) for each in value), key=str)
    else:
        plain = HIDDEN  # raw bytes; a line must come of every entry, so there is no refusal here
    return plain


@cache
def _fields_of(kind: type[msgspec.Struct]) -> tuple[tuple[str, object], ...]:
    """The fields of a struct and their defaults."""
    return tuple(
        (field.name, field.default_factory() if callable(field.default_factory) else field.default)
        for field in msgspec.structs.fields(kind)
    )


@cache
def _tag_of(kind: type[msgspec.Struct]) -> str:
    return str(kind.__struct_config__.tag)


@cache
def _defaults_of(kind: type[Record]) -> Fields:
    return {name: _plain(default) for name, default in _fields_of(kind) if default is not msgspec.NODEFAULT}


def defaults_of(kind: type[Record]) -> Fields:
    """The fields that images of such a record leave out when they have these values, in plain form."""
    return dict(_defaults_of(kind))
