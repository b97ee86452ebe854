"""What does a call from node to node look like on the wire? Bytes in, bytes out; no sockets, no clock.

A connection carries one call at a time. Each frame is a length (4 bytes, big-endian) and a msgpack array:

    → [method, limit ms, payload]          ← ["ok", payload]   or   ["no", error name, kind, code, message]

What a handler refuses (`noded.core.errors.Refused`) is raised again on the caller's side as the same class.
"""

import struct
from typing import Final

import msgspec

from noded.core import errors
from noded.core.errors import Kind, Refused, Unavailable
from noded.core.ids import NodeId
from noded.core.unreadable import UNREADABLE

PAYLOAD_BYTES_MAX: Final = 8 * 1024 * 1024
# Room for the method's name or an error's words beside the payload.
FRAME_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 64 * 1024
METHOD_CHARS_MAX: Final = 100
MESSAGE_CHARS_MAX: Final = 16 * 1024
LENGTH: Final = struct.Struct(">I")

_REFUSALS: Final[dict[str, type[Refused]]] = {
    name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Refused)
}


class BadFrame(Exception):  # noqa: N818  # it names what was received
    """The other side does not speak this protocol; the connection is of no more use."""


class Unreachable(Unavailable):
    """A node did not answer a call. `maybe_done`: the call was sent, so it may have been carried out nevertheless."""

    def __init__(self, node_id: NodeId, reason: str, *, maybe_done: bool = False) -> None:
        super().__init__(f"Node {node_id} can't be reached: {reason}.")
        self.node_id = node_id
        self.maybe_done = maybe_done


class Call(msgspec.Struct, frozen=True, array_like=True):
    """What is asked, and how long the caller waits for it."""

    method: str
    limit_ms: int
    payload: bytes


class Done(msgspec.Struct, frozen=True, array_like=True, tag="ok"):
    """It was carried out."""

    payload: bytes


class Denied(msgspec.Struct, frozen=True, array_like=True, tag="no"):
    """It was refused, or it failed: the parts of a `Refused`."""

    name: str
    kind: Kind
    code: str
    message: str


def call_frame(method: str, payload: bytes, deadline_s: float) -> bytes:
    """A call, framed. Raises ValueError if it is larger than a frame may be."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"{method}: a payload of {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX} fit one call")
    assert len(method) <= METHOD_CHARS_MAX, method
    return _frame(msgspec.msgpack.encode(Call(method, int(deadline_s * 1000), payload)))


def read_call(body: bytes) -> Call:
    """The call in a frame's body. Raises BadFrame."""
    try:
        return msgspec.msgpack.decode(body, type=Call)
    except UNREADABLE as error:
        raise BadFrame(f"not a call: {error}") from error


def done_frame(payload: bytes) -> bytes:
    """The answer of a call that was carried out, framed. Raises ValueError if it is larger than a frame may be."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"an answer of {len(payload)} bytes; at most {PAYLOAD_BYTES_MAX} fit one call")
    return _frame(msgspec.msgpack.encode(Done(payload)))


def denied_frame(refusal: Refused) -> bytes:
    """The answer of a call that was refused, framed."""
    name = next((kind.__name__ for kind in type(refusal).__mro__ if kind.__name__ in _REFUSALS), "Refused")
    denied = Denied(name, refusal.kind, refusal.code, refusal.message[:MESSAGE_CHARS_MAX])
    return _frame(msgspec.msgpack.encode(denied))


def read_answer(body: bytes) -> bytes:
    """The payload of an answer. Raises the `Refused` that it carries, or BadFrame."""
    try:
        answer = msgspec.msgpack.decode(body, type=Done | Denied)
    except UNREADABLE as error:
        raise BadFrame(f"not an answer: {error}") from error
    if isinstance(answer, Denied):
        raise _REFUSALS.get(answer.name, Refused)(answer.message, code=answer.code, kind=answer.kind)
    return answer.payload


def body_length(header: bytes) -> int:
    """How long the body is that follows a frame's first four bytes. Raises BadFrame if it may not be that long."""
    length: int = LENGTH.unpack(header)[0]
    if length > FRAME_BYTES_MAX:
        raise BadFrame(f"a frame of {length} bytes; at most {FRAME_BYTES_MAX} are allowed")
    return length


def _frame(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body
