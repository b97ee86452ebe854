"""How commands and records become bytes and come back. Nothing is pickled: msgspec structs under append-only tags."""

import functools
import operator
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from noded.core.command import Command
from noded.core.errors import Invalid
from noded.core.origin import Origin
from noded.core.record import Record
from noded.core.unreadable import UNREADABLE

ENTRY_BYTES_MAX = 128 * 1024  # one entry must never hold up the log's heartbeats
_FORMAT = 2  # [2, origin, [command, ...]]


class Entry(NamedTuple):
    """What one entry of the log says."""

    origin: Origin
    commands: tuple[Command, ...]


class Codec:
    """The encodings of every registered command and record."""

    def __init__(self, commands: Sequence[type[Command]], records: Sequence[type[Record]]) -> None:
        self._tags = {_tag(kind) for kind in (*commands, *records)}
        self._encoder = msgspec.msgpack.Encoder(order="deterministic")
        self._entry = msgspec.msgpack.Decoder(tuple[int, Origin, tuple[_union(commands), ...]])  # type: ignore[misc]
        self._records = msgspec.msgpack.Decoder(list[_union(records)])  # type: ignore[misc]

    def encode_entry(self, origin: Origin, commands: Sequence[Command]) -> bytes:
        """One log entry. Raises `Invalid` when it is larger than an entry may be, or holds a number of over 64 bits."""
        try:
            entry = self._encoder.encode((_FORMAT, origin, tuple(commands)))
        except OverflowError:  # in what a client may say freely, such as attributes that Keystone does not know
            raise Invalid("A number in the request is too large: whole numbers may have 64 bits.") from None
        # A value of a wrong type can be encoded and not be decoded: it must be found here, and not in the log.
        self.decode_entry(entry)
        if len(entry) > ENTRY_BYTES_MAX:
            raise Invalid(f"The change is {len(entry)} bytes long; at most {ENTRY_BYTES_MAX} fit. Split it.")
        return entry

    def decode_entry(self, entry: bytes) -> Entry:
        """The entry; raises `msgspec.DecodeError` (`ValidationError` for an unknown tag or format)."""
        format_, origin, commands = self._entry.decode(entry)
        if format_ != _FORMAT:
            raise msgspec.ValidationError(f"entry format {format_} is not known to this release")
        return Entry(origin, tuple(commands))

    def is_of_newer_release(self, data: bytes) -> bool:
        """Whether an entry, or records, that can't be decoded here are of a newer release: format or tags say so."""
        try:
            said = msgspec.msgpack.decode(data)
        except UNREADABLE:
            return False
        match said:
            case [int(format_), _, *_] if format_ > _FORMAT:
                return True
            case [int(), _, list(structs)] | list(structs):
                return any(isinstance(each, dict) and each.get("$", "") not in self._tags for each in structs)
        return False

    def encode_records(self, records: Sequence[Record]) -> bytes:
        """Several records, in their order; equal records give equal bytes."""
        return self._encoder.encode(list(records))

    def decode_records(self, data: bytes) -> list[Record]:
        """The records of `encode_records`."""
        return list(self._records.decode(data))


def _tag(kind: type[msgspec.Struct]) -> str:
    tag = kind.__struct_config__.tag
    assert isinstance(tag, str), f"{kind.__name__} has no tag"
    return tag


def _union(kinds: Sequence[type]) -> object:
    """A tagged union of all kinds; a decoder of it finds the struct by its tag."""
    return functools.reduce(operator.or_, kinds)
