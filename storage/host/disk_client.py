"""How does the daemon ask an extent server of its own node? Question by question, over the unix socket."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import trio
import xxhash

from noded.core.errors import Unavailable
from noded.core.ids import VolumeId
from storage.extents import frame
from storage.extents.authority import VolumeMap
from storage.extents.frame import HEADER, HEADER_BYTES, PAYLOAD, Op, hash_of
from storage.extents.messages import Digest, Drop, Hello, Usage, volume_key
from storage.pools.links import ReplicaDigest

ANSWER_S_MAX = 30.0
_REQUEST = 1


async def usage(socket: Path) -> Usage:
    """How full the disk is, and which volumes it holds. Raises `Unavailable`."""
    op, payload = await _ask(socket, Op.USAGE)
    if op != Op.DATA:
        raise Unavailable(f"The extent server at {socket} answers USAGE with {Op(op).name}.")
    return msgspec.msgpack.decode(payload, type=Usage)


async def remove(socket: Path, volume_id: VolumeId) -> None:
    """Remove a volume from the disk, durably. Raises `Unavailable`."""
    op, _ = await _ask(socket, Op.REMOVE, volume_id.encode())
    if op != Op.ACK:
        raise Unavailable(f"The extent server at {socket} answers REMOVE with {Op(op).name}.")


async def drop(socket: Path, volume_id: VolumeId, extents: Sequence[int], changes: int) -> None:
    """Remove some extents of a volume from the disk, durably. Raises `Unavailable`."""
    question = msgspec.msgpack.encode(Drop(volume_id=volume_id, extents=tuple(extents), changes=changes))
    op, _ = await _ask(socket, Op.DROP, question)
    if op != Op.ACK:
        raise Unavailable(f"The extent server at {socket} answers DROP with {Op(op).name}.")


async def digest(socket: Path, volume: VolumeMap, extents: Sequence[int]) -> ReplicaDigest:
    """Read a replica's extents from end to end, part by part. Raises `Unavailable`."""
    hello = Hello(
        volume_id=volume.layer,
        epoch=volume.epoch,
        size_bytes=volume.size_bytes,
        extent_bytes=volume.extent_bytes,
        changes=volume.changes,
        parents=tuple(parent.volume_id for parent in volume.parents),
    )
    hasher, damaged = xxhash.xxh3_128(), 0
    async with _talking(socket) as stream:
        payload = msgspec.msgpack.encode(hello)
        head = frame.pack(Op.HELLO, flags=PAYLOAD, length=len(payload), request=_REQUEST, payload_hash=hash_of(payload))
        await _question(stream, socket, head + payload)
        for extent in extents:
            offset, more = 0, True
            while more:
                head = frame.pack(
                    Op.DIGEST, extent=extent, request=_REQUEST, volume=volume_key(volume.layer), offset=offset
                )
                _, answer = await _question(stream, socket, head)
                part = msgspec.msgpack.decode(answer, type=Digest)
                if part.digest:
                    hasher.update(f"{extent}/{part.offset}/{part.digest};".encode())
                damaged += part.damaged
                offset, more = part.next_offset, part.next_offset > 0
    return ReplicaDigest(digest=hasher.hexdigest(), damaged_blocks=damaged)


async def _ask(socket: Path, op: Op, payload: bytes = b"") -> tuple[int, bytes]:
    """The op and payload of the answer to one question."""
    flags = PAYLOAD if payload else 0
    head = frame.pack(op, flags=flags, length=len(payload), request=_REQUEST, payload_hash=hash_of(payload))
    async with _talking(socket) as stream:
        return await _question(stream, socket, head + payload)


@asynccontextmanager
async def _talking(socket: Path) -> AsyncIterator[trio.SocketStream]:
    try:
        async with await trio.open_unix_socket(socket) as stream:
            yield stream
    except (OSError, trio.BrokenResourceError, EOFError) as error:
        raise Unavailable(f"The extent server at {socket} can't be reached: {error}.") from error


async def _question(stream: trio.SocketStream, socket: Path, question: bytes) -> tuple[int, bytes]:
    try:
        with trio.fail_after(ANSWER_S_MAX):
            await stream.send_all(question)
            answer = HEADER.unpack(await _exactly(stream, HEADER_BYTES))
            body = await _exactly(stream, answer[4]) if answer[2] & PAYLOAD else b""
    except trio.TooSlowError:
        raise Unavailable(f"The extent server at {socket} does not answer within {ANSWER_S_MAX:.0f} s.") from None
    if answer[1] == Op.REFUSED:
        raise Unavailable(f"The extent server at {socket} refuses: {body.decode(errors='replace')}.")
    return answer[1], body


async def _exactly(stream: trio.SocketStream, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = await stream.receive_some(size - len(received))
        if not piece:
            raise EOFError("the connection ended")
        received += piece
    return bytes(received)
