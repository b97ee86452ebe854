"""Which replicas must have a write before it is acknowledged? The in-sync set, as the log knows it, and its changes.

The set is changed through the log alone, one change at a time, and the next change is chosen afresh from what is the
case then. A change whose answer was lost is asked for again, unaltered, until there is an answer: a different change
could be applied before the lost one. Until then a replica that may have been added counts.
"""

from typing import TYPE_CHECKING, Final

from noded.core.errors import NotFound, Refused
from noded.core.ids import DiskId
from storage.extents import authority
from storage.extents.authority import Adopt, Grow, Locate, Shrink, Thaw, VolumeMap
from storage.extents.layout import may_leave
from storage.extents.member import Member, MemberState

if TYPE_CHECKING:
    from storage.extents.replication import Owner

# How long a replica may be gone before it is taken out of the set. Guests' writes wait for so long: an extent server
# that is started again at once costs two small entries in the log less.
AWAY_SECONDS_MAX: Final = 0.7
# At the start of the owner there is more patience: the hosts may all be starting.
OPENING_SECONDS_MAX: Final = 3.0
ASK_AGAIN_SECONDS: Final = 0.5
LOOK_AGAIN_SECONDS: Final = 10.0

_CONNECTED: Final = frozenset((MemberState.SEALED, MemberState.SYNCING, MemberState.CURRENT))


class InSyncSet:
    """The set, and the one change that may be under way."""

    def __init__(self, owner: "Owner", volume: VolumeMap) -> None:
        self._owner = owner
        self.volume = volume
        self._asked: authority.Request | None = None
        # The bit of a replica that the log has been asked to add: it may be in the set until a map says otherwise.
        self._perhaps_added = 0
        # The same for joining replicas: they may be part of the layout.
        self._perhaps_adopted: dict[int, int] = {}
        self._ask_again_at: float | None = None
        self._looked_at = owner.surroundings.now()
        self._must_look = False

    def counts(self, member: Member) -> bool:
        """Whether a replica is a member of the set."""
        return member.disk_id in self.volume.in_sync

    def bits(self) -> int:
        """The members of the set."""
        members = self._owner.members
        return sum(members[disk].bit for disk in self.volume.in_sync if disk in members)

    def counted_bits(self) -> int:
        """The members of the set, and the one that is perhaps being added."""
        return self.bits() | self._perhaps_added

    def perhaps_adopted_bits(self, extent: int) -> int:
        """Who the log has been asked to make a replica of the extent, and may have."""
        return self._perhaps_adopted.get(extent, 0)

    def is_whole(self) -> bool:
        """Whether every replica is in the set, and none is still to be made."""
        return not self.volume.joining and len(self.volume.in_sync) == len(
            {disk for disks in self.volume.layout for disk in disks}
        )

    def is_indispensable(self, member: Member) -> bool:
        """Whether some extent would be left without an in-sync replica if this one left."""
        return not may_leave(self.volume.layout, self.volume.in_sync, (member.disk_id,))

    def look_again(self) -> None:
        """What is known of the set is out of date: ask for it at the next occasion."""
        self._must_look = True

    @property
    def is_settled(self) -> bool:
        """Whether no change of the set is under way."""
        return self._asked is None

    def adjust(self) -> None:
        """Ask for the next change that is needed, unless one is under way."""
        if self._owner.freezing.keeps_set:
            return
        now = self._owner.surroundings.now()
        if self._asked is not None:
            if self._ask_again_at is not None and now >= self._ask_again_at:
                self._ask(self._asked)
            return
        wanted = self._wanted(now)
        if wanted is not None:
            self._ask(wanted)

    def told(self, volume: VolumeMap) -> None:
        """The log's answer: from now on this set counts."""
        owner = self._owner
        asked, self._asked = self._asked, None
        self._ask_again_at = None
        self._perhaps_added = 0
        self._perhaps_adopted = {}
        self._must_look = False
        self._looked_at = owner.surroundings.now()
        if volume.epoch != owner.epoch and owner.writes:
            owner.stop(f"the volume is at epoch {volume.epoch} now, this owner has {owner.epoch}")
            return
        owner.epoch = volume.epoch
        if volume.in_sync != self.volume.in_sync:
            owner.surroundings.note("in-sync set changed", asked=type(asked).__name__, in_sync=volume.in_sync)
        before, self.volume = self.volume, volume
        moved = (volume.layout, volume.joining) != (before.layout, before.joining)
        if moved:
            owner.take_layout(volume)
        if volume.layer != before.layer:
            owner.change_layer()
        if moved:
            owner.tell_changes()
        owner.refresh()
        owner.settle_inflight()
        owner.recovery.set_changed()
        if isinstance(asked, Thaw):
            owner.freezing.thawed()
        self.adjust()

    def refused(self, refusal: Refused) -> None:
        """The log's no. Only an answer of the log ends a change; anything else leaves it open."""
        if isinstance(refusal, NotFound) or refusal.code == authority.SUPERSEDED:
            self._owner.stop(str(refusal))
        elif refusal.code in {authority.STALE_CHANGE, authority.LAST_REPLICA}:
            # An earlier attempt, whose answer was lost, may have changed the set; so what it is must be seen.
            self._ask(Locate(self.volume.volume_id))
        else:
            self._ask_again_at = self._owner.surroundings.now() + ASK_AGAIN_SECONDS

    def _ask(self, request: authority.Request) -> None:
        self._asked = request
        self._ask_again_at = None
        if isinstance(request, Grow):
            self._perhaps_added = self._owner.members[request.disk_id].bit
        elif isinstance(request, Adopt):
            self._perhaps_adopted = dict.fromkeys(request.extents, self._owner.members[request.disk_id].bit)
        # Who counts may depend on what is asked.
        self._owner.refresh()
        self._owner.surroundings.ask(request)

    def _wanted(self, now: float) -> authority.Request | None:
        volume = self.volume
        if self._owner.freezing.wants_thaw:
            return Thaw(volume.volume_id, volume.epoch, volume.changes)
        if self._owner.writes and (change := self._wanted_change(now)) is not None:
            return change
        away = any(member.state is MemberState.AWAY for member in self._owner.members.values())
        doubtful = away or not self.is_whole()
        # A disk may have another address now, or a parent may be in sync where it was not.
        if self._must_look or (doubtful and now - self._looked_at > LOOK_AGAIN_SECONDS):
            return Locate(volume.volume_id)
        return None

    def _wanted_change(self, now: float) -> authority.Request | None:
        volume = self.volume
        leaving = tuple(member.disk_id for member in self._owner.members.values() if self._must_leave(member, now))
        if leaving:
            return Shrink(volume.volume_id, volume.epoch, volume.changes, leaving)
        for member in self._owner.members.values():
            if self._may_join(member):
                return Grow(volume.volume_id, volume.epoch, volume.changes, member.disk_id)
        return self._adoption()

    def _adoption(self) -> Adopt | None:
        volume, joins = self.volume, self._owner.joins
        for member in self._owner.members.values():
            if extents := joins.complete(member):
                brought = joins.blocks_brought(member, extents)
                return Adopt(volume.volume_id, volume.epoch, volume.changes, member.disk_id, extents, brought)
        return None

    def _must_leave(self, member: Member, now: float) -> bool:
        if member.disk_id not in self.volume.in_sync or member.state in _CONNECTED:
            return False
        patience = AWAY_SECONDS_MAX if self._owner.is_open else OPENING_SECONDS_MAX
        if now - member.away_since <= patience and not member.is_full:
            return False
        if not self._owner.is_open and not self._owner.lease.may_be_left_out(now):
            return False
        # Those that stay must be there: of several that are all gone, nobody knows which will return.
        return all(
            any(self._is_connected(disk) for disk in disks) for disks in self.volume.layout if member.disk_id in disks
        )

    def _is_connected(self, disk_id: DiskId) -> bool:
        return disk_id in self.volume.in_sync and self._owner.members[disk_id].state in _CONNECTED

    def _may_join(self, member: Member) -> bool:
        return (
            member.state is MemberState.CURRENT
            and member.disk_id not in self.volume.in_sync
            and any(member.disk_id in disks for disks in self.volume.layout)  # else its node has left the cluster
            and member.disk_id not in self.volume.held_back
        )
