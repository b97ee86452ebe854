"""What nodes know of one another's being alive: what each says that it hears, and what is made of it."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from noded.core.ids import NodeId
from noded.core.record import Record


class State(StrEnum):
    """What a node is, as far as the asked one can say. `noded status` and the dashboard use these words."""

    UP = "up"  # everyone who listens to it hears it
    SUSPECT = "suspect"  # it was lost or came back just now, or this node can't tell: too few others can be asked
    PARTLY = "partly"  # some hear it and some don't
    DOWN = "down"  # nobody hears it, and a majority of the voters says so


class Hearing(msgspec.Struct, frozen=True, array_like=True):
    """Whether one node hears another, and since when, by its own clock."""

    node_id: NodeId
    heard: bool
    since_ms: int


class Pulse(msgspec.Struct, frozen=True, array_like=True):
    """How far a node's row has come. A later (life, beat) is newer; `changed` is the beat of its last news."""

    node_id: NodeId
    life: int  # grows with each start of its daemon
    beat: int  # grows with each round
    changed: int

    def is_newer_than(self, other: "Pulse | None") -> bool:
        """Whether the node has been alive later than `other` says."""
        return other is None or (self.life, self.beat) > (other.life, other.beat)

    def has_news_for(self, other: "Pulse | None") -> bool:
        """Whether who knows `other` does not know what the row holds now."""
        return other is None or (self.life, self.changed) > (other.life, other.changed)


class Row(msgspec.Struct, frozen=True, array_like=True):
    """What one node says: whom it hears, of those to whom it listens."""

    pulse: Pulse
    hearings: tuple[Hearing, ...]


class Exchange(msgspec.Struct, frozen=True, array_like=True):
    """What two nodes tell each other in a round: how far they know everyone's row, and the rows themselves."""

    pulses: tuple[Pulse, ...]
    rows: tuple[Row, ...]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """One node as the asked one sees it."""

    node_id: NodeId
    state: State
    since_ms: int
    seen_by: tuple[NodeId, ...]
    missed_by: tuple[NodeId, ...]  # who listens to it and doesn't hear it
    flaps: float = 0.0  # how often it was lost lately; old ones fade
    steady_s: float = 0.0  # how long it must be heard before it counts as up again


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """When a node became something else, as the asked one saw it."""

    at_ms: int
    state: State
    missed_by: tuple[NodeId, ...]


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """A node that can't be reached from here, and since when."""

    node_id: NodeId
    name: str
    since_ms: int


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What this node may do now: without a majority nothing can be changed from it."""

    has_majority: bool
    voters: tuple[NodeId, ...]
    voters_seen: tuple[NodeId, ...]
    lost: tuple[Lost, ...]  # members that it should hear and doesn't
    minority_since_ms: int | None  # None: a majority is there


class NodeVerdict(Record, frozen=True, kw_only=True, tag="node_verdict.1"):
    """A node is down: damped, confirmed by a majority, known to all alike. There is none of a node that is up."""

    NOUN: ClassVar[str] = "verdict"

    id: NodeId
    down_since_ms: int
    missed_by: tuple[NodeId, ...]
    declared_at_ms: int
