"""May a block be read straight from this node's disk, past its extent server? What is known of that; no I/O.

The extent server keeps the newest writes of a volume in its journal, and brings them to the extents' files later. The
owner is the volume's only writer, so it knows which blocks it has changed; whatever it has not changed since the files
held everything is right in the files. A read of such blocks needs no other process. Three things keep it right:

- The files count only after the extent server has said that all it had for the volume (and for what it was cloned
  from) when asked has been settled. Changes are kept in generations, and a generation is forgotten when it was, too.
- Each new connection begins anew: what a repair wrote before the replica became current came before the question. So
  does each new layer of the volume.
- A replica that has been sealed by somebody else must not be read. The extent server counts seals in a place that both
  can see, *before* it answers one; a read counts only if the number is the same after it.

Bytes are checked against their hashes as everywhere. Whatever is not clear is asked of the extent server as before.
"""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from storage.extents import frame
from storage.extents.frame import Op
from storage.extents.member import Member, MemberState, Question, Reply
from storage.extents.messages import FilesState
from storage.extents.serving import Buffer

if TYPE_CHECKING:
    from storage.extents.replication import Owner
    from storage.extents.requests import Request

# Blocks that are remembered as changed; with more the files are not read until they hold all again. Bounds memory.
CHANGED_BLOCKS_MAX: Final = 128 * 1024
ASK_SECONDS: Final = 1.0


class Files(Protocol):
    """What a disk's files hold of a volume and of what it was cloned from."""

    @property
    def seals(self) -> int:
        """How often any volume of the disk has been sealed, as of now."""

    def read(self, extent: int, offset: int, length: int) -> Buffer | None:
        """Whole blocks, verified; None if something is not clear."""

    def look_again(self, settled: Iterable[int] | None) -> None:
        """More has been settled: these blocks of the volume, or (None) nobody knows which."""

    def close(self) -> None:
        """Give them back."""


class Disk:
    """One local replica: which of its blocks the files do not hold yet."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self.out = member.out  # the connection: a new one has another list
        self.files: Files | None = None
        self.seals = -1
        self.usable = False
        self._changed: set[int] = set()  # since the question was asked last
        self._asked: set[int] | None = None  # before it, and the answer is not here yet
        self._older: list[tuple[int, set[int]]] = []  # by the segment that has to be settled before they are forgotten
        self._lost_count = False
        self._wanted = 0  # the segment that has to be settled before anything counts
        self.asked_at = -ASK_SECONDS

    @property
    def has_news(self) -> bool:
        """Whether an answer would change what may be read."""
        return bool(self._changed or self._older or not self.usable)

    @property
    def waits(self) -> bool:
        """Whether it has been asked and has not answered."""
        return self._asked is not None

    def changed(self, first: int, last: int) -> None:
        """Blocks of the volume are being written."""
        if first == last:
            self._changed.add(first)
        else:
            self._changed.update(range(first, last + 1))
        if len(self._changed) > CHANGED_BLOCKS_MAX:
            self._forget_which()

    def holds(self, first: int, last: int) -> bool:
        """Whether the files hold the newest of these blocks."""
        if not self.usable:
            return False
        blocks = (first,) if first == last else range(first, last + 1)
        if not self._changed.isdisjoint(blocks) or (self._asked and not self._asked.isdisjoint(blocks)):
            return False
        return all(older.isdisjoint(blocks) for _, older in self._older)

    def asking(self, now: float) -> None:
        """The question goes out: what comes from now on is in another generation."""
        self.asked_at = now
        self._asked, self._changed = self._changed, set()

    def told(self, state: FilesState, open_files: Callable[[FilesState], Files]) -> None:
        """The extent server's answer: everything asked before is in segments up to `state.segment`."""
        if self.files is None:
            self.files = open_files(state)
            self._wanted = state.unsettled
        if self._lost_count:
            self._lost_count, self._wanted = False, state.segment
        if self._asked:
            self._older.append((state.segment, self._asked))
        self._asked = None
        kept = [(segment, blocks) for segment, blocks in self._older if segment > state.settled]
        if not self.usable:
            self.files.look_again(None)
        elif len(kept) < len(self._older):
            settled = (blocks for segment, blocks in self._older if segment <= state.settled)
            self.files.look_again(chain.from_iterable(settled))
        self._older = kept
        self.seals = state.seals
        self.usable = self._wanted <= state.settled and not self._lost_count
        if sum(len(blocks) for _, blocks in self._older) > CHANGED_BLOCKS_MAX:
            self._forget_which()

    def _forget_which(self) -> None:
        self.usable, self._lost_count = False, True
        self._changed.clear()
        self._older.clear()


class DirectReads:
    """The local replicas of one volume as its owner reads them. `open_files` opens what an answer names."""

    def __init__(self, owner: "Owner", open_files: Callable[[FilesState], Files]) -> None:
        self._owner = owner
        self._open_files = open_files
        self._disks: dict[Member, Disk] = {}

    def changed(self, write: "Request", recipients: Iterable[Member]) -> None:
        """A write, or what mends some blocks, is being sent to these replicas."""
        for member in recipients:
            disk = self._disks.get(member)
            if disk is not None:
                disk.changed(write.first, write.last)

    def read(self, member: Member, first: int, last: int, extent: int, offset: int, length: int) -> Buffer | None:
        """The blocks `first` to `last` of the volume, if the files hold them; else None."""
        disk = self._disks.get(member)
        if disk is None or disk.files is None or disk.out is not member.out or not disk.holds(first, last):
            return None
        data = disk.files.read(extent, offset, length)
        # The last word: from here on a new owner may write what this read has not seen.
        if disk.files.seals != disk.seals:
            disk.usable = False
            self._ask(disk)
            return None
        return data

    def tick(self) -> None:
        """To be called several times a second: ask the replicas that can be read what their files hold by now."""
        now = self._owner.surroundings.now()
        for member in self._owner.members.values():
            disk = self._disks.get(member)
            is_ready = member.is_local and member.shares_files and member.state is MemberState.CURRENT
            if disk is not None and (not is_ready or disk.out is not member.out):
                self._close(disk)
                disk = None
            if is_ready:
                if disk is None:
                    disk = self._disks[member] = Disk(member)
                if disk.has_news and now - disk.asked_at >= ASK_SECONDS:
                    self._ask(disk)

    def forget(self, member: Member) -> None:
        """A replica has got extents that were filled past this: its files count again when they hold them."""
        disk = self._disks.get(member)
        if disk is not None:
            self._close(disk)

    def close(self) -> None:
        """Give all files back."""
        for disk in list(self._disks.values()):
            self._close(disk)

    def _close(self, disk: Disk) -> None:
        del self._disks[disk.member]
        if disk.files is not None:
            disk.files.close()

    def _ask(self, disk: Disk) -> None:
        if disk.waits or disk.member.state is not MemberState.CURRENT:
            return
        disk.asking(self._owner.surroundings.now())
        request = self._owner.next_request()
        head = frame.pack(Op.FILES, request=request, volume=self._owner.key)

        def answered(reply: Reply | None) -> None:
            assert reply is not None
            if reply.why is not None:
                self._owner.refused(disk.member, reply)
            elif self._disks.get(disk.member) is disk:
                disk.told(msgspec.msgpack.decode(reply.payload, type=FilesState), self._open_files)

        disk.member.ask(Question(answered, _nothing), request, head)


def _nothing() -> None:
    """The connection ended: the next one begins anew."""
