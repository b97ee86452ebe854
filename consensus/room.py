"""Has the log room on this node's disk, and may the cluster still write? Decides; touches nothing.

    free space    |—— full ——|———— low ————|———————— enough ————————
                  0      low_bytes / 4   low_bytes

Low: this node leads no longer if a voter with room can, and lets others campaign first. Full: it takes no entries and
never campaigns; it only follows, so that its process need not end. Beside the free space lies a reserve, a file without
content: it is given back when a checkpoint or a rewrite of the journal would not fit, for these make room.
"""

from collections.abc import Collection, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from noded.core.units import MIB

RESERVE_BYTES: Final = 64 * MIB
LOW_BYTES: Final = 64 * MIB
_SHARE_MAX: Final = 16  # neither takes more than this part of a small file system
_ENOUGH_AGAIN: Final = 1.25  # so that a disk at the limit does not go back and forth


class Standing(IntEnum):
    """How much room the log has on a node."""

    FULL = 0
    LOW = 1
    ENOUGH = 2


class Space(NamedTuple):
    """A file system, in bytes."""

    total: int
    free: int


class Shortage(NamedTuple):
    """What a node without enough room has, and what it needs, in bytes."""

    free: int
    needed: int


class Limits(NamedTuple):
    """How much is kept free, in bytes; of a small file system only a part."""

    reserve: int = RESERVE_BYTES
    low: int = LOW_BYTES

    def within(self, total: int) -> "Limits":
        """The limits on a file system of that size."""
        share = total // _SHARE_MAX
        return Limits(min(self.reserve, share), min(self.low, share))


NO_LIMITS: Final = Limits(0, 0)


class LogRoom(msgspec.Struct, frozen=True, kw_only=True):
    """How the log's disk is on one node, as it says itself. Never stored."""

    standing: Standing
    free_bytes: int
    needed_bytes: int  # below this much free space the node is short of room
    reserve_bytes: int  # what of the reserve is still there
    checkpoint_fault: str  # why the last checkpoint could not be written; empty if it could
    stopped_by: dict[str, Shortage]  # the nodes whose disks keep the cluster from taking writes


def standing(free: int, low: int, before: Standing) -> Standing:
    """What that much free space means, after what it meant before."""
    if free < low // 4:
        return Standing.FULL
    if free < low or (before is not Standing.ENOUGH and free < low * _ENOUGH_AGAIN):
        return Standing.LOW
    return Standing.ENOUGH


def shortages_that_stop(
    leader: str, voters: Collection[str], linked: Collection[str], short: Mapping[str, Shortage]
) -> dict[str, Shortage]:
    """The voters without room, if the leader must refuse writes because of them; else nothing.

    It must when no majority of the voters has room, or when it has none itself and nobody who has can take over.
    """
    lacking = {voter: short[voter] for voter in voters if voter in short}
    with_room = set(voters) - lacking.keys()
    if 2 * len(with_room) <= len(voters):
        return lacking
    return lacking if leader in lacking and not with_room & set(linked) else {}
