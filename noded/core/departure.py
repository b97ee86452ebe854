"""What hangs on a node, and what becomes of it when the node goes for good? Each service says its own part.

A service's `departure` hook is a pure function of the store: what the node holds of that service, and the commands that
settle it. All services' commands and the removal of the node itself are one entry of the log, so that no record ever
names a node that is gone. Each command checks again what its hook assumed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import msgspec

from noded.core.command import Command
from noded.core.ids import NodeId
from noded.core.store import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaver:
    """The node that goes, and what its services may count on."""

    node_id: NodeId
    reachable: frozenset[NodeId]  # other nodes that were heard from within the last seconds
    answers: bool = True  # whether the node itself was
    forced: bool = False  # what would be lost may be lost
    now_ms: int = 0


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is on a node, and what becomes of it when the node goes."""

    noun: str
    id: str
    name: str
    fate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """What a node holds, what would be lost with it, what stands against its going, and what settles the rest."""

    holds: tuple[Hold, ...] = ()
    losses: tuple[str, ...] = ()  # refused unless forced
    obstacles: tuple[str, ...] = ()  # refused, forced or not
    commands: tuple[Command, ...] = field(default=(), repr=False)


DepartureHook = Callable[[View, Leaver], Departure]


def departure_of(hooks: Iterable[DepartureHook], view: View, leaver: Leaver) -> Departure:
    """The departures of all services as one, in their order."""
    parts = [hook(view, leaver) for hook in hooks]
    return Departure(
        holds=tuple(each for part in parts for each in part.holds),
        losses=tuple(each for part in parts for each in part.losses),
        obstacles=tuple(each for part in parts for each in part.obstacles),
        commands=tuple(each for part in parts for each in part.commands),
    )
