"""What does an extent server do with the frames of a connection? Bytes in, bytes out; the store behind it does the I/O.

A connection says HELLO for one volume and, to write, SEALs it. Only the connection that sealed last may write: so the
frames of a writer arrive in the order in which they were sent, whatever became of its earlier connections. Everything
that changes the replica is *staged*, and acknowledged when the store has committed the batch.
"""

import struct
from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from noded.core.unreadable import UNREADABLE
from storage.extents import frame
from storage.extents.frame import HEADER, HEADER_BYTES, MORE, PAYLOAD, ZEROES, BadFrame, Op, Why, hash_of
from storage.extents.layout import BLOCK_BYTES, EXTENTS_MAX
from storage.extents.messages import (
    BLOCK_LINE,
    CHECK_BLOCKS_MAX,
    FETCH_BLOCKS_MAX,
    FILES_FORMAT,
    BlockState,
    Digest,
    Drop,
    FilesState,
    Hello,
    Usage,
    Welcome,
    volume_key,
)

Buffer = bytes | memoryview

_HASHED_BYTES: Final = HEADER_BYTES - 8
_SPANS: Final = frozenset((Op.ZERO, Op.REPAIR_ZERO, Op.REPAIR_ABSENT, Op.READ, Op.FETCH, Op.DIGEST))


class Refusal(Exception):  # noqa: N818  # it names what is sent back
    """A request that an extent server does not carry out."""

    def __init__(self, why: Why, words: str) -> None:
        super().__init__(words)
        self.why = why


class Change(msgspec.Struct, gc=False):
    """A frame that changes a replica, on its way into the journal. `frame` is all of it, `payload` its data."""

    op: int
    extent: int
    offset: int
    length: int
    stamp: int
    mark: int
    flags: int
    payload: Buffer
    payload_hash: int
    frame: Buffer


class Replica(Protocol):
    """A volume on one disk. `writer` is the session that sealed it last."""

    key: int
    size_bytes: int
    extent_bytes: int
    sealed_epoch: int
    watermark: int
    writer: object
    layout_changes: int  # how many changes a map must have to be none from before extents were dropped here


R = TypeVar("R", bound=Replica)


class Store(Protocol[R]):
    """All volumes on one disk. Every method but `commit` answers for what has been committed, and may raise Refusal."""

    full: bool
    shares_files: bool  # whether others on this node may read its files

    def open(self, hello: Hello) -> R:
        """The replica of a volume; a writer's is made if it is not there."""

    def stage(self, replica: R, change: Change) -> None:
        """Put a change into the batch. The change's buffers must stay as they are until the commit."""

    def commit(self) -> None:
        """Bring the batch to stable storage and apply it. Raises OSError when the disk fails: the process must end."""

    def read(self, replica: R, extent: int, offset: int, length: int) -> Buffer | None:
        """Verified data, the parent's where the volume has none; None if all of it is zero."""

    def fetch(self, replica: R, extent: int, offset: int, length: int) -> tuple[Sequence[BlockState], Buffer]:
        """The states of the blocks and the verified data of the volume alone."""

    def stamps(self, replica: R, extent: int, offset: int, above: int) -> tuple[bytes, int]:
        """Lines of the blocks from `offset` with stamps newer than `above`, and where to go on (0: that was all)."""

    def check(self, replica: R, extent: int, offset: int, length: int) -> tuple[bytes, int]:
        """Lines of the blocks of a span, read from the disk; those that do not match have no hash.

        And where the next block is of which something may be known (0: there is none).
        """

    def digest(self, replica: R, extent: int, offset: int) -> Digest:
        """One number for the blocks from `offset` on, up to `next_offset` (0: that was all)."""

    def files(self, replica: R) -> FilesState:
        """Where the replica's files are. Raises Refusal (UNKNOWN) if nobody else may read them."""

    def remove(self, volume_id: str) -> None:
        """Forget a volume and give its space back, durably at the next commit. Nothing happens if it isn't there."""

    def drop(self, volume_id: str, extents: Sequence[int], changes: int) -> None:
        """Give the space of some extents back, durably, and keep `changes`. Nothing happens if it isn't there."""

    def usage(self) -> Usage:
        """How full the disk is."""


class Session(Generic[R]):
    """One connection. What is to be sent is added to `replies`."""

    def __init__(self, store: Store[R], replies: list[Buffer]) -> None:
        self.store = store
        self.replies = replies
        self.replica: R | None = None
        self.volume_id = ""
        self.epoch = 0
        self.changes = 0
        self._staged: list[int] = []
        self._sealed = False  # whether it was an owner's; what it is now is said by the replica's `writer`

    def receive(self, view: memoryview, start: int, end: int) -> int:
        """Take all whole frames of `view[start:end]`; where the first that is not whole begins. Raises BadFrame.

        The bytes of the taken frames must not change before the store's next commit.
        """
        while end - start >= HEADER_BYTES:
            fields = HEADER.unpack_from(view, start)
            op, flags, length = fields[1], fields[2], fields[4]
            if fields[0] != frame.MAGIC or hash_of(view[start : start + _HASHED_BYTES]) != fields[11]:
                raise BadFrame("the header's hash does not match")
            stop = start + HEADER_BYTES
            if flags & PAYLOAD:
                if length > frame.PAYLOAD_BYTES_MAX:
                    raise BadFrame(f"a payload of {length} bytes; at most {frame.PAYLOAD_BYTES_MAX} are allowed")
                stop += length
                if stop > end:
                    break
                if hash_of(view[start + HEADER_BYTES : stop]) != fields[10]:
                    raise BadFrame("the payload's hash does not match")
            try:
                self._carry_out(op, fields, view[start:stop])
            except Refusal as refusal:
                self._refuse(fields[5], refusal)
            start = stop
        return start

    def acknowledge(self) -> None:
        """Answer for what was staged; to be called after a commit."""
        if self._staged:
            ids = struct.pack(f"<{len(self._staged)}I", *self._staged)
            self.replies.append(frame.pack(Op.ACK, flags=PAYLOAD, length=len(ids), payload_hash=hash_of(ids)))
            self.replies.append(ids)
            self._staged.clear()

    def _carry_out(self, op: int, fields: tuple[int, ...], whole: memoryview) -> None:
        _, _, flags, extent, length, request, _, stamp, mark, offset, payload_hash, _ = fields
        if Op.SEAL < op <= Op.REPAIR_ABSENT:
            replica = self._writable(op, flags, extent, offset, length)
            payload = whole[HEADER_BYTES:]
            change = Change(op, extent, offset, length, stamp, mark, flags, payload, payload_hash, whole)
            self.store.stage(replica, change)
            self._staged.append(request)
        elif op == Op.READ:
            self._read(extent, offset, length, request)
        elif op in {Op.FETCH, Op.STAMPS, Op.DIGEST, Op.CHECK}:
            self._inspect(op, extent, offset, length, mark, request)
        elif op == Op.HELLO:
            self._hello(bytes(whole[HEADER_BYTES:]), request)
        elif op == Op.SEAL:
            self._seal(stamp, whole, request)
        elif op == Op.PING:
            self._ping(stamp, mark)
            self._staged.append(request)
        elif op == Op.FILES:
            replica = self._bound(0, 0, BLOCK_BYTES)
            # It answers for all that came before it.
            self.store.commit()
            self._answer(request, msgspec.msgpack.encode(self.store.files(replica)))
        elif op == Op.USAGE:
            self._answer(request, msgspec.msgpack.encode(self.store.usage()))
        elif op == Op.REMOVE:
            self.store.remove(bytes(whole[HEADER_BYTES:]).decode())
            self._staged.append(request)
        elif op == Op.DROP:
            self._drop(bytes(whole[HEADER_BYTES:]))
            self._staged.append(request)
        else:
            raise BadFrame(f"op {op} is not known")

    def _writable(self, op: int, flags: int, extent: int, offset: int, length: int) -> R:
        replica = self._bound(extent, offset, length)
        # One comparison fences both an older owner and an older connection of the same owner.
        if replica.writer is not self:
            raise Refusal(Why.FENCED, f"sealed at epoch {replica.sealed_epoch}, this connection has {self.epoch}")
        if bool(flags & PAYLOAD) != (op in {Op.WRITE, Op.REPAIR}):
            raise Refusal(Why.MALFORMED, "the payload does not suit the op")
        if op in {Op.WRITE, Op.REPAIR} and self.store.full:
            raise Refusal(Why.FULL, "the disk has reached its reserve; free space or add a disk")
        return replica

    def _bound(self, extent: int, offset: int, length: int) -> R:
        replica = self.replica
        if replica is None:
            raise Refusal(Why.MALFORMED, "no HELLO was said on this connection")
        if self.epoch < replica.sealed_epoch:
            raise Refusal(Why.FENCED, f"sealed at epoch {replica.sealed_epoch}, this connection has {self.epoch}")
        self._refuse_outdated(replica)
        if (offset | length) % BLOCK_BYTES or offset + length > replica.extent_bytes or extent > EXTENTS_MAX:
            raise Refusal(Why.MALFORMED, f"extent {extent} has no blocks at {offset}+{length}")
        if not 0 < length <= frame.SPAN_BYTES_MAX:
            raise Refusal(Why.MALFORMED, f"a span of {length} bytes; 1 to {frame.SPAN_BYTES_MAX} are allowed")
        return replica

    def _refuse_outdated(self, replica: R) -> None:
        """By an old map an extent that was dropped here would be taken for one that was never written."""
        if self.changes < replica.layout_changes:
            raise Refusal(
                Why.OUTDATED,
                f"extents were dropped here at change {replica.layout_changes}, the map has {self.changes}",
            )

    def _read(self, extent: int, offset: int, length: int, request: int) -> None:
        replica = self._bound(extent, offset, length)
        if length > frame.PAYLOAD_BYTES_MAX:
            raise Refusal(Why.MALFORMED, f"a read of {length} bytes; at most {frame.PAYLOAD_BYTES_MAX} are allowed")
        data = self.store.read(replica, extent, offset, length)
        if data is None:
            self.replies.append(frame.pack(Op.DATA, flags=ZEROES, length=length, request=request))
        else:
            self._answer(request, data)

    def _inspect(self, op: int, extent: int, offset: int, length: int, mark: int, request: int) -> None:
        if op == Op.FETCH:
            replica = self._bound(extent, offset, length)
            if length > FETCH_BLOCKS_MAX * BLOCK_BYTES:
                raise Refusal(Why.MALFORMED, f"a fetch of {length} bytes is too much at once")
            states, data = self.store.fetch(replica, extent, offset, length)
            first = offset // BLOCK_BYTES
            lines = b"".join(BLOCK_LINE.pack(first + at, *state) for at, state in enumerate(states))
            self._answer(request, lines + bytes(data))
        elif op == Op.STAMPS:
            replica = self._bound(extent, offset, BLOCK_BYTES)
            # The list answers for all that came before it: what is staged must not show up behind the owner's back.
            self.store.commit()
            lines, next_offset = self.store.stamps(replica, extent, offset, mark)
            self._answer(request, lines, flags=MORE if next_offset else 0, offset=next_offset)
        elif op == Op.CHECK:
            replica = self._bound(extent, offset, length)
            if length > CHECK_BLOCKS_MAX * BLOCK_BYTES:
                raise Refusal(Why.MALFORMED, f"a check of {length} bytes is too much at once")
            self.store.commit()  # as for STAMPS
            lines, next_offset = self.store.check(replica, extent, offset, length)
            self._answer(request, lines, offset=next_offset)
        else:
            replica = self._bound(extent, offset, BLOCK_BYTES)
            self._answer(request, msgspec.msgpack.encode(self.store.digest(replica, extent, offset)))

    def _hello(self, payload: bytes, request: int) -> None:
        try:
            hello = msgspec.msgpack.decode(payload, type=Hello)
            key = volume_key(hello.volume_id)
        except (*UNREADABLE, ValueError) as error:
            raise BadFrame(f"not a greeting: {error}") from error
        replica = self.store.open(hello)
        assert replica.key == key
        if hello.epoch < replica.sealed_epoch:
            raise Refusal(Why.FENCED, f"sealed at epoch {replica.sealed_epoch}, this connection has {hello.epoch}")
        self.changes = hello.changes
        self._refuse_outdated(replica)
        self.replica = replica
        self.volume_id = hello.volume_id
        self.epoch = hello.epoch
        welcome = Welcome(
            sealed_epoch=replica.sealed_epoch,
            watermark=replica.watermark,
            files_format=FILES_FORMAT if self.store.shares_files else 0,
            checks=True,
        )
        self._answer(request, msgspec.msgpack.encode(welcome))

    def _seal(self, stamp: int, whole: memoryview, request: int) -> None:
        replica = self._bound(0, 0, BLOCK_BYTES)
        if frame.epoch_of(stamp) != self.epoch:
            raise Refusal(Why.MALFORMED, "the seal is not for the epoch of the greeting")
        # From this moment older writers are refused; that it is so for ever is acknowledged after the commit.
        replica.sealed_epoch = self.epoch
        replica.writer = self
        self._sealed = True
        self.store.stage(replica, Change(Op.SEAL, 0, 0, 0, stamp, 0, 0, b"", 0, whole))
        self._staged.append(request)

    def _drop(self, payload: bytes) -> None:
        try:
            drop = msgspec.msgpack.decode(payload, type=Drop)
        except UNREADABLE as error:
            raise BadFrame(f"not a list of extents: {error}") from error
        self.store.drop(drop.volume_id, drop.extents, drop.changes)

    def _ping(self, changes: int, mark: int) -> None:
        # Its owner has another map since it greeted. What it sent by the old one came before this on the same way.
        self.changes = max(self.changes, changes)
        replica = self.replica
        if self._sealed and replica is not None and replica.writer is not self:
            # Its lease ends here.
            raise Refusal(Why.FENCED, f"sealed at epoch {replica.sealed_epoch}, this connection has {self.epoch}")
        if replica is not None and replica.writer is self and mark > replica.watermark:
            replica.watermark = mark

    def _answer(self, request: int, payload: Buffer, *, flags: int = 0, offset: int = 0) -> None:
        self.replies.append(
            frame.pack(
                Op.DATA,
                flags=flags | PAYLOAD,
                length=len(payload),
                request=request,
                offset=offset,
                payload_hash=hash_of(payload),
            )
        )
        self.replies.append(payload)

    def _refuse(self, request: int, refusal: Refusal) -> None:
        words = str(refusal).encode()
        self.replies.append(
            frame.pack(
                Op.REFUSED,
                flags=PAYLOAD,
                length=len(words),
                request=request,
                offset=refusal.why,
                payload_hash=hash_of(words),
            )
        )
        self.replies.append(words)
