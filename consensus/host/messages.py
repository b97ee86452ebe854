"""What do nodes say to one another about the log? Every form a message may have, checked where it comes in.

pysyncobj's own messages keep its field names; the others are the engine's.
"""

from collections.abc import Mapping
from typing import Final, NotRequired, TypedDict, cast

import msgspec

from consensus.host.seams import Entry, Message
from consensus.incarnation import Incarnation
from noded.core.unreadable import UNREADABLE

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024


class BadMessage(Exception):  # noqa: N818
    """What came in is no message of this protocol."""


class Hello(msgspec.Struct, frozen=True):
    """The first frame on a link: who speaks, on which port it listens, and of which life of the log.

    Also the answer to one of another life, before the link is closed: so the older one learns that it is older.
    """

    node_id: str
    port: int
    format: int = 1
    incarnation: Incarnation | None = None


class PreVote(TypedDict):
    """Would you vote for me in this term?"""

    type: str
    term: int
    last_log_index: int
    last_log_term: int


class PreVoteReply(TypedDict):
    type: str
    term: int
    granted: bool
    current_term: int


class RequestVote(TypedDict):
    type: str
    term: int
    last_log_index: int
    last_log_term: int


class ResponseVote(TypedDict):
    type: str
    term: int


class TimeoutNow(TypedDict):
    type: str
    term: int


class Append(TypedDict):
    """The leader's entries after (`previous_index`, `previous_term`); none of them: a heartbeat.

    `up`: to learners, who have no links among themselves, when it changes: whom the leader hears.
    `short`: whose disks are too full for the cluster to take writes (free and needed bytes); without it, it takes them.
    """

    type: str
    term: int
    commit_index: int
    previous_index: int
    previous_term: int
    entries: list[Entry]
    short: NotRequired[dict[str, tuple[int, int]]]
    up: NotRequired[list[str]]


class CheckpointChunk(TypedDict):
    """A piece of the leader's checkpoint; none: it has none ready, and only says that it leads."""

    type: str
    term: int
    commit_index: int
    chunk: tuple[bytes, bool, bool] | None


class AppendReply(TypedDict):
    """`matched`: the logs agree up to there. `rejected`: not at that index, try from `hint`. Neither: I hear you."""

    type: str
    term: int
    matched: NotRequired[int]
    start_over: NotRequired[bool]
    rejected: NotRequired[int]
    hint: NotRequired[int]
    room: NotRequired[tuple[int, int, int]]  # only without enough: a `Standing`, free and needed bytes


class ApplyCommand(TypedDict):
    type: str
    command: bytes
    request_id: NotRequired[int]


class ApplyCommandResponse(TypedDict):
    type: str
    request_id: int
    error: NotRequired[int]
    log_idx: NotRequired[int]
    log_term: NotRequired[int]


class BarrierAsk(TypedDict):
    """To the leader: up to which index must I have applied?"""

    type: str
    number: int


class BarrierIndex(TypedDict):
    type: str
    number: int
    index: int | None


class BarrierPing(TypedDict):
    """From the leader: is my term still yours?"""

    type: str
    number: int


class BarrierPong(TypedDict):
    type: str
    number: int
    term: int


_FORMS: Final[Mapping[str, object]] = {
    "pre_vote": PreVote,
    "pre_vote_reply": PreVoteReply,
    "request_vote": RequestVote,
    "response_vote": ResponseVote,
    "timeout_now": TimeoutNow,
    "append": Append,
    "checkpoint_chunk": CheckpointChunk,
    "append_reply": AppendReply,
    "apply_command": ApplyCommand,
    "apply_command_response": ApplyCommandResponse,
    "barrier_ask": BarrierAsk,
    "barrier_index": BarrierIndex,
    "barrier_ping": BarrierPing,
    "barrier_pong": BarrierPong,
}

# Promises: they may leave only when what they promise is durable.
PROMISES: Final = frozenset({"append_reply", "request_vote", "response_vote", "pre_vote_reply"})

encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, object]).decode
_decode_hello = msgspec.msgpack.Decoder(Hello).decode


def decode(frame: bytes) -> Message:
    """One message of a known form. Raises BadMessage."""
    try:
        fields = _decode(frame)
        form = _FORMS.get(str(fields.get("type")))
        if form is None:
            raise BadMessage(f"a message of type {fields.get('type')!r} is not known here")
        return cast(Message, msgspec.convert(fields, form))
    except UNREADABLE as error:
        raise BadMessage(str(error)) from error


def decode_hello(frame: bytes) -> Hello:
    """The first frame. Raises BadMessage."""
    try:
        hello = _decode_hello(frame)
    except UNREADABLE as error:
        raise BadMessage(str(error)) from error
    if not 0 < hello.port < 1 << 16:
        raise BadMessage(f"{hello.port} is no port")
    return hello


def body_length(header: bytes) -> int:
    """How long the frame is whose four first bytes these are. Raises BadMessage for one that is too long."""
    length = int.from_bytes(header, "big")
    if length > FRAME_BYTES_MAX:
        raise BadMessage(f"a frame of {length} bytes is longer than the {FRAME_BYTES_MAX} allowed")
    return length


def frame(body: bytes) -> bytes:
    """The body with its length in front."""
    return len(body).to_bytes(4, "big") + body
