"""What history asks of this node: the lines that it keeps, where the chain stands, and words for what they hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from consensus.chain import Line, Link
from noded.core.command import Command
from noded.core.record import Record, table_of


class Span(NamedTuple):
    """Lines that follow one another: behind `base`, up to the revision `end`."""

    base: Link
    end: int


class Stretch(NamedTuple):
    """A span as it was read. `damaged`: behind these revisions stands a line that can't be read."""

    base: Link
    lines: list[Line]
    damaged: list[int]


class Book(Protocol):
    """This node's lines. Reading takes time: ask in worker threads. `consensus/host/history_files.py` is one."""

    def spans(self) -> list[Span]:
        """What is kept, oldest first, up to the newest line. Between two spans may be a gap."""

    def stretch(self, base_revision: int) -> Stretch | None:
        """The lines of the span behind that revision; None if it is kept no more."""

    def fill(self, stretch: Stretch) -> bool:
        """Put lines from another node into a gap; False if there is no room left for older ones. Raises OSError."""


class ChainState(Protocol):
    """The state, as far as history is concerned. `consensus.machine.Machine` is one."""

    @property
    def link(self) -> Link:
        """Where the chain stands: the newest line of all that this node has applied."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How commands and records are called. Made by `vocabulary_of`."""

    told: Mapping[str, str]  # by command tag: what it did
    nouns: Mapping[str, str]  # by table
    kinds: Mapping[str, type[Record]]  # by table

    @property
    def named_kinds(self) -> list[type[Record]]:
        """The records that have a name."""
        return [kind for kind in self.kinds.values() if "name" in kind.__struct_fields__]


def vocabulary_of(commands: Iterable[type[Command]], records: Iterable[type[Record]]) -> Vocabulary:
    """The words of these commands and records."""
    kinds = {table_of(record): record for record in records}
    told = {str(command.__struct_config__.tag): command.TOLD for command in commands}
    return Vocabulary(told, {table: kind.NOUN for table, kind in kinds.items()}, kinds)
