"""In which blocks do replicas differ, and who gives what to whom? Decides, and walks through the extents.

Replicas are compared by their lists of stamps above a watermark, up to which all are known to be equal. So what is
listed, fetched and written is what has changed since then, and not the volume.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from storage.extents import frame
from storage.extents.frame import MORE, PAYLOAD, ZERO_BLOCK_HASH, Op, Why, hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT
from storage.extents.member import Member, MemberState, Question, Reply
from storage.extents.messages import BLOCK_LINE, FETCH_BLOCKS_MAX, BlockState
from storage.extents.serving import Buffer

if TYPE_CHECKING:
    from storage.extents.replication import Owner

COPIES_IN_FLIGHT_MAX: Final = 4
Lines = Mapping[int, BlockState]
_ABSENT: Final = BlockState(0, 0)


class Since(Protocol):
    """What need not be compared on a target: what is below its watermark, and the writes that it is sent anyway."""

    @property
    def watermark(self) -> int:
        """Up to here it has everything."""

    def is_sent(self, stamp: int) -> bool:
        """Whether the write of that stamp is sent to it."""


class Copy(NamedTuple):
    """Blocks that `source` gives to `targets`; those of the targets whose stamp is not below `below` stay.

    `below` 0: below the stamp that is given.
    """

    source: Member
    targets: tuple[Member, ...]
    first: int
    blocks: int
    below: int
    # Who could give the same, if the blocks turn out to be damaged at the source.
    others: tuple[Member, ...] = ()


def newest_wins(reports: Sequence[tuple[Member, Lines]]) -> list[Copy]:
    """What makes sealed replicas equal when none is known to be right: each block's newest write is kept.

    Who has lost what it knew of a block says nothing about it, and gets it from the others.
    """
    copies: list[Copy] = []
    for block in sorted({block for _, lines in reports for block in lines}):
        states = [(member, lines.get(block, _ABSENT)) for member, lines in reports]
        known = [(member, state) for member, state in states if not state.is_lost]
        newest = max((state.stamp for _, state in known), default=0)
        sources = tuple(member for member, state in known if state.stamp == newest)
        targets = tuple(member for member, state in states if state.stamp < newest or state.is_lost)
        if sources and targets:
            _add(copies, Copy(sources[0], targets, block, 1, 0, sources[1:]))
    return copies


def source_wins(source: Member, right: Lines, target: Member, other: Lines, since: Since) -> list[Copy]:
    """What makes `target` equal to a current replica, in all but the writes that are sent to it anyway.

    A block that only the target lists has a write there that was never acknowledged: it is rolled back. A block that
    has changed on the target since it was listed has a newer write of the guest: it stays. A block of which a disk has
    lost what it knew is copied; if that disk is the source's, another current replica has to give it.
    """
    copies: list[Copy] = []
    for block in sorted(right.keys() | other.keys()):
        present = other.get(block, _ABSENT)
        differs = right.get(block, _ABSENT) != present and not since.is_sent(present.stamp)
        if differs or present.is_lost:
            _add(copies, Copy(source, (target,), block, 1, max(present.stamp, since.watermark) + 1))
    return copies


def differences(reports: Sequence[tuple[Member, Lines]]) -> tuple[list[Copy], int]:
    """What makes current replicas equal in blocks that nobody writes; and how many blocks nobody has any more.

    Every one of them was given every write. So where one has an older stamp, its disk did not do what it said; and of
    the same stamp there is one content only, so what most have is right.
    """
    copies: list[Copy] = []
    gone = 0
    for block in sorted({block for _, lines in reports for block in lines}):
        states = [(member, lines.get(block, _ABSENT)) for member, lines in reports]
        known = [state for _, state in states if not state.is_lost]
        if not known:
            gone += 1
            continue
        newest = max(state.stamp for state in known)
        [(right, _)] = Counter(state for state in known if state.stamp == newest).most_common(1)
        sources = tuple(member for member, state in states if state == right)
        targets = tuple(member for member, state in states if state != right)
        if targets:
            _add(copies, Copy(sources[0], targets, block, 1, 0, sources[1:]))
    return copies, gone


def _add(copies: list[Copy], copy: Copy) -> None:
    """Add a copy of one block, to the last one if it only goes on where that ends."""
    last = copies[-1] if copies else None
    if (
        last is not None
        and last._replace(first=copy.first, blocks=1) == copy
        and copy.first == last.first + last.blocks
        and last.blocks < FETCH_BLOCKS_MAX
    ):
        copies[-1] = last._replace(blocks=last.blocks + 1)
    else:
        copies.append(copy)


class Comparison:
    """Makes replicas equal, extent by extent. `done` is called at the end, unless it is cancelled before.

    `participants` says who is compared in an extent: all that may be right, or (`target` given) the one that is right,
    first, and the target. `since` is what the target is known to have, if that is not what its disk says of itself.
    """

    def __init__(
        self,
        owner: "Owner",
        extents: Sequence[int],
        participants: Callable[[int], list[Member]],
        done: Callable[[], None],
        *,
        target: Member | None = None,
        since: Since | None = None,
        may_copy: Callable[[int], bool] = lambda _blocks: True,
    ) -> None:
        self._owner = owner
        self._extents = list(extents)
        self._participants = participants
        self._done = done
        self._target = target
        self._since: Since | None = since or target
        # Asked before each copy: whether so many blocks may be copied now; else `go_on` is called later.
        self._may_copy = may_copy
        self._at = 0
        self._offset = 0
        self._members: list[Member] = []
        self._reports: dict[Member, Lines] = {}
        self._window_end = 0
        self._copies: list[Copy] = []
        self._copying = 0
        self.cancelled = False
        self.blocks_copied = 0
        # Blocks with bytes that the target has from its source: copied now, or found, because an owner before, or
        # this one on an earlier connection, had copied them.
        self.blocks_brought = 0

    @property
    def progress(self) -> float:
        """The share of the extents that is done."""
        return self._at / len(self._extents) if self._extents else 1.0

    def involves(self, member: Member) -> bool:
        """Whether it can't go on without this replica."""
        return member is self._target or member in self._members

    def cancel(self) -> None:
        """Do nothing more; answers that are still to come are ignored."""
        self.cancelled = True

    def proceed(self) -> None:
        """Ask for the next part of the lists, or end."""
        while self._at < len(self._extents):
            self._members = self._participants(self._extents[self._at])
            if len(self._members) > 1:
                self._ask_stamps()
                return
            if self._target is not None:
                # Nobody can say what is right in this extent. It must not pass for compared.
                self._owner.fail(self._target, "no current replica to compare with")
                return
            self._at += 1
        self._members = []
        self.cancelled = True
        self._done()

    def _ask_stamps(self) -> None:
        above = min(member.watermark for member in self._members)
        if self._since is not None:
            above = self._since.watermark
        self._reports = {}
        self._window_end = self._owner.extent_bytes
        for member in tuple(self._members):
            self._ask(
                member,
                partial(self._listed, member),
                Op.STAMPS,
                extent=self._extents[self._at],
                offset=self._offset,
                mark=above,
            )

    def _listed(self, member: Member, reply: Reply) -> None:
        self._reports[member] = {
            block: BlockState(stamp, digest) for block, stamp, digest in BLOCK_LINE.iter_unpack(reply.payload)
        }
        if reply.flags & MORE:
            self._window_end = min(self._window_end, reply.offset)
        if len(self._reports) < len(self._members):
            return
        # The lists may reach differently far; what lies beyond the shortest is listed again.
        stop = self._window_end >> BLOCK_SHIFT
        reports = [
            (each, {block: state for block, state in self._reports[each].items() if block < stop})
            for each in self._members
        ]
        if self._since is None:
            self._copies = newest_wins(reports)
        else:
            (source, right), (target, other) = reports
            self._count_found(right, other, self._since)
            self._copies = source_wins(source, right, target, other, self._since)
        self._copies.reverse()
        self._copy_more()

    def _count_found(self, right: Lines, other: Lines, since: Since) -> None:
        self.blocks_brought += sum(
            1
            for block, state in right.items()
            if state.hash != ZERO_BLOCK_HASH and other.get(block) == state and not since.is_sent(state.stamp)
        )

    def go_on(self) -> None:
        """Some time has passed: copy what had to wait."""
        if self._copies and not self.cancelled:
            self._copy_more()

    def _copy_more(self) -> None:
        while self._copies and self._copying < COPIES_IN_FLIGHT_MAX:
            if not self._may_copy(self._copies[-1].blocks):
                return
            self._copying += 1
            copy = self._copies.pop()
            if self._since is not None:
                others = self._owner.readers[self._extents[self._at]]
                copy = copy._replace(others=tuple(member for member in others if member is not copy.source))
            self._fetch(copy)
        if not self._copying:
            self._offset = self._window_end
            if self._offset >= self._owner.extent_bytes:
                self._offset = 0
                self._at += 1
            self.proceed()

    def _fetch(self, copy: Copy) -> None:
        def answered(reply: Reply) -> None:
            if reply.why is None:
                self._fetched(copy, reply)
            else:
                self._not_fetched(copy, reply)

        self._ask(
            copy.source,
            answered,
            Op.FETCH,
            extent=self._extents[self._at],
            offset=copy.first << BLOCK_SHIFT,
            length=copy.blocks << BLOCK_SHIFT,
        )

    def _not_fetched(self, copy: Copy, reply: Reply) -> None:
        """The source has it no more: what has rotted there must not spread, nor hold up the others for long."""
        source = copy.source
        if reply.why == Why.DAMAGED:
            self._owner.damage_found(source, reply)
            others = [member for member in copy.others if member.state is not MemberState.AWAY]
            if others:
                self._fetch(copy._replace(source=others[0], others=tuple(others[1:])))
                return
        self._owner.refused(source, reply)

    def _fetched(self, copy: Copy, reply: Reply) -> None:
        repairs = repair_frames(self._owner.key, self._extents[self._at], copy.below, reply)
        self.blocks_copied += copy.blocks
        self.blocks_brought += sum(fields["length"] for fields, payload in repairs if payload) >> BLOCK_SHIFT
        # One step more, so that the last answer finds that all have been sent.
        left = [len(repairs) * len(copy.targets)]

        def written() -> None:
            left[0] -= 1
            if not left[0]:
                self._copying -= 1
                self._copy_more()

        for target in copy.targets:
            for fields, payload in repairs:
                self._send(target, lambda _reply: written(), fields, payload)

    def _ask(self, member: Member, answered: Callable[[Reply], None], op: Op, **fields: int) -> None:
        self._send(member, answered, {"op": op, **fields, "volume": self._owner.key}, b"")

    def _send(
        self, member: Member, answered: Callable[[Reply], None], fields: Mapping[str, int], payload: Buffer
    ) -> None:
        def handle(reply: Reply | None) -> None:
            if self.cancelled:
                return
            if reply is not None and reply.why is not None and fields["op"] != Op.FETCH:
                self._owner.refused(member, reply)
            else:
                answered(reply if reply is not None else _NOTHING)

        if self.cancelled:
            return
        request = self._owner.next_request()
        # A lost answer needs nothing here: whoever lost the connection cancels the comparison.
        member.ask(Question(handle, lambda: None), request, frame.pack(**fields, request=request), payload)


_NOTHING: Final = Reply(0, 0, 0, memoryview(b""))


def repair_frames(
    key: int, extent: int, below: int, reply: Reply, *, flags: int = 0
) -> list[tuple[dict[str, int], Buffer]]:
    """The fields (without the request) and payloads of the frames that bring what was fetched to another replica."""
    count = reply.length // (BLOCK_LINE.size + BLOCK_BYTES)
    lines = list(BLOCK_LINE.iter_unpack(reply.payload[: count * BLOCK_LINE.size]))
    # The reply's buffer is used again before these frames are sent.
    data = bytes(reply.payload[count * BLOCK_LINE.size :])
    frames: list[tuple[dict[str, int], Buffer]] = []
    start = 0
    while start < count:
        block, stamp, digest = lines[start]
        op = _repair_op(stamp, digest)
        stop = start + 1
        while stop < count and lines[stop][1] == stamp and _repair_op(stamp, lines[stop][2]) == op:
            stop += 1
        payload = data[start << BLOCK_SHIFT : stop << BLOCK_SHIFT] if op == Op.REPAIR else b""
        fields = {
            "op": op,
            "flags": flags | (PAYLOAD if payload else 0),
            "extent": extent,
            "length": (stop - start) << BLOCK_SHIFT,
            "volume": key,
            "stamp": stamp,
            "mark": below or stamp,
            "offset": block << BLOCK_SHIFT,
            "payload_hash": hash_of(payload) if payload else 0,
        }
        frames.append((fields, payload))
        start = stop
    return frames


def _repair_op(stamp: int, digest: int) -> Op:
    if stamp == 0:
        return Op.REPAIR_ABSENT
    return Op.REPAIR_ZERO if digest == ZERO_BLOCK_HASH else Op.REPAIR
