"""How does the daemon talk to a volume server of its node? A JSON line asked, one answered, on its control socket."""

from pathlib import Path
from typing import Literal

import msgspec
import trio

from noded.core.errors import Unavailable

ANSWER_S_MAX = 30.0
ANSWER_BYTES_MAX = 64 * 1024

Verb = Literal["status", "export", "unexport"]


class Ask(msgspec.Struct, frozen=True):
    """`status`: how it is. `export`, `unexport`: let the volume be a file, or no longer. All may be asked again."""

    ask: Verb


class VolumeStatus(msgspec.Struct, frozen=True):
    """The answer to each of them, after it was done. `fault`: why it could not be done."""

    phase: str  # "opening", "open" or "stopped", as in `storage/extents/replication.py`
    exported: bool = False
    fault: str = ""


async def ask(socket: Path, verb: Verb) -> VolumeStatus:
    """The server's answer. Raises `Unavailable` if there is none, or it could not do what it was asked."""
    try:
        with trio.fail_after(ANSWER_S_MAX):
            async with await trio.open_unix_socket(socket) as stream:
                await stream.send_all(msgspec.json.encode(Ask(verb)) + b"\n")
                status = msgspec.json.decode(await _line(stream), type=VolumeStatus)
    except (OSError, trio.BrokenResourceError, EOFError, msgspec.DecodeError) as error:
        raise Unavailable(f"The volume server at {socket} can't be asked: {error}.") from error
    except trio.TooSlowError:
        raise Unavailable(f"The volume server at {socket} does not answer within {ANSWER_S_MAX:.0f} s.") from None
    if status.fault:
        raise Unavailable(f"The volume server at {socket} could not {verb}: {status.fault}")
    return status


async def _line(stream: trio.SocketStream) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        piece = await stream.receive_some(ANSWER_BYTES_MAX)
        if not piece or len(received) > ANSWER_BYTES_MAX:
            raise EOFError("its answer is not whole")
        received += piece
    return bytes(received)
