"""How is a volume read and written while its replicas come and go? The owner's side of the protocol, without I/O.

    guest ──► Owner ──► Member a replica ──► wire          authority (the log)
              admits     one connection each     ▲               ▲
              requests                            └─ answers ─────┴─ maps of the volume

The rules, and why each is needed, are in README.md; `tests/simulation/test_replication.py` takes them out one by one.
The `Owner` calls its `Surroundings` for what it can't do itself, and is told of everything that happens: connections,
bytes, the authority's answers, the time. Recovery (`recovery.py`) and the in-sync set (`insync.py`) are parts of it.
"""

from enum import Enum
from functools import partial
from typing import Final, Protocol

from noded.core.errors import Refused
from noded.core.ids import DiskId, NodeId
from storage.extents import frame
from storage.extents.authority import Request as AuthorityRequest
from storage.extents.authority import VolumeMap
from storage.extents.direct import DirectReads
from storage.extents.frame import Op, Why
from storage.extents.freezing import Freezing
from storage.extents.insync import InSyncSet
from storage.extents.joining import Joins
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT, EXTENTS_MAX, Piece, pieces
from storage.extents.lease import Lease
from storage.extents.member import Member, MemberState, Question, Reply
from storage.extents.messages import volume_key
from storage.extents.recovery import Recovery
from storage.extents.requests import Read, ReadDone, Request, Together, Update, Write, WriteDone
from storage.extents.scrub import Scrub
from storage.extents.serving import Buffer

# A replica that leaves a request unanswered for this long is given up.
LATE_SECONDS: Final = 4.0
# A replica is told the watermark, and shows that it is there and this owner's, this often.
PING_SECONDS: Final = 1.0


class Phase(Enum):
    """What the owner does with guests' requests."""

    OPENING = "opening"  # they wait: some extent has no replica that is known to be current
    OPEN = "open"
    FROZEN = "frozen"  # they wait, those that have begun are ended: a snapshot is being made
    STOPPED = "stopped"  # somebody else owns the volume now


_OPEN: Final = frozenset((Phase.OPEN, Phase.FROZEN))


class Surroundings(Protocol):
    """What the owner needs from the machinery around it."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def reach(self, disk_id: DiskId) -> None:
        """Make a connection to a replica that there was none of before."""

    def drop(self, disk_id: DiskId) -> None:
        """End the connection to a replica. `disconnected` has been handled. Make a new one when it suits, if the owner
        still has a member for the disk then."""

    def ask(self, request: AuthorityRequest) -> None:
        """Ask the authority; the answer comes as `told` or `refused_by_authority`. One request at a time."""

    def stopped(self, reason: str) -> None:
        """The volume has been taken over, or is gone: the owner does nothing more."""

    def note(self, message: str, **fields: object) -> None:
        """Something for the log file."""


class Owner:
    """One volume, from its claim on. Without `writes` it only reads, claims and seals nothing, and joins no set."""

    def __init__(self, volume: VolumeMap, node_id: NodeId, surroundings: Surroundings, *, writes: bool = True) -> None:
        assert len(volume.layout) <= EXTENTS_MAX, len(volume.layout)
        self.surroundings = surroundings
        self.volume_id = volume.volume_id
        self.key = volume_key(volume.layer)
        self.size_bytes = volume.size_bytes
        self.extent_bytes = volume.extent_bytes
        self.layout = volume.layout
        self.epoch = volume.epoch
        self.writes = writes
        self.phase = Phase.OPENING
        self._node_id = node_id
        self._members_made = 0
        # A disk without an address has a member too: as long as it is in sync, it must be waited for.
        self.members: dict[DiskId, Member] = {}
        self._make_members(volume)
        self.stamp = frame.first_stamp(volume.epoch)
        # Everything up to this stamp is on every in-sync replica.
        self.commit_stamp = 0
        self.inflight: dict[int, Write] = {}
        # For each extent: who must answer a write (bits), who is sent it, and who may be read, the nearest first.
        self.required: list[int] = []
        self.recipients: list[list[Member]] = []
        self.readers: list[list[Member]] = []
        # The bits of the replicas that are in sync and current: they are told the watermark.
        self.trusted = 0
        self.damaged_blocks = 0
        self.direct: DirectReads | None = None  # where this node's disks may be read past their extent servers
        self._busy: dict[int, list[Request] | None] = {}
        self._waiting: list[Request] = []
        self._requests = 0
        self.in_sync = InSyncSet(self, volume)
        self.lease = Lease(self)
        self.joins = Joins(self)
        self.recovery = Recovery(self)
        self.freezing = Freezing(self)
        self.scrub = Scrub(self)
        self.refresh()

    # --- guests

    def write(self, offset: int, data: Buffer, done: WriteDone, *, inside: bool = False) -> None:
        """Write whole blocks."""
        self._change(offset, len(data), data, done, frame.PAYLOAD_BYTES_MAX, inside=inside)

    def zero(self, offset: int, length: int, done: WriteDone) -> None:
        """Let whole blocks be zero and give their space back."""
        self._change(offset, length, None, done, frame.SPAN_BYTES_MAX, inside=False)

    def update(self, offset: int, length: int, data: Buffer | None, done: WriteDone) -> None:
        """Write any bytes, or zeroes; what covers whole blocks only is written as it is."""
        if (offset | length) % BLOCK_BYTES:
            self.admit(Update(self, offset, length, data, done))
        elif data is None:
            self.zero(offset, length, done)
        else:
            self.write(offset, data, done)

    def read(self, offset: int, length: int, done: ReadDone, *, inside: bool = False) -> None:
        """Read whole blocks."""
        extent, at = divmod(offset, self.extent_bytes)
        if length <= frame.PAYLOAD_BYTES_MAX and at + length <= self.extent_bytes:
            self.admit(Read(self, offset >> BLOCK_SHIFT, Piece(extent, at, 0, length), done, inside=inside))
            return
        parts = list(pieces(offset, length, self.extent_bytes, frame.PAYLOAD_BYTES_MAX))
        together = Together(len(parts), length, done)
        for piece in parts:
            first = (offset + piece.start) >> BLOCK_SHIFT
            self.admit(Read(self, first, piece, partial(together.piece, piece.start), inside=inside))

    def _change(
        self, offset: int, length: int, data: Buffer | None, done: WriteDone, piece_bytes: int, *, inside: bool
    ) -> None:
        extent, at = divmod(offset, self.extent_bytes)
        if length <= piece_bytes and at + length <= self.extent_bytes:
            self.admit(Write(self, offset >> BLOCK_SHIFT, Piece(extent, at, 0, length), data, done, inside=inside))
            return
        parts = list(pieces(offset, length, self.extent_bytes, piece_bytes))
        together = Together(len(parts), 0, lambda error, _data: done(error))
        for piece in parts:
            part = None if data is None else data[piece.start : piece.start + piece.length]
            first = (offset + piece.start) >> BLOCK_SHIFT
            self.admit(Write(self, first, piece, part, partial(together.piece, piece.start), inside=inside))

    # --- requests: who may begin, who waits

    def admit(self, request: Request) -> None:
        """Begin with a request, or let it wait until it may begin."""
        if self.phase is not Phase.OPEN and not (request.inside and self.phase is Phase.FROZEN):
            self._waiting.append(request)
            return
        if not request.inside:
            busy = self._busy
            for block in range(request.first, request.last + 1):
                if block in busy:
                    waiters = busy[block]
                    if waiters is None:
                        busy[block] = [request]
                    else:
                        waiters.append(request)
                    return
        request.start()

    def hold(self, request: Request) -> None:
        """Let nobody else read or write the request's blocks."""
        if request.first == request.last:
            self._busy[request.first] = None
        else:
            self._busy.update(dict.fromkeys(range(request.first, request.last + 1)))

    def release(self, request: Request) -> None:
        """Let the others go on, in the order in which they came."""
        busy = self._busy
        freed: list[Request] = []
        for block in range(request.first, request.last + 1):
            waiters = busy.pop(block)
            if waiters is not None:
                freed += waiters
        for waiter in freed:
            self.admit(waiter)
        if self.phase is Phase.FROZEN:
            self.freezing.advance()

    def wait_for_replicas(self, request: Request) -> None:
        """No replica of the request's extent can be read now."""
        self._waiting.append(request)

    def next_stamp(self) -> int:
        """A stamp above all earlier ones."""
        self.stamp += 1
        return self.stamp

    def next_request(self) -> int:
        """The number of a request that is no write; those are numbered by their stamps, below."""
        self._requests = (self._requests + 1) & frame.WRITE_REQUEST_MASK
        return self._requests | frame.OTHER_REQUEST_BIT

    def written(self, write: Write, error: int = 0) -> None:
        """Every replica that counts has the write."""
        inflight = self.inflight
        del inflight[write.stamp]
        self.commit_stamp = next(iter(inflight)) - 1 if inflight else self.stamp
        if not write.inside:
            self.release(write)
        write.done(error)

    def abandon(self, write: Write, error: int) -> None:
        """A write that the last replica refuses: the guest is told. Resyncing replicas may have it: they begin anew."""
        if write.stamp in self.inflight:
            for member in tuple(self.members.values()):
                if member.state is MemberState.SYNCING or self.joins.has(member):
                    self.fail(member, "it has a write that the volume has not")
            if write.stamp in self.inflight:
                write.missing = 0
                self.written(write, error)

    # --- replicas

    def connected(self, disk_id: DiskId) -> None:
        """A connection to a replica has been made."""
        if disk_id in self.members:
            self.recovery.greet(self.members[disk_id])
        else:
            self.surroundings.drop(disk_id)

    def received(self, disk_id: DiskId, view: memoryview, start: int, end: int) -> int:
        """Bytes have come from a replica; where the first frame that is not whole begins. Raises BadFrame."""
        member = self.members.get(disk_id)
        return end if member is None else member.receive(view, start, end)

    def disconnected(self, disk_id: DiskId, reason: str) -> None:
        """The connection to a replica has ended, or could not be made."""
        member = self.members.get(disk_id)
        if member is not None and member.state is not MemberState.AWAY:
            self.surroundings.note("replica lost", disk=disk_id, reason=reason, state=member.state.value)
            lost = member.disconnect(self.surroundings.now(), reason)
            self.joins.lost(member)
            self.refresh()
            for asked in lost:
                asked.lost(member)
            self.settle_inflight()
            self.recovery.lost(member)
            self.in_sync.adjust()

    def fail(self, member: Member, reason: str) -> None:
        """Give up on a replica's connection; it comes back through the front door."""
        if member.state is not MemberState.AWAY:
            self.disconnected(member.disk_id, reason)
            self.surroundings.drop(member.disk_id)

    def refused(self, member: Member, reply: Reply) -> None:
        """A replica does not do what it was asked."""
        if reply.why == Why.FENCED and self.writes:
            self.stop(f"disk {member.disk_id}: {reply.words}")
        elif reply.why == Why.FENCED:
            # Somebody claimed the volume to repair it. It is immutable: at its new epoch it says the same.
            self.in_sync.look_again()
            self.fail(member, reply.words)
        elif reply.why == Why.OUTDATED:
            # Replicas have left this disk, and this owner does not know yet. It must learn of it before it goes on.
            self.in_sync.look_again()
            self.fail(member, reply.words)
        else:
            member.is_full = reply.why == Why.FULL
            self.fail(member, reply.words)

    def damage_found(self, member: Member, reply: Reply) -> None:
        """A replica's checksum does not match: it said so, and gave nothing."""
        self.damaged_blocks += 1
        self.surroundings.note("damaged block found", disk=member.disk_id, reason=reply.words)

    def mend(self, read: Read, damaged: list[Member]) -> None:
        """Write what was read from a good replica over the damaged ones."""
        self.recovery.mend(read, damaged)

    def is_indispensable(self, member: Member) -> bool:
        """Whether some extent would be left without an in-sync replica if this one left."""
        return self.in_sync.is_indispensable(member)

    def refresh(self) -> None:
        """Compute anew who counts for what; to be called after every change of a state or of the in-sync set."""
        by_disk = self.members
        counted = self.in_sync.counted_bits()
        sent = {MemberState.SYNCING, MemberState.CURRENT}
        current = sum(member.bit for member in by_disk.values() if member.state is MemberState.CURRENT)
        self.trusted = self.in_sync.bits() & current
        self.required, self.recipients, self.readers = [], [], []
        for extent, disks in enumerate(self.layout):
            members = [by_disk[disk] for disk in disks]
            joiners = self.joins.sent(extent)
            recipients = [*(member for member in members if member.state in sent), *joiners]
            must = self.in_sync.perhaps_adopted_bits(extent)
            for member in (*members, *joiners):
                if member.bit & counted or member in recipients:
                    must |= member.bit
            readers = [member for member in members if member.bit & self.trusted]
            self.required.append(must)
            self.recipients.append(recipients)
            self.readers.append(sorted(readers, key=lambda member: not member.is_local))
        self.lease.refresh()

    def take_layout(self, volume: VolumeMap) -> None:
        """The layout is another one: new replicas are connected, and those that are no part of it any more are not."""
        before, self.layout = self.layout, volume.layout
        new = self._make_members(volume)
        for extent, disks in enumerate(before):
            for disk_id in disks:
                if extent >= len(volume.layout) or disk_id not in volume.layout[extent]:
                    self.recovery.lost_extents(self.members[disk_id])
        used = {disk for disks in volume.layout for disk in disks} | {joiner.disk_id for joiner in volume.joining}
        for disk_id in [disk_id for disk_id in self.members if disk_id not in used]:
            self.fail(self.members[disk_id], "it has no replica of the volume any more")
            if self.direct is not None:
                self.direct.forget(self.members[disk_id])
            del self.members[disk_id]
        self.joins.settle(before, volume)
        for disk_id in new:
            self.surroundings.reach(disk_id)

    def _make_members(self, volume: VolumeMap) -> list[DiskId]:
        """A member for each disk of the layout that has none; their ids."""
        here = {disk_id for disk_id, address in volume.disks.items() if address.node_id == self._node_id}
        wanted = [disk for disks in volume.layout for disk in disks]
        wanted += [joiner.disk_id for joiner in volume.joining] if self.writes else []
        new = [disk_id for disk_id in dict.fromkeys(wanted) if disk_id not in self.members]
        for disk_id in new:
            # A bit is never given again: a write that is under way may still name who had it.
            bit = 1 << self._members_made
            self._members_made += 1
            self.members[disk_id] = Member(disk_id, bit, self.surroundings.now(), is_local=disk_id in here)
        return new

    def settle_inflight(self) -> None:
        """Complete the writes that wait only for replicas which no longer count."""
        for write in tuple(self.inflight.values()):
            write.release_from(write.missing & ~self.required[write.extent])

    def demote(self, member: Member) -> None:
        """A replica is sent no more writes; whatever it has been sent must be compared before it counts."""
        member.state = MemberState.SEALED
        self.refresh()
        self.settle_inflight()

    @property
    def is_open(self) -> bool:
        """Whether the replicas can be read and written."""
        return self.phase in _OPEN

    @property
    def is_stopped(self) -> bool:
        """Whether somebody else owns the volume."""
        return self.phase is Phase.STOPPED

    def pause(self) -> None:
        """Some extent has no current replica: guests wait."""
        self.phase = Phase.OPENING

    def resume(self) -> None:
        """Every extent has one: whoever waited goes on."""
        self.phase = Phase.FROZEN if self.freezing.holds_back else Phase.OPEN
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            self.admit(request)
        self.freezing.advance()

    # --- standing still

    def hold_back(self) -> None:
        """Let no guest's request begin."""
        assert self.phase is Phase.OPEN, self.phase
        self.phase = Phase.FROZEN

    def is_quiet(self) -> bool:
        """Whether every request that began has ended, and every in-sync replica has all of it."""
        return (
            self.phase is Phase.FROZEN
            and not self.inflight
            and not self._busy
            and self.in_sync.is_settled
            and self.trusted == self.in_sync.bits()
        )

    def go_on(self) -> None:
        """Guests' requests may begin again, as soon as the volume is open."""
        if self.phase is Phase.FROZEN:
            self.resume()

    def change_layer(self) -> None:
        """What the volume had is a snapshot's now: what is written from here on goes into a new layer above it."""
        self.key = volume_key(self.in_sync.volume.layer)
        if self.direct is not None:
            self.direct.close()  # it begins anew, with the files of both layers
        self.surroundings.note("volume has a new layer", layer=self.in_sync.volume.layer)
        self.recovery.begin_anew()

    # --- the authority and the time

    def told(self, volume: VolumeMap) -> None:
        """The authority's answer."""
        self.in_sync.told(volume)

    def refused_by_authority(self, refusal: Refused) -> None:
        """The authority's no, or nobody could be asked."""
        self.in_sync.refused(refusal)

    def tick(self) -> None:
        """Some time has passed; to be called several times a second."""
        if self.phase is Phase.STOPPED:
            return
        now = self.surroundings.now()
        for member in tuple(self.members.values()):
            if member.state is MemberState.AWAY:
                continue
            if member.is_late(now, LATE_SECONDS):
                self.fail(member, f"no answer within {LATE_SECONDS:g} s")
            elif member.state is not MemberState.GREETING and now - member.pinged_at > PING_SECONDS:
                self._ping(member, now)
        self.lease.tick()
        self.freezing.tick()
        self.recovery.tick()
        self.joins.tick()
        self.in_sync.adjust()
        self.scrub.tick()
        if self.direct is not None:
            self.direct.tick()

    def stop(self, reason: str) -> None:
        """Do nothing more: the volume is another's."""
        if self.phase is not Phase.STOPPED:
            self.phase = Phase.STOPPED
            self.surroundings.stopped(reason)

    def tell_changes(self) -> None:
        """Let the replicas know at once that the owner goes by another map."""
        for member in tuple(self.members.values()):
            if member.state not in {MemberState.AWAY, MemberState.GREETING}:
                self._ping(member, self.surroundings.now())

    def _ping(self, member: Member, now: float) -> None:
        member.pinged_at = now
        request = self.next_request()
        mark = self.commit_stamp if member.bit & self.trusted else 0
        # With the number of changes of the map that the owner goes by: what it sends from now on is by this one.
        changes = self.in_sync.volume.changes
        head = frame.pack(Op.PING, request=request, volume=self.key, stamp=changes, mark=mark)

        def answered(reply: Reply | None) -> None:
            if reply is None:
                member.latency_s = self.surroundings.now() - now
                member.confirmed_at = max(member.confirmed_at, now)
            else:
                self.refused(member, reply)

        member.ask(Question(answered, _nothing), request, head)


def _nothing() -> None:
    """A lost ping: whoever noticed has told the owner."""
