"""What do two nodes say to one another once a door is open, and whom does a cluster admit? Values and rules only.

The exchanges, each from a question to its answer:

    Greet          → Standing     who I am, whom I see: unclaimed or member
    AskPromise     → Reply        unclaimed nodes only: may I found? (`consensus/founding.py`)
    AskBack        → Reply        unclaimed nodes only: give me my promise back
    AskAdmission   → Admitted     a member only: the certificate and what a new member must know; or Turned;
                                  or OnThePorch: people have not said yes on both sides yet
    AskWhatYouAre  → AskAdmission an unclaimed node only, after its claim code: what it would ask with
    TakeIn         → Taken        an unclaimed node only, after its claim code: it is a member now
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import msgspec

from consensus.discovery import NodeState, Sighting
from consensus.door import DoorClosed, Seed
from consensus.founding import Stance
from consensus.members.model import NodeRole
from consensus.naming import NODE_ID_CHARS
from consensus.ports import DOOR_PORT
from noded.core.ids import NodeId
from noded.core.unreadable import UNREADABLE

# Certificates, tokens and logs all need clocks that agree about as well as people's watches do.
CLOCK_SKEW_MS_MAX: Final = 30_000
NAME_CHARS_MAX: Final = 64
ADDRESSES_MAX: Final = 16
PORTS_MAX: Final = 64
# What guests' packets need: they have 1450 bytes, and the overlay adds 50.
MTU_MIN: Final = 1500
PROBE_NONCE_BYTES: Final = 16


@dataclass(frozen=True)
class EntryConfig:
    """What a node brings along: what it is called, where it is, and the seed, if it has one."""

    seed: Seed | None
    name: str
    addresses: tuple[str, ...]
    release: str
    door_port: int = DOOR_PORT
    role: NodeRole = NodeRole.MEMBER
    level: int = 1  # up to which level of commands its release understands
    # Which ports must be open towards the members: those on which nothing listens yet, and those that show this
    # node's key already.
    ports_to_come: tuple[int, ...] = ()
    ports_shown: tuple[int, ...] = ()

    def sighting(self, fingerprint: str, state: NodeState, cluster: str, cluster_id: str = "") -> Sighting:
        """How the node with that key announces itself."""
        return Sighting(
            node_id=NodeId(fingerprint[:NODE_ID_CHARS]),
            fingerprint=fingerprint,
            state=state,
            cluster=cluster,
            addresses=self.addresses,
            port=self.door_port,
            release=self.release,
            cluster_id=cluster_id,
            name=self.name,
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
    mtu: int = 0  # of the interface that has the first address; 0: not known
    ports_to_come: tuple[int, ...] = ()  # on these the node says the nonce to whoever connects, while it asks
    ports_shown: tuple[int, ...] = ()  # on these it speaks TLS with its own key
    nonce: bytes = b""
    secret: bytes = b""  # a token's
    agreed: bool = True  # somebody said yes on the node's own side, or nobody has to
    level: int = 1  # up to which level of commands its release understands

    def __repr__(self) -> str:
        return f"AskAdmission(name={self.name!r}, addresses={self.addresses!r})"  # never the secret


class AskWhatYouAre(msgspec.Struct, frozen=True, array_like=True, tag="ask-what-you-are"):
    """What would you ask for admission with?"""


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


class TakeIn(msgspec.Struct, frozen=True, array_like=True, tag="take-in"):
    """You are admitted: whoever says so knows your claim code."""

    admitted: Admitted


class Taken(msgspec.Struct, frozen=True, array_like=True, tag="taken"):
    """Done: it is on disk."""


class OnThePorch(msgspec.Struct, frozen=True, array_like=True, tag="on-the-porch"):
    """Not yet: `approved` says whether the members' side has said yes. `misfit`: what would be in the way."""

    approved: bool
    misfit: str = ""


class Turned(msgspec.Struct, frozen=True, array_like=True, tag="turned"):
    """The node is not admitted, and what would have to change."""

    reason: str


Question = Greet | AskPromise | AskBack | AskAdmission | AskWhatYouAre | TakeIn
Response = Standing | Reply | Admitted | Turned | OnThePorch | AskAdmission | Taken

_QUESTIONS: Final = msgspec.msgpack.Decoder(Question)
_RESPONSES: Final = msgspec.msgpack.Decoder(Response)


def misfit(asked: AskAdmission, *, release: str, now_ms: int) -> str | None:
    """Why a node can't become a member, and what to do about it; None if it can."""
    reasons = (_misnamed(asked), _misplaced(asked), _mistimed(asked, now_ms), _mismatched(asked, release))
    return next((reason for reason in reasons if reason is not None), None)


def _misnamed(asked: AskAdmission) -> str | None:
    if 1 <= len(asked.name) <= NAME_CHARS_MAX and asked.name.isprintable():
        return None
    return f"its name must have 1 to {NAME_CHARS_MAX} printable characters; set `name` in its configuration"


def _misplaced(asked: AskAdmission) -> str | None:
    if not 1 <= len(asked.addresses) <= ADDRESSES_MAX:
        return f"it must announce 1 to {ADDRESSES_MAX} addresses; set `address` in its configuration"
    if not all(_is_address(address) for address in asked.addresses):
        return "it announces something that is no IP address among its addresses; set `address` in its configuration"
    if len(asked.ports_to_come) + len(asked.ports_shown) > PORTS_MAX:
        return f"it asks for more than {PORTS_MAX} ports to be tried"
    if 0 < asked.mtu < MTU_MIN:
        return f"its interface carries packets of {asked.mtu} bytes and guests' networks need {MTU_MIN}; raise its MTU"
    return None


def _mistimed(asked: AskAdmission, now_ms: int) -> str | None:
    skew_ms = asked.now_ms - now_ms
    if abs(skew_ms) <= CLOCK_SKEW_MS_MAX:
        return None
    direction = "ahead of" if skew_ms > 0 else "behind"
    return f"its clock is {abs(skew_ms) // 1000} s {direction} this node's; synchronise both with NTP"


def _mismatched(asked: AskAdmission, release: str) -> str | None:
    if _releases_fit(asked.release, release):
        return None
    return f"it runs release {asked.release} and this node {release}; only neighbouring releases work together"


def encode(message: Question | Response) -> bytes:
    """A message as bytes."""
    return msgspec.msgpack.encode(message)


def read_question(message: bytes) -> Question:
    """The question in a message. Raises DoorClosed."""
    try:
        question: Question = _QUESTIONS.decode(message)
    except UNREADABLE as error:
        raise DoorClosed("the other side asks in a way that this release does not know") from error
    return question


def read_response(message: bytes) -> Response:
    """The response in a message. Raises DoorClosed."""
    try:
        response: Response = _RESPONSES.decode(message)
    except UNREADABLE as error:
        raise DoorClosed("the other side answers in a way that this release does not know") from error
    return response


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _releases_fit(one: str, other: str) -> bool:
    numbers = [release.split(".") for release in (one, other)]
    if not all(len(parts) >= 2 and all(part.isdecimal() for part in parts[:2]) for parts in numbers):
        return one == other
    (major, minor), (other_major, other_minor) = ((int(parts[0]), int(parts[1])) for parts in numbers)
    return major == other_major and abs(minor - other_minor) <= 1
