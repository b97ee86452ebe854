"""How does the daemon ask an extent server of its own node? One question a connection, over the unix socket."""

from pathlib import Path

import msgspec
import trio

from noded.core.errors import Unavailable
from noded.core.ids import VolumeId
from storage.extents import frame
from storage.extents.frame import HEADER, HEADER_BYTES, PAYLOAD, Op, hash_of
from storage.extents.messages import Usage

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


async def _ask(socket: Path, op: Op, payload: bytes = b"") -> tuple[int, bytes]:
    """The op and payload of the answer."""
    flags = PAYLOAD if payload else 0
    header = frame.pack(op, flags=flags, length=len(payload), request=_REQUEST, payload_hash=hash_of(payload))
    try:
        with trio.fail_after(ANSWER_S_MAX):
            async with await trio.open_unix_socket(socket) as stream:
                await stream.send_all(header + payload)
                answer = HEADER.unpack(await _exactly(stream, HEADER_BYTES))
                body = await _exactly(stream, answer[4]) if answer[2] & PAYLOAD else b""
    except (OSError, trio.BrokenResourceError, EOFError) as error:
        raise Unavailable(f"The extent server at {socket} can't be reached: {error}.") from error
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
