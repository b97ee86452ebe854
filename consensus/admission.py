"""What do two nodes say to one another once a door is open, and whom does a cluster admit? Values and rules only.

The exchanges, each from a question to its answer:

    Greet          → Standing     who I am, whom I see: unclaimed or member
    AskPromise     → Reply        unclaimed nodes only: may I found? (`consensus/founding.py`)
    AskBack        → Reply        unclaimed nodes only: give me my promise back
    AskAdmission   → Admitted     a member only: the certificate and what a new member must know; or Turned
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from consensus.discovery import NodeState, Sighting
from consensus.door import DoorClosed, Seed
from consensus.founding import Stance
from consensus.members.model import NodeRole
from consensus.naming import NODE_ID_CHARS
from consensus.ports import DOOR_PORT
from noded.core.ids import NodeId

# Certificates, tokens and logs all need clocks that agree about as well as people's watches do.
CLOCK_SKEW_MS_MAX: Final = 60_000
NAME_CHARS_MAX: Final = 64
ADDRESSES_MAX: Final = 16


@dataclass(frozen=True)
class EntryConfig:
    """What a node brings along: what it is called, where it is, and the seed, if it has one."""

    seed: Seed | None
    name: str
    addresses: tuple[str, ...]
    release: str
    door_port: int = DOOR_PORT
    role: NodeRole = NodeRole.MEMBER

    def sighting(self, fingerprint: str, state: NodeState, cluster: str) -> Sighting:
        """How the node with that key announces itself."""
        return Sighting(
            node_id=NodeId(fingerprint[:NODE_ID_CHARS]),
            fingerprint=fingerprint,
            state=state,
            cluster=cluster,
            addresses=self.addresses,
            port=self.door_port,
            release=self.release,
        )


class Greet(msgspec.Struct, frozen=True, array_like=True, tag="greet"):
    """Who are you now?"""


class AskPromise(msgspec.Struct, frozen=True, array_like=True, tag="ask-promise"):
    """May the node that asks found the cluster?"""


class AskBack(msgspec.Struct, frozen=True, array_like=True, tag="ask-back"):
    """Give the node that asks its promise back."""


class AskAdmission(msgspec.Struct, frozen=True, array_like=True, tag="ask-admission"):
    """Admit the node that asks: what its record will say, and what must fit before it does."""

    name: str
    addresses: tuple[str, ...]
    release: str
    now_ms: int
    role: NodeRole = NodeRole.MEMBER


class Standing(msgspec.Struct, frozen=True, array_like=True, tag="standing"):
    """What a node is now. `promised`: to whom it has promised itself; `seen`: how many nodes it sees."""

    state: NodeState
    promised: NodeId | None
    seen: int


class Reply(msgspec.Struct, frozen=True, array_like=True, tag="reply"):
    """The answer to a question about promises."""

    stance: Stance


class Admitted(msgspec.Struct, frozen=True, array_like=True, tag="admitted"):
    """The node is a member: its certificate, whom to trust, and where the others are."""

    cluster_id: str
    cluster_name: str
    authority_pem: bytes
    certificate_pem: bytes
    peers: dict[NodeId, tuple[str, ...]]


class Turned(msgspec.Struct, frozen=True, array_like=True, tag="turned"):
    """The node is not admitted, and what would have to change."""

    reason: str


Question = Greet | AskPromise | AskBack | AskAdmission
Response = Standing | Reply | Admitted | Turned

_QUESTIONS: Final = msgspec.msgpack.Decoder(Question)
_RESPONSES: Final = msgspec.msgpack.Decoder(Response)


def misfit(asked: AskAdmission, *, release: str, now_ms: int) -> str | None:
    """Why a node can't become a member, and what to do about it; None if it can."""
    if not 1 <= len(asked.name) <= NAME_CHARS_MAX or not asked.name.isprintable():
        return f"its name must have 1 to {NAME_CHARS_MAX} printable characters; set `name` in its configuration"
    if not 1 <= len(asked.addresses) <= ADDRESSES_MAX:
        return f"it must announce 1 to {ADDRESSES_MAX} addresses; set `addresses` in its configuration"
    skew_ms = asked.now_ms - now_ms
    if abs(skew_ms) > CLOCK_SKEW_MS_MAX:
        direction = "ahead of" if skew_ms > 0 else "behind"
        return f"its clock is {abs(skew_ms) // 1000} s {direction} this node's; synchronise both with NTP"
    if not _releases_fit(asked.release, release):
        return f"it runs release {asked.release} and this node {release}; only neighbouring releases work together"
    return None


def encode(message: Question | Response) -> bytes:
    """A message as bytes."""
    return msgspec.msgpack.encode(message)


def read_question(message: bytes) -> Question:
    """The question in a message. Raises DoorClosed."""
    try:
        question: Question = _QUESTIONS.decode(message)
    except msgspec.DecodeError as error:
        raise DoorClosed("the other side asks in a way that this release does not know") from error
    return question


def read_response(message: bytes) -> Response:
    """The response in a message. Raises DoorClosed."""
    try:
        response: Response = _RESPONSES.decode(message)
    except msgspec.DecodeError as error:
        raise DoorClosed("the other side answers in a way that this release does not know") from error
    return response


def _releases_fit(one: str, other: str) -> bool:
    numbers = [release.split(".") for release in (one, other)]
    if not all(len(parts) >= 2 and all(part.isdecimal() for part in parts[:2]) for parts in numbers):
        return one == other
    (major, minor), (other_major, other_minor) = ((int(parts[0]), int(parts[1])) for parts in numbers)
    return major == other_major and abs(minor - other_minor) <= 1
