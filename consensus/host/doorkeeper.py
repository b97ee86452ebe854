"""How does a member let others in? Every door of the cluster, from the inside.

A node that may come in (it knows the seed or a token, or people said yes on both sides) and fits is admitted by one
log entry; only then does it get its certificate. It joins the log as an observer when the members see its record
(`consensus/members/reconcile.py`).
"""

import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog
import trio

from consensus.admission import (
    Admitted,
    AskAdmission,
    AskWhatYouAre,
    EntryConfig,
    Greet,
    OnThePorch,
    Question,
    Reply,
    Response,
    Standing,
    TakeIn,
    Taken,
    Turned,
    misfit,
)
from consensus.authority import sign_node
from consensus.certificates.model import ROTATION, Rotation, Stage, trusted_pems
from consensus.discovery import NodeState, Sighting
from consensus.door import SEED_DOOR, TOKEN_DOOR, WORDS_DOOR, Channel, DoorClosed, DoorKey, claim_key, token_key
from consensus.doors.commands import UseToken, why_not
from consensus.doors.links import Refusals
from consensus.doors.model import JoinToken, LetIn, TokenState, Unclaimed, Waiting
from consensus.doors.token import secret_hash
from consensus.entering import plain_code
from consensus.founding import Stance
from consensus.host.door import DoorServer, Openings, knock
from consensus.host.identity import NodeIdentity
from consensus.host.membership import Membership
from consensus.host.porch import WaitingRoom
from consensus.host.preflight import unreachable_ports
from consensus.host.refusals import RefusalBook
from consensus.levels.plan import too_old_to_join
from consensus.links import Discovery
from consensus.members.commands import AdmitNode
from consensus.members.links import authority_in
from consensus.members.model import AUTHORITY, ClusterAuthority, Node
from consensus.naming import fingerprint
from consensus.words import ClusterName
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, NotFound, Refused
from noded.core.ids import NodeId
from noded.core.origin import Origin

log = structlog.get_logger()


@dataclass
class Doorkeeper:
    """A member's side of the doors. Implements `consensus.doors.links.Porch`."""

    config: EntryConfig
    membership: Membership
    identity: NodeIdentity
    state_dir: Path
    discovery: Discovery
    cluster: Cluster
    refusals: Refusals = field(default_factory=RefusalBook)
    room: WaitingRoom = field(init=False)

    def __post_init__(self) -> None:
        self.room = WaitingRoom(self.identity.node_id)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Announce this node as a member and serve the doors until cancelled."""
        member = self.membership
        sighting = self.config.sighting(
            self.identity.fingerprint, NodeState.MEMBER, member.cluster_name, member.cluster_id
        )
        openings = Openings(self._key_of, ClusterName(member.cluster_id, member.cluster_name))
        door = DoorServer(openings, self.identity, self.state_dir, self._respond, self.refusals)
        async with trio.open_nursery() as nursery:
            await nursery.start(door.serve, self.config.addresses, self.config.door_port)
            # Announced when the door is open: who reads it knocks at once.
            await self.discovery.announce(sighting)
            task_status.started()

    # What the API asks.

    def waiting(self) -> Waiting:
        """Who waits here for a yes, and whom this node sees announced as unclaimed."""
        return Waiting(
            requests=self.room.requests(now_ms()),
            unclaimed=tuple(
                _unclaimed(sighting)
                for sighting in self.discovery.sightings().values()
                if sighting.state is NodeState.UNCLAIMED
            ),
        )

    def approve(self, node_id: NodeId, words: str, origin: Origin | None = None) -> None:
        """A person, who acts as `origin`, compared the words and said yes. Raises `Refused`."""
        self.room.approve(node_id, words, now_ms(), origin)
        log.info("node approved", node=node_id)

    def turn_away(self, node_id: NodeId) -> None:
        """A person said no. Raises NotFound."""
        self.room.turn_away(node_id)
        log.info("node turned away by hand", node=node_id)

    async def claim(self, order: LetIn) -> NodeId:
        """Fetch an unclaimed node with its claim code: preflight, admission, and its certificate, in one go."""
        node_id, addresses, port = self._whereabouts(order)
        sighting = self.discovery.sightings().get(node_id) if node_id else None
        mark = sighting.fingerprint if sighting else order.node
        key = claim_key(plain_code(order.claim_code), mark)
        try:
            async with knock(key, self.identity, addresses, port=port) as session:
                asked = await session.ask(AskWhatYouAre())
                if isinstance(asked, Turned):
                    raise Conflict(f"The node can't join: {asked.reason}.")
                if not isinstance(asked, AskAdmission):
                    raise Conflict("The node does not say what it is; does it run another release?")
                channel = session.channel
                admitted = await self._admit(channel, asked, order.origin)
                if isinstance(admitted, Turned):
                    raise Conflict(f"The node can't join: {admitted.reason}.")
                taken = await session.ask(TakeIn(admitted))
        except (DoorClosed, OSError) as error:
            raise Conflict(
                f"The node was not fetched: {error}. Read its claim code again (`noded claim` on its console); it is"
                " another one after each start."
            ) from error
        if not isinstance(taken, Taken):
            reason = taken.reason if isinstance(taken, Turned) else "it did not confirm"
            raise Conflict(f"The node was admitted and did not take its certificate: {reason}. Try again.")
        return channel.peer

    def _whereabouts(self, order: LetIn) -> tuple[NodeId | None, tuple[str, ...], int]:
        sightings = [each for each in self.discovery.sightings().values() if each.state is NodeState.UNCLAIMED]
        found = [each for each in sightings if order.node in (each.node_id, each.fingerprint)] or [
            each for each in sightings if order.node == each.name
        ]
        if len(found) > 1:
            ids = ", ".join(each.node_id for each in found)
            raise Conflict(f"Several unclaimed nodes are called {order.node[:60]}: {ids}. Name one by its id.")
        if found:
            return found[0].node_id, order.addresses or found[0].addresses, found[0].port
        if order.addresses and len(order.node) == len(self.identity.fingerprint):
            return None, order.addresses, self.config.door_port
        raise NotFound(
            f"No unclaimed node {order.node[:64]} can be seen from here. Ask a member on the same network, or give the"
            " node's fingerprint (`noded claim` shows it) and its address."
        )

    # Asked at the door.

    def _key_of(self, door: str) -> DoorKey | None:
        if door == SEED_DOOR:
            return self.config.seed.key if self.config.seed else None
        token = self._token(door)
        return token_key(token.id, token.secret_hash, self.membership.cluster_id) if token else None

    def _token(self, door: str) -> JoinToken | None:
        if not door.startswith(TOKEN_DOOR):
            return None
        return self.cluster.view().get(JoinToken, door.removeprefix(TOKEN_DOOR))

    async def _respond(self, channel: Channel, question: Question) -> Response:
        if isinstance(question, AskAdmission):
            return await self._asked(channel, question)
        if isinstance(question, Greet):
            seen = 0 if channel.door == WORDS_DOOR else len(self.cluster.reachable())
            return Standing(NodeState.MEMBER, None, seen)
        if channel.door == SEED_DOOR:
            return Reply(Stance.FOUNDED)
        return Turned("this is not asked of members")

    async def _asked(self, channel: Channel, asked: AskAdmission) -> Response:
        if channel.door != WORDS_DOOR:
            return await self._admit(channel, asked)
        if self.room.was_turned_away(channel):
            return Turned("an administrator turned it away; restart noded on it to ask again")
        request = self.room.asks(channel, asked, self._misfit(channel.peer, asked), now_ms())
        if not (request.approved and asked.agreed):
            return OnThePorch(request.approved, request.misfit)
        return await self._admit(channel, asked, self.room.approved_by(channel.peer))

    def _misfit(self, node_id: NodeId, asked: AskAdmission) -> str | None:
        reason = misfit(asked, release=self.config.release, now_ms=now_ms())
        if reason is None and authority_in(self.cluster.view()) is None:
            reason = "this member is still learning the cluster's state; ask again"
        return reason or too_old_to_join(self.cluster.view(), asked.level) or self._namesake(node_id, asked.name)

    def _namesake(self, node_id: NodeId, name: str) -> str | None:
        """The entry decides; said here too, so that it is seen before anybody says yes."""
        namesakes = [node.id for node in self.cluster.view().find(Node, "name", name) if node.id != node_id]
        if not namesakes:
            return None
        return f"another node, {namesakes[0]}, is already called {name}; set another `name` on one of them"

    async def _admit(self, channel: Channel, asked: AskAdmission, origin: Origin | None = None) -> Admitted | Turned:
        """Admit a node in the name of who let it in; of this node, where a secret did."""
        # The token first: by one that opens nothing, nobody shall make members try ports for him.
        reason = self._worthless(channel) or self._misfit(channel.peer, asked)
        reason = reason or await unreachable_ports(asked, channel.peer_key)
        try:
            if reason is None:
                cluster = self.cluster if origin is None else self.cluster.acting_for(origin)
                await cluster.propose(*self._entry(channel, asked))
        except Refused as refusal:
            reason = refusal.message
        if reason is not None:
            log.info("node turned away", node=channel.peer, door=channel.door, reason=reason)
            return Turned(reason)
        log.info("node admitted", node=channel.peer, name=asked.name, door=channel.door)
        return self._welcome(channel)

    def _worthless(self, channel: Channel) -> str | None:
        """Why a token lets nobody in, as far as is known before the entry decides."""
        token, view = self._token(channel.door), self.cluster.view()
        if token is None or (channel.peer in token.used_by and view.get(Node, channel.peer) is not None):
            return None
        state, rotation = token.state_at(now_ms()), view.get(Rotation, ROTATION)
        if state is not TokenState.VALID:
            return why_not(token, state)
        if rotation and rotation.stage in {Stage.DROP, Stage.DONE} and token.created_at_ms < rotation.begun_at_ms:
            # Its bearer trusts the old authority alone: it would be admitted here, and not come in.
            return f"Token {token.id} was made before the cluster's authority was rotated. Ask for a new one."
        return None

    def _entry(self, channel: Channel, asked: AskAdmission) -> list[Command]:
        """One entry: a token's use and the admission, both or none."""
        at_ms = now_ms()
        admission = AdmitNode(
            node_id=channel.peer,
            name=asked.name,
            addresses=asked.addresses,
            fingerprint=fingerprint(channel.peer_key),
            release=asked.release,
            now_ms=at_ms,
            role=asked.role,
        )
        if not channel.door.startswith(TOKEN_DOOR):
            return [admission]
        token = self._token(channel.door)
        if token is None or not hmac.compare_digest(secret_hash(asked.secret), token.secret_hash):
            raise Forbidden("The token's secret is not the right one.")
        return [UseToken(token_id=token.id, node_id=channel.peer, now_ms=at_ms), admission]

    def _welcome(self, channel: Channel) -> Admitted:
        view = self.cluster.view()
        authority = authority_in(view)
        assert authority is not None, "a cluster does not lose its authority"
        return Admitted(
            cluster_id=self.membership.cluster_id,
            cluster_name=self.membership.cluster_name,
            authority_pem="".join(
                trusted_pems(view.need(ClusterAuthority, AUTHORITY), view.get(Rotation, ROTATION))
            ).encode(),
            certificate_pem=sign_node(authority, channel.peer_key, datetime.now(UTC)),
            peers={node.id: node.addresses for node in view.all(Node)},
        )


def _unclaimed(sighting: Sighting) -> Unclaimed:
    return Unclaimed(
        node_id=sighting.node_id,
        fingerprint=sighting.fingerprint,
        name=sighting.name,
        addresses=sighting.addresses,
        release=sighting.release,
        cluster=sighting.cluster,
    )
