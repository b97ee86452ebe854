"""What happens to one request of a guest between its coming and its answer? Each is a small state machine.

A request is *admitted* when no block that it touches is held by a write; writes hold their blocks until every replica
has answered. `done` is called once, with an errno (0: it went well); a read's also gets the bytes.
"""

import errno
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from storage.extents import frame
from storage.extents.frame import PAYLOAD, ZEROES, Op, Why, hash_of
from storage.extents.layout import BLOCK_BYTES, BLOCK_SHIFT, Piece
from storage.extents.member import Member, Reply
from storage.extents.serving import Buffer

if TYPE_CHECKING:
    from storage.extents.replication import Owner

WriteDone = Callable[[int], None]
# The bytes are None when all of them are zero.
ReadDone = Callable[[int, Buffer | None], None]


class Request(Protocol):
    """Something that waits to be admitted. The blocks are numbered through the whole volume."""

    first: int
    last: int
    # It is a part of a request that holds the blocks already.
    inside: bool

    def start(self) -> None:
        """Nobody holds the blocks: begin."""


class Write:
    """Whole blocks of one extent, or (`data` None) zeroes in their place."""

    __slots__ = (
        "_digest",
        "_owner",
        "data",
        "done",
        "extent",
        "first",
        "inside",
        "last",
        "length",
        "missing",
        "offset",
        "stamp",
    )

    def __init__(
        self,
        owner: "Owner",
        first: int,
        piece: Piece,
        data: Buffer | None,
        done: WriteDone,
        *,
        inside: bool = False,
    ) -> None:
        self._owner = owner
        self.first = first
        self.last = first + (piece.length >> BLOCK_SHIFT) - 1
        self.inside = inside
        self.extent = piece.extent
        self.offset = piece.offset
        self.length = piece.length
        self.data = data
        self.done = done
        self.stamp = 0
        # One bit for each replica that must answer and has not.
        self.missing = 0
        self._digest = 0

    def start(self) -> None:
        """Hold the blocks and send the write to all replicas that must have it."""
        owner = self._owner
        if not self.inside:
            owner.hold(self)
        if self.data is not None:
            self._digest = hash_of(self.data)
        self.stamp = owner.next_stamp()
        self.missing = owner.required[self.extent]
        owner.inflight[self.stamp] = self
        mark = owner.commit_stamp
        head = self.head(mark)
        request = self.stamp & frame.WRITE_REQUEST_MASK
        data = self.data
        if owner.direct is not None:
            owner.direct.changed(self, owner.recipients[self.extent])
        for member in owner.recipients[self.extent]:
            member.pending[request] = self
            # A replica that is not in sync must not come to believe that it has all that was acknowledged.
            member.out.append(head if member.bit & owner.trusted else self.head(0))
            if data is not None:
                member.out.append(data)

    def send_again(self, member: Member) -> None:
        """Send it to a replica whose earlier connection may have lost it."""
        self.missing |= member.bit
        if self._owner.direct is not None:
            self._owner.direct.changed(self, [member])
        member.ask(self, self.stamp & frame.WRITE_REQUEST_MASK, self.head(0), self.data or b"")

    def head(self, mark: int) -> bytes:
        """The frame's header."""
        return frame.pack(
            Op.ZERO if self.data is None else Op.WRITE,
            flags=0 if self.data is None else PAYLOAD,
            extent=self.extent,
            length=self.length,
            request=self.stamp & frame.WRITE_REQUEST_MASK,
            volume=self._owner.key,
            stamp=self.stamp,
            mark=mark,
            offset=self.offset,
            payload_hash=self._digest,
        )

    def answered(self, member: Member, reply: Reply | None) -> None:
        """A replica has it on stable storage, or refuses it."""
        if reply is None:
            self.release_from(member.bit)
        elif reply.why == Why.FULL and self._owner.is_indispensable(member):
            self._owner.abandon(self, errno.ENOSPC)
        else:
            self._owner.refused(member, reply)

    def lost(self, member: Member) -> None:
        """Nothing: what becomes of the replica decides whether it is still waited for."""

    def release_from(self, bits: int) -> None:
        """Wait no more for some replicas. A second answer, to a write that was sent again, changes nothing."""
        if self.missing:
            self.missing &= ~bits
            if not self.missing:
                self._owner.written(self)


class Read:
    """Whole blocks of one extent."""

    __slots__ = ("_damaged", "_owner", "done", "extent", "first", "inside", "last", "length", "offset")

    def __init__(self, owner: "Owner", first: int, piece: Piece, done: ReadDone, *, inside: bool = False) -> None:
        self._owner = owner
        self.first = first
        self.last = first + (piece.length >> BLOCK_SHIFT) - 1
        self.inside = inside
        self.extent = piece.extent
        self.offset = piece.offset
        self.length = piece.length
        self.done = done
        self._damaged: list[Member] = []

    def start(self) -> None:
        """Ask the nearest replica that can be trusted and has not been found damaged."""
        if not self._owner.lease.holds():
            self._owner.lease.wait(self)
            return
        readers = self._owner.readers[self.extent]
        for member in readers:
            if member not in self._damaged:
                direct = self._owner.direct
                if direct is not None and member.is_local and not self._damaged:
                    data = direct.read(member, self.first, self.last, self.extent, self.offset, self.length)
                    if data is not None:
                        self.done(0, data)
                        return
                request = self._owner.next_request()
                head = frame.pack(
                    Op.READ,
                    extent=self.extent,
                    length=self.length,
                    request=request,
                    volume=self._owner.key,
                    offset=self.offset,
                )
                member.ask(self, request, head)
                return
        if not readers:
            self._owner.wait_for_replicas(self)
        elif self.length > BLOCK_BYTES:
            self._read_one_by_one()
        else:
            self.done(errno.EIO, None)

    def _read_one_by_one(self) -> None:
        """No replica has all of the blocks; for each of them there may be one that has it."""
        count = self.length >> BLOCK_SHIFT
        together = Together(count, self.length, self.done)
        for number in range(count):
            at = number << BLOCK_SHIFT
            piece = Piece(self.extent, self.offset + at, at, BLOCK_BYTES)
            done = partial(together.piece, at)
            self._owner.admit(Read(self._owner, self.first + number, piece, done, inside=self.inside))

    def answered(self, member: Member, reply: Reply | None) -> None:
        """The data, or a refusal: then another replica is read, and the damaged one is mended."""
        assert reply is not None
        if reply.why is None and not self._owner.lease.holds():
            self._owner.lease.wait(self)
        elif reply.why is None:
            # The buffer that the payload lies in is used again.
            self.done(0, None if reply.flags & ZEROES else bytes(reply.payload))
            if self._damaged:
                self._owner.mend(self, self._damaged)
        elif reply.why == Why.DAMAGED:
            self._owner.damage_found(member, reply)
            self._damaged.append(member)
            self._owner.admit(self)
        else:
            self._owner.refused(member, reply)
            self._owner.admit(self)

    def lost(self, _member: Member) -> None:
        """Ask another one."""
        self._owner.admit(self)


class Update:
    """A write that does not begin or end at a block border: the rest of its outer blocks is read first."""

    __slots__ = ("_data", "_done", "_length", "_offset", "_outer", "_owner", "first", "inside", "last")

    def __init__(self, owner: "Owner", offset: int, length: int, data: Buffer | None, done: WriteDone) -> None:
        self._owner = owner
        self._offset = offset
        self._length = length
        self._data = data
        self._done = done
        self.first = offset >> BLOCK_SHIFT
        self.last = (offset + length - 1) >> BLOCK_SHIFT
        self.inside = False
        self._outer: dict[int, Buffer] = {}

    def start(self) -> None:
        """Hold the blocks, so that nobody else changes what is about to be read."""
        self._owner.hold(self)
        for block in {self.first, self.last}:
            self._owner.read(block << BLOCK_SHIFT, BLOCK_BYTES, partial(self._got, block), inside=True)

    def _got(self, block: int, error: int, data: Buffer | None) -> None:
        if error:
            self._finish(error)
            return
        self._outer[block] = bytes(BLOCK_BYTES) if data is None else data
        if self._outer.keys() == {self.first, self.last}:
            self._owner.write(self.first << BLOCK_SHIFT, self._merged(), self._finish, inside=True)

    def _merged(self) -> bytes:
        start = self.first << BLOCK_SHIFT
        merged = bytearray((self.last - self.first + 1) << BLOCK_SHIFT)
        for block, data in self._outer.items():
            at = (block - self.first) << BLOCK_SHIFT
            merged[at : at + BLOCK_BYTES] = data
        at = self._offset - start
        merged[at : at + self._length] = bytes(self._length) if self._data is None else self._data
        return bytes(merged)

    def _finish(self, error: int) -> None:
        self._owner.release(self)
        self._done(error)


class Together:
    """One answer for a range that was cut into pieces."""

    __slots__ = ("_data", "_done", "_error", "_left")

    def __init__(self, pieces: int, length: int, done: ReadDone) -> None:
        self._left = pieces
        self._data = bytearray(length)
        self._error = 0
        self._done = done

    def piece(self, start: int, error: int, data: Buffer | None = None) -> None:
        """A piece that begins at `start` of the range is done."""
        self._error = self._error or error
        if data is not None:
            self._data[start : start + len(data)] = data
        self._left -= 1
        if not self._left:
            self._done(self._error, None if self._error else bytes(self._data))
