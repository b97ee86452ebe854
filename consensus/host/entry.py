"""How does an unclaimed node become a member? All its doors at once; the first that opens closes the others.

with a seed      its like, or a member, by SPAKE2 on the secret (`hands_off.py`)
without one      clusters in sight, by words (`word_door.py`); a member, or a person at its page, by its claim code
always           a token (`token_door.py`)
"""

import secrets
from pathlib import Path
from typing import Final

import structlog
import trio

from consensus.admission import (
    PROBE_NONCE_BYTES,
    AskWhatYouAre,
    EntryConfig,
    Greet,
    Question,
    Response,
    Standing,
    TakeIn,
    Taken,
    Turned,
)
from consensus.discovery import NodeState
from consensus.door import CLAIM_DOOR, SEED_DOOR, Channel, DoorKey, claim_key
from consensus.doors.api import plain_words
from consensus.doors.links import Refusals
from consensus.doors.token import read_token
from consensus.entering import (
    CLUSTER_NAME_CHARS_MAX,
    CODE_CHARS,
    CODE_LETTERS,
    EntryStatus,
    Offered,
    plain_code,
    shown_code,
)
from consensus.host.door import ASK_S_MAX, FAILURE_REFILL_S, FAILURES_BURST, DoorServer, Openings
from consensus.host.hands_off import HandsOff
from consensus.host.identity import NodeIdentity
from consensus.host.membership import Membership, read_membership
from consensus.host.newcomer import Newcomer
from consensus.host.preflight import PortTaken
from consensus.host.refusals import RefusalBook
from consensus.host.token_door import join_by_token
from consensus.host.word_door import WordDoor
from consensus.links import Discovery
from consensus.refusals import RefusalKind
from consensus.throttle import Throttle
from noded.core.errors import Conflict, Forbidden, Invalid, Unavailable

# Between all addresses of the network, so that many of them guess no faster than one.
EVERYWHERE: Final = "everywhere"
EVERYWHERE_BURST: Final = 60
EVERYWHERE_REFILL_S: Final = 3.0

log = structlog.get_logger()


async def enter_cluster(
    config: EntryConfig, identity: NodeIdentity, state_dir: Path, discovery: Discovery
) -> Membership:
    """Return when this node is a member: at once if it already was, else when it is one. Raises MembershipFault."""
    membership = read_membership(state_dir, identity)
    return membership or await Entry(config, identity, state_dir, discovery, RefusalBook()).run()


class Entry:
    """One unclaimed node, and what its console and its page may ask of it."""

    def __init__(
        self, config: EntryConfig, identity: NodeIdentity, state_dir: Path, discovery: Discovery, refusals: Refusals
    ) -> None:
        self._config = config
        self._identity = identity
        self._refusals = refusals
        self._newcomer = Newcomer(config, identity, state_dir, discovery)
        self._hands_off = HandsOff(self._newcomer, config.seed) if config.seed else None
        self._word_door = WordDoor(self._newcomer)
        self._code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_CHARS))
        self._guesses = Throttle(FAILURES_BURST, FAILURE_REFILL_S)
        self._guesses_everywhere = Throttle(EVERYWHERE_BURST, EVERYWHERE_REFILL_S)

    async def run(self) -> Membership:
        """Hold all doors until this node is a member."""
        newcomer, config = self._newcomer, self._config
        openings = Openings(self._key_of)
        door = DoorServer(openings, self._identity, newcomer.state_dir, self._respond, self._refusals)
        async with trio.open_nursery() as nursery:
            newcomer.background = nursery
            await nursery.start(door.serve, config.addresses, config.door_port)
            # Announced when the door is open: who reads it knocks at once.
            cluster = config.seed.cluster if config.seed else ""
            sighting = config.sighting(self._identity.fingerprint, NodeState.UNCLAIMED, cluster)
            nursery.start_soon(newcomer.discovery.announce, sighting)
            nursery.start_soon((self._hands_off or self._word_door).run)
            await newcomer.done.wait()
            await door.finish()
            nursery.cancel_scope.cancel()
        assert newcomer.membership is not None
        return newcomer.membership

    # What the node's own console and page may ask.

    @property
    def claim_code(self) -> str:
        """As it is shown; empty if the node has a seed and waits for its like."""
        return "" if self._config.seed else shown_code(self._code)

    def status(self, url: str) -> EntryStatus:
        """All that the console shows."""
        seed, config = self._config.seed, self._config
        return EntryStatus(
            node_id=self._identity.node_id,
            fingerprint=self._identity.fingerprint,
            name=config.name,
            addresses=config.addresses,
            release=config.release,
            url=url,
            claim_code=self.claim_code,
            seed_cluster=seed.cluster if seed else "",
            expect=seed.expect if seed else 0,
            sees=self._hands_off.sees if self._hands_off else 0,
            offers=self._word_door.offers(),
            faults=self._newcomer.faults(),
            twin=getattr(self._newcomer.discovery, "twin", ""),
        )

    def create(self, cluster_name: str) -> None:
        """Found a cluster of this node alone. Raises Invalid, Conflict."""
        name = cluster_name.strip()
        if not 1 <= len(name) <= CLUSTER_NAME_CHARS_MAX or not name.isprintable():
            raise Invalid(f"A cluster's name has 1 to {CLUSTER_NAME_CHARS_MAX} printable characters.")
        self._newcomer.found(name)

    def agree(self, words: str) -> Offered:
        """Say yes on this node's side. Raises NotFound, Conflict."""
        return self._word_door.agree(plain_words(words))

    async def join(self, token_text: str) -> str:
        """Join by a token; the cluster's name. Raises `Refused`."""
        return await join_by_token(self._newcomer, read_token(token_text))

    def check_code(self, code: str, address: str, port: int) -> None:
        """Raise Forbidden unless that is the claim code; guesses are rationed, by address and altogether."""
        if not self.claim_code:
            raise Conflict("This node waits for those that have the same seed in their configuration; it has no code.")
        now = trio.current_time()
        allowed = self._guesses.allows(address, now) and self._guesses_everywhere.allows(EVERYWHERE, now)
        if not allowed:
            self._refusals.note(RefusalKind.TOO_MANY, port, address, "guesses the claim code too often")
            raise Unavailable(
                "Too many wrong claim codes were tried; wait a minute, and read it from the console again."
            )
        if not secrets.compare_digest(plain_code(code).encode(), self._code.encode()):
            self._guesses.failed(address, now)
            self._guesses_everywhere.failed(EVERYWHERE, now)
            self._refusals.note(RefusalKind.WRONG_SECRET, port, address, "a wrong claim code")
            raise Forbidden("That is not this node's claim code. It stands on its console: `noded claim` shows it.")

    # Asked at the door.

    def _key_of(self, door: str) -> DoorKey | None:
        seed = self._config.seed
        if seed is not None:
            return seed.key if door == SEED_DOOR else None
        return claim_key(self._code, self._identity.fingerprint) if door == CLAIM_DOOR else None

    async def _respond(self, channel: Channel, question: Question) -> Response:
        if channel.door == CLAIM_DOOR:
            return await self._claimed(channel, question)
        if isinstance(question, Greet) and self._hands_off is None:
            return Standing(NodeState.UNCLAIMED, None, 0)
        assert self._hands_off is not None, "only a node with a seed opens by it"
        return self._hands_off.respond(channel, question)

    async def _claimed(self, channel: Channel, question: Question) -> Response:
        """A member has proved to know the claim code: that is a person's yes on both sides."""
        if isinstance(question, AskWhatYouAre):
            nonce = secrets.token_bytes(PROBE_NONCE_BYTES)
            try:
                await self._newcomer.open_ports_for(nonce, ASK_S_MAX)
            except PortTaken as fault:
                return Turned(str(fault))
            return self._newcomer.request(nonce)
        if isinstance(question, TakeIn):
            try:
                self._newcomer.take(question.admitted, channel.peer)
            except Conflict as fault:
                return Turned(fault.message)
            return Taken()
        return Turned("this is asked of members")
