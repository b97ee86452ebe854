"""Is each block still on every replica, and the same everywhere? The owner has all of them read and compared, slowly.

    a piece of an extent ─CHECK─► every replica reads its blocks, and tells their states, without a hash if they rotted
        │ all the same        │ not the same
        ▼                     ▼
    the next piece        held as for a write, and checked again: what differs now does so in truth, and is mended

Nothing is held for a look, so guests notice none of it; what is written meanwhile looks different, and is looked at
again. A pass goes on only while every replica is in sync. It is begun, and begun again where it was, by whoever serves
the volume; what was found is counted here, and kept by the log.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from storage.extents import frame
from storage.extents.comparison import Copy, Lines, differences, repair_frames
from storage.extents.frame import ALWAYS, Op
from storage.extents.layout import BLOCK_SHIFT
from storage.extents.member import Member, Question, Reply
from storage.extents.messages import BLOCK_LINE, BlockState
from storage.extents.serving import Buffer

if TYPE_CHECKING:
    from storage.extents.replication import Owner

# What an extent server reads at once: bounds the time for which it does nothing else.
PIECE_BLOCKS: Final = 64
# While guests have something under way, a pass goes this much slower.
BUSY_SHARE: Final = 0.25


class Scrub:
    """The pass of one volume, if there is one."""

    def __init__(self, owner: "Owner") -> None:
        self._owner = owner
        self.begun_ms = 0
        self.is_running = False
        self.is_done = False
        self.first = 0  # the extent that it began with
        self.extent = 0  # all from there to before this one have been checked
        self._offset = 0
        # Of each disk, the blocks that had rotted, and those that differed from what the others had.
        self.rotten: Counter[str] = Counter()
        self.different: Counter[str] = Counter()
        self.gone = 0  # blocks that have rotted on every replica
        self.blocks = 0
        self._piece: Piece | None = None
        self._budget = 0.0
        self._paid_at = 0.0
        self._stamp_seen = 0

    def start(self, begun_ms: int, extent: int) -> None:
        """Check all extents from this one on. A pass is known by when it was begun; the same one goes on."""
        if begun_ms != self.begun_ms:
            self.begun_ms = begun_ms
            self.is_running, self.is_done = True, False
            self.first = self.extent = extent
            self._offset, self._piece = 0, None
            self.rotten.clear()
            self.different.clear()
            self.gone = self.blocks = 0
            self._budget, self._paid_at = 0.0, self._owner.surroundings.now()

    def tick(self) -> None:
        """Go on, as far as this moment's share of the disks reaches."""
        if self.is_running:
            self._pay()
            self._go_on()

    def _pay(self) -> None:
        owner = self._owner
        now, rate = owner.surroundings.now(), float(owner.in_sync.volume.scrub_bytes_s)
        busy = owner.stamp != self._stamp_seen or any(member.pending for member in owner.members.values())
        self._stamp_seen = owner.stamp
        share = BUSY_SHARE if busy else 1.0
        # At most a second's worth is saved up.
        self._budget = min(self._budget + share * rate * (now - self._paid_at), rate)
        self._paid_at = now

    def _go_on(self) -> None:
        owner = self._owner
        while self.is_running and self._piece is None and self._budget > 0 and self._may_go_on():
            if self.extent >= len(owner.layout):
                self.is_running, self.is_done = False, True
                owner.surroundings.note("scrub done", blocks=self.blocks, rotten=self.rotten, different=self.different)
            elif len(owner.layout[self.extent]) == len(owner.readers[self.extent]):
                self._piece = Piece(owner, self.extent, self._offset, self._checked)
                self._piece.look()
            else:
                return

    def _may_go_on(self) -> bool:
        owner = self._owner
        whole = owner.is_open and owner.writes and owner.in_sync.is_whole() and owner.in_sync.is_settled
        return whole and all(member.checks for member in owner.members.values())

    def _checked(self, next_offset: int | None) -> None:
        """A piece is done; None: a replica went, and it is to be done again."""
        piece, self._piece = self._piece, None
        assert piece is not None
        if next_offset is None:
            return
        self._budget -= piece.blocks << BLOCK_SHIFT
        self.blocks += piece.blocks
        self.rotten.update(piece.rotten)
        self.different.update(piece.different)
        self.gone += piece.gone
        self._offset = next_offset
        if not next_offset:
            self.extent += 1
        self._go_on()


class Piece:
    """Some blocks of one extent, side by side. A request (`requests.Request`) when it is held."""

    inside = False

    def __init__(self, owner: "Owner", extent: int, offset: int, done: Callable[[int | None], None]) -> None:
        self._owner = owner
        self._done = done
        self._extent = extent
        self._offset = offset
        count = min(PIECE_BLOCKS, (owner.extent_bytes - offset) >> BLOCK_SHIFT)
        self._length = count << BLOCK_SHIFT
        self.first = (extent * owner.extent_bytes + offset) >> BLOCK_SHIFT
        self.last = self.first + count - 1
        self.blocks = 0
        self.rotten: Counter[str] = Counter()
        self.different: Counter[str] = Counter()
        self.gone = 0
        self._is_held = False
        self._is_broken = False
        self._left = 0
        self._reports: dict[Member, Lines] = {}
        self._next_offset = 0

    def look(self) -> None:
        """Have every replica check the blocks, while guests use them."""
        self._check()

    def start(self) -> None:
        """Nobody else reads or writes the blocks now: what differs, differs in truth."""
        self._owner.hold(self)
        self._is_held = True
        self._check()

    def _check(self) -> None:
        owner = self._owner
        members = tuple(owner.readers[self._extent])
        self._reports, self._next_offset = {}, 0
        self._left = 1
        span = {"extent": self._extent, "offset": self._offset, "length": self._length}
        for member in members:
            self._ask(member, {"op": Op.CHECK, "volume": owner.key, **span}, b"", self._told, self._compare)
        self._is_broken = not members
        self._answered(self._compare)

    def _told(self, member: Member, reply: Reply | None) -> None:
        assert reply is not None
        if reply.why is not None:
            self._is_broken = True
            self._owner.refused(member, reply)
            return
        lines = {block: BlockState(stamp, digest) for block, stamp, digest in BLOCK_LINE.iter_unpack(reply.payload)}
        self._reports[member] = lines
        self.blocks = max(self.blocks, len(lines))
        if reply.offset:
            self._next_offset = min(self._next_offset or reply.offset, reply.offset)

    def _compare(self) -> None:
        reports = list(self._reports.items())
        if self._is_broken or not any(lines != reports[0][1] or _has_lost(lines) for _, lines in reports):
            self._end()
        elif self._is_held:
            self._mend(reports)
        else:
            self._owner.admit(self)

    def _mend(self, reports: list[tuple[Member, Lines]]) -> None:
        owner = self._owner
        for member, lines in reports:
            found = sum(state.is_lost for state in lines.values())
            self.rotten[member.disk_id] += found
            owner.damaged_blocks += found
        copies, self.gone = differences(reports)
        self._left = 1
        for copy in copies:
            for member in copy.targets:
                lost = sum(_is_lost(self._reports[member], copy.first + at) for at in range(copy.blocks))
                self.different[member.disk_id] += copy.blocks - lost
            if owner.direct is not None:
                owner.direct.changed(self, copy.targets)
            span = {"extent": self._extent, "offset": copy.first << BLOCK_SHIFT, "length": copy.blocks << BLOCK_SHIFT}
            fields = {"op": Op.FETCH, "volume": owner.key, **span}
            self._ask(copy.source, fields, b"", partial(self._fetched, copy), self._end)
        where = {"extent": self._extent, "offset": self._offset}
        owner.surroundings.note("replicas mended", **where, rotten=dict(self.rotten), different=dict(self.different))
        self._answered(self._end)

    def _fetched(self, copy: Copy, _source: Member, reply: Reply | None) -> None:
        assert reply is not None
        if reply.why is not None:
            return  # it rotted a moment ago: the next pass looks again
        for fields, payload in repair_frames(self._owner.key, self._extent, 0, reply, flags=ALWAYS):
            for member in copy.targets:
                if member in self._owner.readers[self._extent]:
                    self._ask(member, fields, payload, _take_note, self._end)

    def _ask(
        self,
        member: Member,
        fields: Mapping[str, int],
        payload: Buffer,
        told: Callable[[Member, Reply | None], None],
        then: Callable[[], None],
    ) -> None:
        """`told` hears the answer; `then` is called when there is nothing more to be answered."""

        def answered(reply: Reply | None) -> None:
            told(member, reply)
            self._answered(then)

        def lost() -> None:
            self._is_broken = True
            self._answered(then)

        self._left += 1
        request = self._owner.next_request()
        member.ask(Question(answered, lost), request, frame.pack(**fields, request=request), payload)

    def _answered(self, then: Callable[[], None]) -> None:
        self._left -= 1
        if not self._left:
            then()

    def _end(self) -> None:
        if self._is_held:
            self._owner.release(self)
        self._done(None if self._is_broken else self._next_offset)


def _has_lost(lines: Lines) -> bool:
    return any(state.is_lost for state in lines.values())


def _is_lost(lines: Lines, block: int) -> bool:
    state = lines.get(block)
    return state is not None and state.is_lost


def _take_note(_member: Member, _reply: Reply | None) -> None:
    """A repair is done, or the disk is full: then the next pass tries again."""
