"""A volume server's words to an extent server, for tests: frames made, answers read."""

from typing import Any, NamedTuple

import msgspec

from storage.extents import frame
from storage.extents.frame import HEADER, HEADER_BYTES, PAYLOAD, Op, Why, hash_of
from storage.extents.layout import BLOCK_BYTES
from storage.extents.messages import BLOCK_LINE, BlockState, Digest, Hello, volume_key
from storage.extents.serving import Buffer, Session

VOLUME = "0f6e1a52-7c3b-4d1e-9a55-3f2b8c9d0e01"
CLONE = "7d21b8a4-1f0e-4c6b-8e77-5a4c3b2d1f02"
EXTENT_BYTES = 4 << 20
SIZE_BYTES = 3 * EXTENT_BYTES


class Answer(NamedTuple):
    op: int
    flags: int
    length: int
    offset: int
    request: int
    payload: bytes


class Talk:
    """One connection to a store, which commits after each exchange."""

    def __init__(
        self,
        store: Any,
        volume_id: str = VOLUME,
        epoch: int = 1,
        *,
        writer: bool = True,
        parents: tuple[str, ...] = (),
        changes: int = 0,
        unclaimed: bool = False,
    ) -> None:
        self.store = store
        self.key = volume_key(volume_id)
        self.epoch = epoch
        self.sequence = 0
        self._replies: list[Buffer] = []
        self.session: Session[Any] = Session(store, self._replies)
        hello = Hello(volume_id, epoch, SIZE_BYTES, EXTENT_BYTES, parents, writer, changes, unclaimed)
        self.welcome = self.ask(self.frame(Op.HELLO, msgspec.msgpack.encode(hello)))
        if writer and self.welcome.op == Op.DATA:
            self.sealed = self.ask(self.frame(Op.SEAL, stamp=frame.first_stamp(epoch)))

    def frame(self, op: int, payload: bytes = b"", **fields: int) -> bytes:
        if payload:
            fields |= {"flags": fields.get("flags", 0) | PAYLOAD, "length": len(payload)}
            fields["payload_hash"] = hash_of(payload)
        return frame.pack(op, volume=self.key, request=7, **fields) + payload

    def send(self, *frames: bytes) -> list[Answer]:
        content = b"".join(frames)
        assert self.session.receive(memoryview(content), 0, len(content)) == len(content)
        self.store.commit()
        self.session.acknowledge()
        answered = b"".join(bytes(reply) for reply in self._replies)
        self._replies.clear()
        return list(_answers(answered))

    def ask(self, one: bytes) -> Answer:
        [answer] = self.send(one)
        return answer

    def stamp(self) -> int:
        self.sequence += 1
        return frame.first_stamp(self.epoch) + self.sequence

    def write_frame(self, block: int, data: bytes, *, extent: int = 0, stamp: int = 0, mark: int = 0) -> bytes:
        offset = block * BLOCK_BYTES
        return self.frame(Op.WRITE, data, extent=extent, offset=offset, stamp=stamp or self.stamp(), mark=mark)

    def write(self, block: int, data: bytes, *, extent: int = 0, stamp: int = 0, mark: int = 0) -> Answer:
        return self.ask(self.write_frame(block, data, extent=extent, stamp=stamp, mark=mark))

    def zero(self, block: int, count: int, *, extent: int = 0) -> Answer:
        span = {"offset": block * BLOCK_BYTES, "length": count * BLOCK_BYTES}
        return self.ask(self.frame(Op.ZERO, extent=extent, stamp=self.stamp(), **span))

    def repair(self, op: Op, block: int, data: bytes | int, *, stamp: int, mark: int, flags: int = 0) -> Answer:
        fields = {"offset": block * BLOCK_BYTES, "stamp": stamp, "mark": mark, "flags": flags}
        if isinstance(data, int):
            return self.ask(self.frame(op, length=data * BLOCK_BYTES, **fields))
        return self.ask(self.frame(op, data, **fields))

    def read(self, block: int, count: int = 1, *, extent: int = 0) -> bytes:
        """The bytes; raises `AssertionError` with the words if they are refused."""
        answer = self.ask(self.read_frame(block, count, extent=extent))
        assert answer.op == Op.DATA, answer
        return answer.payload if answer.flags & PAYLOAD else bytes(answer.length)

    def read_frame(self, block: int, count: int = 1, *, extent: int = 0) -> bytes:
        return self.frame(Op.READ, extent=extent, offset=block * BLOCK_BYTES, length=count * BLOCK_BYTES)

    def stamps(self, above: int = 0, *, extent: int = 0) -> dict[int, BlockState]:
        answer = self.ask(self.frame(Op.STAMPS, extent=extent, mark=above))
        return {block: BlockState(stamp, digest) for block, stamp, digest in BLOCK_LINE.iter_unpack(answer.payload)}

    def fetch(self, block: int, count: int) -> tuple[list[tuple[int, int, int]], bytes]:
        span = {"offset": block * BLOCK_BYTES, "length": count * BLOCK_BYTES}
        answer = self.ask(self.frame(Op.FETCH, **span))
        assert answer.op == Op.DATA, answer
        lines = count * BLOCK_LINE.size
        return list(BLOCK_LINE.iter_unpack(answer.payload[:lines])), answer.payload[lines:]

    def digest(self, *, extent: int = 0) -> list[tuple[int, int]]:
        """The parts of an extent that hold something."""
        found, offset = [], 0
        while True:
            answer = self.ask(self.frame(Op.DIGEST, extent=extent, offset=offset))
            part = msgspec.msgpack.decode(answer.payload, type=Digest)
            assert part.damaged == 0
            if part.digest:
                found.append((part.offset, part.digest))
            offset = part.next_offset
            if not offset:
                return found


def refusal(answer: Answer) -> Why:
    """Why it was refused."""
    assert answer.op == Op.REFUSED, answer
    return Why(answer.offset)


def block(letter: int) -> bytes:
    return bytes([letter]) * BLOCK_BYTES


def _answers(content: bytes) -> Any:
    at = 0
    while at < len(content):
        _, op, flags, _, length, request, _, _, _, offset, digest, _ = HEADER.unpack_from(content, at)
        at += HEADER_BYTES
        size = length if flags & PAYLOAD else 0
        payload = content[at : at + size]
        assert not size or hash_of(payload) == digest
        at += size
        yield Answer(op, flags, length, offset, request, payload)
