"""How does a replica come to count? Greeted and sealed, then made equal to the others, at the start and at each return.

    AWAY ─connect─► GREETING ─sealed─► SEALED ─┬─ opening: all in-sync ones are compared, the newest wins ─► CURRENT
                                               └─ open: SYNCING, compared with a current one, which wins  ─► CURRENT

Opening happens at the start, and again whenever some extent has no current replica left: then nobody can say who is
right, and guests wait.
"""

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from storage.extents import frame
from storage.extents.comparison import Comparison, repair_frames
from storage.extents.frame import ALWAYS, PAYLOAD, Op, hash_of
from storage.extents.layout import BLOCK_SHIFT
from storage.extents.member import Member, MemberState, Question, Reply
from storage.extents.messages import FILES_FORMAT, Hello, Welcome
from storage.extents.requests import Read

if TYPE_CHECKING:
    from storage.extents.replication import Owner

_SEALED_OR_MORE = frozenset((MemberState.SEALED, MemberState.SYNCING, MemberState.CURRENT))


class Recovery:
    """The comings of all replicas of one volume."""

    def __init__(self, owner: "Owner") -> None:
        self._owner = owner
        self._opening: Comparison | None = None
        self._resyncs: dict[Member, Comparison] = {}
        self.blocks_copied = 0

    # --- greeting

    def greet(self, member: Member) -> None:
        """A connection is there: bind it to the volume and, as an owner, refuse all earlier owners on it."""
        owner = self._owner
        member.state = MemberState.GREETING
        member.greeted_at = owner.surroundings.now()
        volume = owner.in_sync.volume
        hello = msgspec.msgpack.encode(
            Hello(
                volume_id=volume.layer,
                epoch=owner.epoch,
                size_bytes=volume.size_bytes,
                extent_bytes=volume.extent_bytes,
                parents=tuple(parent.volume_id for parent in volume.parents),
                writer=owner.writes,
                changes=volume.changes,
                unclaimed=not volume.epoch,
            )
        )
        request = owner.next_request()
        head = frame.pack(
            Op.HELLO, flags=PAYLOAD, length=len(hello), request=request, volume=owner.key, payload_hash=hash_of(hello)
        )
        member.ask(Question(partial(self._welcomed, member, owner.key), _nothing), request, head, hello)
        if owner.writes:
            request = owner.next_request()
            head = frame.pack(Op.SEAL, request=request, volume=owner.key, stamp=frame.first_stamp(owner.epoch))
            member.ask(Question(partial(self._sealed, member, owner.key), _nothing), request, head)

    def _welcomed(self, member: Member, key: int, reply: Reply | None) -> None:
        assert reply is not None
        if key != self._owner.key:
            return  # of the layer before; that of the present one comes behind it
        if reply.why is not None:
            self._owner.refused(member, reply)
            return
        welcome = msgspec.msgpack.decode(reply.payload, type=Welcome)
        member.watermark, member.checks = welcome.watermark, welcome.checks
        member.shares_files = welcome.files_format == FILES_FORMAT
        if not self._owner.writes:
            self._found(member)

    def _sealed(self, member: Member, key: int, reply: Reply | None) -> None:
        if key != self._owner.key:
            return
        if reply is not None:
            self._owner.refused(member, reply)
            return
        member.confirmed_at = member.greeted_at
        if member.sealed_at is None:
            member.sealed_at = self._owner.surroundings.now()
        self._found(member)

    def _found(self, member: Member) -> None:
        member.state = MemberState.SEALED
        member.is_full = False
        self._owner.surroundings.note("replica found", disk=member.disk_id, watermark=member.watermark)
        self._advance()

    # --- what changes

    def begin_anew(self) -> None:
        """The volume has another layer: each replica is greeted for it, on the connection that it has.

        What was sent for the layer before arrives before the greeting, and was only meant for replicas that are behind.
        """
        owner = self._owner
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        for resync in self._resyncs.values():
            resync.cancel()
        self._resyncs.clear()
        owner.joins.stop()
        owner.pause()
        for member in owner.members.values():
            if member.state is not MemberState.AWAY:
                member.start_again()
                self.greet(member)

    def lost(self, member: Member) -> None:
        """A replica's connection has ended."""
        if self._opening is not None and self._owner.in_sync.counts(member):
            # Also when it takes no part in the present extent: it would in a later one.
            self._opening.cancel()
            self._opening = None
        for target, resync in tuple(self._resyncs.items()):
            if resync.involves(member):
                self._cancel_resync(target)
        self._advance()

    def set_changed(self) -> None:
        """The in-sync set is another one."""
        if self._opening is not None:
            # Who takes part has changed: what was compared so far costs little to compare again.
            self._opening.cancel()
            self._opening = None
        self._advance()

    def tick(self) -> None:
        """Begin what could not be begun before."""
        self._advance()

    def progress(self) -> dict[str, float]:
        """For each replica that is being resynced, the share that is done."""
        return {member.disk_id: resync.progress for member, resync in self._resyncs.items()}

    def _advance(self) -> None:
        owner = self._owner
        if owner.is_open and not all(owner.readers):
            owner.surroundings.note("volume waits", reason="an extent has no current replica")
            self._reopen()
        if not owner.is_open:
            self._open()
        elif owner.writes:
            for member in tuple(owner.members.values()):
                if member.state is MemberState.SEALED:
                    self._resync(member)
        else:
            self._trust_sealed()

    # --- opening

    def _reopen(self) -> None:
        for target in tuple(self._resyncs):
            self._cancel_resync(target)
        self._owner.joins.stop()
        for member in self._owner.members.values():
            if member.state in _SEALED_OR_MORE:
                member.state = MemberState.SEALED
        self._owner.pause()

    def _open(self) -> None:
        owner = self._owner
        if self._opening is not None or owner.is_stopped:
            return
        if not owner.writes:
            self._trust_sealed()
            if all(owner.readers):
                owner.resume()
            return
        if self._all_sealed():
            extents = range(len(owner.layout))
            self._opening = Comparison(owner, extents, self._in_sync_members, self._opened)
            self._opening.proceed()

    def _all_sealed(self) -> bool:
        """Whether no in-sync replica takes anything from an earlier owner. One that is away is taken out of the set."""
        members = self._owner.members
        in_sync = [members[disk] for disk in self._owner.in_sync.volume.in_sync]
        return all(member.state in _SEALED_OR_MORE for member in in_sync)

    def _in_sync_members(self, extent: int) -> list[Member]:
        owner = self._owner
        in_sync = owner.in_sync.volume.in_sync
        return [owner.members[disk] for disk in owner.layout[extent] if disk in in_sync]

    def _opened(self) -> None:
        """The in-sync replicas are equal. Writes that were under way are sent again to each; then guests go on."""
        owner = self._owner
        self._opening = None
        self._trust_sealed()
        if not all(owner.readers):
            return
        for write in tuple(owner.inflight.values()):
            write.missing = owner.required[write.extent]
            for member in owner.recipients[write.extent]:
                write.send_again(member)
        # All that was written before this epoch is on every in-sync replica now.
        owner.commit_stamp = max(owner.commit_stamp, frame.first_stamp(owner.epoch))
        owner.surroundings.note("volume open", epoch=owner.epoch, in_sync=owner.in_sync.volume.in_sync)
        owner.resume()
        self._advance()

    def _trust_sealed(self) -> None:
        for disk in self._owner.in_sync.volume.in_sync:
            member = self._owner.members[disk]
            if member.state is MemberState.SEALED:
                member.state = MemberState.CURRENT
        self._owner.refresh()

    # --- resync

    def _resync(self, member: Member) -> None:
        """Bring a replica up to date while guests go on."""
        owner = self._owner
        extents = [extent for extent, disks in enumerate(owner.layout) if member.disk_id in disks]
        if not all(owner.readers[extent] for extent in extents):
            return
        member.state = MemberState.SYNCING
        # From here on it is sent every write; those under way may have been sent to the others only. They are named one
        # by one, because between their stamps there are writes that were completed without this replica.
        member.sent_after = owner.stamp
        member.resent = frozenset(owner.inflight)
        owner.refresh()
        for write in tuple(owner.inflight.values()):
            if member in owner.recipients[write.extent]:
                write.send_again(member)
        resync = Comparison(
            owner, extents, partial(self._source_and, member), partial(self._resynced, member), target=member
        )
        self._resyncs[member] = resync
        owner.surroundings.note("resync started", disk=member.disk_id, above=member.watermark)
        resync.proceed()

    def _source_and(self, member: Member, extent: int) -> list[Member]:
        return [*self._owner.readers[extent][:1], member]

    def _resynced(self, member: Member) -> None:
        resync = self._resyncs.pop(member)
        self.blocks_copied += resync.blocks_copied
        self._owner.surroundings.note("resync done", disk=member.disk_id, blocks=resync.blocks_copied)
        member.state = MemberState.CURRENT
        self._owner.refresh()
        self._owner.in_sync.adjust()

    def _cancel_resync(self, target: Member) -> None:
        self._resyncs.pop(target).cancel()
        if target.state is MemberState.SYNCING:
            # It has been sent writes that others were not: it must not be taken for one that has everything.
            self._owner.demote(target)

    def lost_extents(self, member: Member) -> None:
        """Some extents are no more on the replica's disk: a resync that would still fill them begins anew."""
        if member in self._resyncs:
            self._cancel_resync(member)

    # --- mending

    def mend(self, read: Read, damaged: list[Member]) -> None:
        """Write over the damaged replicas what a good one has, while nobody else writes there."""
        self._owner.admit(Mend(self._owner, read, damaged))


class Mend:
    """Holds the blocks of a read that met damage until they are whole again on every replica."""

    def __init__(self, owner: "Owner", read: Read, damaged: list[Member]) -> None:
        self._owner = owner
        self.first = read.first
        self.last = read.last
        self.inside = False
        self._extent = read.extent
        self._offset = read.offset
        self._length = min(read.length, 64 << BLOCK_SHIFT)
        self._damaged = damaged
        self._left = 1

    def start(self) -> None:
        """Fetch from a good replica."""
        owner = self._owner
        owner.hold(self)
        source = next((member for member in owner.readers[self._extent] if member not in self._damaged), None)
        if source is None:
            self._end()
            return
        request = owner.next_request()
        head = frame.pack(
            Op.FETCH,
            extent=self._extent,
            offset=self._offset,
            length=self._length,
            request=request,
            volume=owner.key,
        )
        source.ask(Question(self._fetched, self._end), request, head)

    def _fetched(self, reply: Reply | None) -> None:
        assert reply is not None
        if reply.why is None:
            for fields, payload in repair_frames(self._owner.key, self._extent, 0, reply, flags=ALWAYS):
                for member in self._damaged:
                    if member.state is MemberState.CURRENT:
                        self._left += 1
                        request = self._owner.next_request()
                        head = frame.pack(**fields, request=request)
                        member.ask(Question(lambda _reply: self._end(), self._end), request, head, payload)
        self._end()

    def _end(self) -> None:
        self._left -= 1
        if not self._left:
            self._owner.release(self)


def _nothing() -> None:
    """A lost greeting needs no answer: the connection is gone, and recovery has been told."""
