"""How does a replica of an extent come into being on another disk, while guests write? Filled, then adopted by the log.

    joining ─member current─► FILLING: sent every write of the extent, and compared from its first stamp on
                                 │ equal
                                 ▼
                              COMPLETE ─adopt─► one more replica of the layout ─(the log)─► the old one is dropped

The disk may hold other extents of the volume, in sync, for which it is told the watermark: that watermark says nothing
of an extent that is joining, so all of it is compared. A connection that ends begins everything anew.
"""

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from storage.extents.authority import VolumeMap
from storage.extents.comparison import Comparison
from storage.extents.layout import BLOCK_SHIFT
from storage.extents.member import Member, MemberState

if TYPE_CHECKING:
    from storage.extents.replication import Owner

Layout = tuple[tuple[str, ...], ...]

FILLING_MAX: Final = 2  # extents of one volume at a time; those that are complete don't count


class Join:
    """One extent on its way to one disk. Implements `comparison.Since`: nothing there is known to be right."""

    watermark = 0

    def __init__(self, member: Member, extent: int, sent_after: int, resent: frozenset[int]) -> None:
        self.member = member
        self.extent = extent
        self.sent_after = sent_after
        self.resent = resent
        self.is_complete = False
        self.comparison: Comparison | None = None

    def is_sent(self, stamp: int) -> bool:
        """Whether the write of that stamp is sent to the replica since it has been joining."""
        return stamp > self.sent_after or stamp in self.resent


class Joins:
    """All joining replicas of one volume."""

    def __init__(self, owner: "Owner") -> None:
        self._owner = owner
        self._joins: dict[tuple[int, Member], Join] = {}
        # What has been moved is told when it counts.
        self._brought: dict[tuple[int, Member], int] = {}
        self._budget = 0.0
        self._paid_at = owner.surroundings.now()

    def sent(self, extent: int) -> list[Member]:
        """Who is sent the writes of an extent although it is no part of the layout yet."""
        return [member for (at, member) in self._joins if at == extent]

    def has(self, member: Member) -> bool:
        """Whether some extent is joining on the replica's disk now."""
        return any(other is member for _, other in self._joins)

    def complete(self, member: Member) -> tuple[int, ...]:
        """The extents that can be adopted on the replica's disk."""
        if not self._is_ready(member):
            return ()
        wanted = {joiner.extent for joiner in self._owner.in_sync.volume.joining if joiner.disk_id == member.disk_id}
        found = [extent for (extent, other), join in self._joins.items() if other is member and join.is_complete]
        return tuple(sorted(extent for extent in found if extent in wanted))

    def blocks_brought(self, member: Member, extents: Iterable[int]) -> int:
        """How many blocks with bytes were copied for these extents to the replica's disk, by whichever owner."""
        return sum(self._brought.get((extent, member), 0) for extent in extents)

    def progress(self) -> dict[str, int]:
        """For each extent and disk, how many blocks have been copied."""
        return {
            f"{extent}/{member.disk_id}": join.comparison.blocks_copied if join.comparison else 0
            for (extent, member), join in self._joins.items()
        }

    # --- what changes

    def lost(self, member: Member) -> None:
        """A replica's connection has ended: what was joining there begins anew; where it was the source, too."""
        for key, join in tuple(self._joins.items()):
            if key[1] is member or (join.comparison is not None and join.comparison.involves(member)):
                self._end(key)

    def stop(self) -> None:
        """The volume opens anew: until then nobody can say what is right."""
        for key in tuple(self._joins):
            self._end(key)

    def settle(self, before: Layout, volume: VolumeMap) -> None:
        """The layout is another one. Whoever got an extent without having been filled on this connection, because the
        log's answer was lost on the way, must be brought up to date by the front door."""
        wanted = {(joiner.extent, joiner.disk_id) for joiner in volume.joining}
        for member in tuple(self._owner.members.values()):
            gained = _gained(before, volume.layout, member.disk_id)
            joins = [self._joins.pop((extent, member), None) for extent in gained]
            for extent in gained:
                self._brought.pop((extent, member), None)
            if gained and self._owner.direct is not None:
                self._owner.direct.forget(member)
            if not all(join is not None and join.is_complete for join in joins):
                self._unfilled(member)
        for key in tuple(self._joins):
            if (key[0], key[1].disk_id) not in wanted:
                self._end(key)

    def _unfilled(self, member: Member) -> None:
        if member.state in {MemberState.SYNCING, MemberState.CURRENT}:
            self._owner.fail(member, "it was adopted while it was away")

    def tick(self) -> None:
        """Begin what can begin, and go on with what had to wait for its share of the disks."""
        owner = self._owner
        if not owner.is_open or not owner.writes:
            return
        self._pay()
        for join in tuple(self._joins.values()):
            if join.comparison is not None:
                join.comparison.go_on()
        filling = sum(not join.is_complete for join in self._joins.values())
        for joiner in owner.in_sync.volume.joining:
            member = owner.members.get(joiner.disk_id)
            if member is None or (joiner.extent, member) in self._joins or filling >= FILLING_MAX:
                continue
            if self._is_ready(member) and joiner.extent < len(owner.layout) and owner.readers[joiner.extent]:
                filling += 1
                self._begin(member, joiner.extent)

    def _is_ready(self, member: Member) -> bool:
        """Whether the disk is current in what it holds already. One that was perhaps adopted is not touched."""
        owner = self._owner
        if member.state is not MemberState.CURRENT:
            return False
        holds = any(member.disk_id in disks for disks in owner.layout)
        return owner.in_sync.counts(member) if holds else True

    # --- filling

    def _begin(self, member: Member, extent: int) -> None:
        owner = self._owner
        under_way = [write for write in owner.inflight.values() if write.extent == extent]
        join = Join(member, extent, owner.stamp, frozenset(write.stamp for write in under_way))
        self._joins[extent, member] = join
        owner.refresh()
        for write in under_way:
            write.send_again(member)
        join.comparison = Comparison(
            owner,
            [extent],
            lambda at: [*owner.readers[at][:1], member],
            partial(self._filled, join),
            target=member,
            since=join,
            may_copy=self._may_copy,
        )
        owner.surroundings.note("replica joining", disk=member.disk_id, extent=extent)
        join.comparison.proceed()

    def _filled(self, join: Join) -> None:
        assert join.comparison is not None
        blocks = join.comparison.blocks_copied
        self._brought[join.extent, join.member] = join.comparison.blocks_brought
        join.is_complete = True
        join.comparison = None
        self._owner.surroundings.note("replica filled", disk=join.member.disk_id, extent=join.extent, blocks=blocks)
        self._owner.in_sync.adjust()

    def _end(self, key: tuple[int, Member]) -> None:
        join = self._joins.pop(key)
        if join.comparison is not None:
            join.comparison.cancel()
        self._owner.refresh()
        self._owner.settle_inflight()

    # --- no faster than it may

    def _pay(self) -> None:
        now, rate = self._owner.surroundings.now(), self._owner.in_sync.volume.copy_bytes_s
        # At most a second's worth is saved up.
        self._budget = min(self._budget + rate * (now - self._paid_at), float(rate))
        self._paid_at = now

    def _may_copy(self, blocks: int) -> bool:
        if not self._owner.in_sync.volume.copy_bytes_s:
            return True
        if self._budget <= 0:
            return False
        self._budget -= blocks << BLOCK_SHIFT
        return True


def _gained(before: Layout, after: Layout, disk_id: str) -> list[int]:
    """The extents that a disk has a replica of now and had none of before."""
    return [
        extent
        for extent, disks in enumerate(after)
        if disk_id in disks and (extent >= len(before) or disk_id not in before[extent])
    ]
