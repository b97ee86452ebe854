"""How does the daemon ask a volume server of its node? The other end of `control.py`: a JSON line each way."""

from pathlib import Path
from typing import Literal

import msgspec
import trio

from noded.core.errors import Unavailable
from noded.core.ids import DiskId
from noded.core.unreadable import UNREADABLE
from storage.volumes.links import ScrubState, ServedVolume

ANSWER_S_MAX = 30.0
ANSWER_BYTES_MAX = 256 * 1024

Verb = Literal["status", "look", "export", "unexport", "freeze", "thaw", "scrub"]


class VolumeStatus(msgspec.Struct, frozen=True):
    """What of the answers matters here. `error`: why it could not be done."""

    phase: str = ""  # "opening", "open" or "stopped", as in `storage/extents/replication.py`
    error: str = ""
    frozen: bool = False  # it stands still, at this epoch and count of changes
    epoch: int = 0
    changes: int = 0
    replicas: dict[DiskId, str] = msgspec.field(default_factory=dict)
    latencies_ms: dict[DiskId, float] = msgspec.field(default_factory=dict)
    resyncs: dict[DiskId, float] = msgspec.field(default_factory=dict)
    joins: dict[str, int] = msgspec.field(default_factory=dict)
    requests_under_way: int = 0
    damaged_blocks: int = 0
    io: dict[str, int] = msgspec.field(default_factory=dict)
    size_bytes: int = 0
    scrub: ScrubState = ScrubState()

    @property
    def served(self) -> ServedVolume:
        """The same, for who asks how the volume is."""
        names = [field.name for field in msgspec.structs.fields(ServedVolume)]
        return ServedVolume(**{name: getattr(self, name) for name in names})


async def ask(socket: Path, verb: Verb, **words: str) -> VolumeStatus:
    """The server's answer. Raises `Unavailable` if there is none, or it could not do what it was asked."""
    try:
        with trio.fail_after(ANSWER_S_MAX):
            async with await trio.open_unix_socket(socket) as stream:
                await stream.send_all(msgspec.json.encode({"do": verb, **words}) + b"\n")
                status = msgspec.json.decode(await _line(stream), type=VolumeStatus)
    except (OSError, trio.BrokenResourceError, EOFError, *UNREADABLE) as error:
        raise Unavailable(f"The volume server at {socket} can't be asked: {error}.") from error
    except trio.TooSlowError:
        raise Unavailable(f"The volume server at {socket} does not answer within {ANSWER_S_MAX:.0f} s.") from None
    if status.error:
        raise Unavailable(f"The volume server at {socket} could not {verb}: {status.error}")
    return status


async def _line(stream: trio.SocketStream) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        piece = await stream.receive_some(ANSWER_BYTES_MAX)
        if not piece or len(received) > ANSWER_BYTES_MAX:
            raise EOFError("its answer is not whole")
        received += piece
    return bytes(received)
