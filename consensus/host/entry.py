"""How does an unclaimed node get into a cluster by itself? The hands-off door, from the outside.

The node announces itself, knocks at every node that announces the same cluster, and is knocked at. Those who know the
secret count one another; either one of them founds (`consensus/founding.py`) or one is a member already and admits.
"""

from datetime import UTC, datetime
from pathlib import Path
from ssl import SSLError
from typing import Final

import structlog
import trio

from consensus.admission import (
    Admitted,
    AskAdmission,
    AskBack,
    AskPromise,
    EntryConfig,
    Greet,
    Question,
    Reply,
    Response,
    Standing,
    Turned,
)
from consensus.discovery import NodeState, Sighting
from consensus.door import Channel, DoorClosed, Seed
from consensus.founding import Founding, Stance
from consensus.host.door import DoorServer, DoorSession, knock
from consensus.host.identity import NodeIdentity
from consensus.host.membership import Membership, found, join, read_membership, read_promise, write_promise
from consensus.links import Discovery
from noded.core.ids import NodeId

LOOK_S: Final = 0.25  # how often a node asks another, once their door is open
KNOCK_AGAIN_S: Final = 0.5
KNOCK_AGAIN_S_MAX: Final = 8.0
TURNED_AGAIN_S: Final = 2.0
FOLLOWED_MAX: Final = 256

log = structlog.get_logger()


async def enter_cluster(
    config: EntryConfig, identity: NodeIdentity, state_dir: Path, discovery: Discovery
) -> Membership:
    """Return when this node is a member: at once if it already was, else when it has founded or been admitted.

    Without a seed it announces itself as unclaimed and waits. Raises MembershipFault.
    """
    membership = read_membership(state_dir, identity)
    if membership is not None:
        return membership
    cluster = config.seed.cluster if config.seed else ""
    await discovery.announce(config.sighting(identity.fingerprint, NodeState.UNCLAIMED, cluster))
    if config.seed is None:
        log.info("node unclaimed", node=identity.node_id, fix="set `cluster`, `secret` and `expect` and restart")
        await trio.sleep_forever()
        raise AssertionError("sleep_forever returned")
    return await _Entry(config, config.seed, identity, state_dir, discovery).run()


class _Entry:
    """One unclaimed node on its way in."""

    def __init__(
        self, config: EntryConfig, seed: Seed, identity: NodeIdentity, state_dir: Path, discovery: Discovery
    ) -> None:
        self._config = config
        self._seed = seed
        self._identity = identity
        self._state_dir = state_dir
        self._discovery = discovery
        self._founding = Founding(identity.node_id, seed.expect, read_promise(state_dir))
        self._followed: set[NodeId] = set()
        self._membership: Membership | None = None
        self._done = trio.Event()

    async def run(self) -> Membership:
        async with trio.open_nursery() as nursery:
            door = DoorServer(self._seed, self._identity, self._state_dir, self._respond)
            await nursery.start(door.serve, self._config.addresses, self._config.door_port)
            nursery.start_soon(self._follow_everyone, nursery)
            self._consider()
            await self._done.wait()
            nursery.cancel_scope.cancel()
        assert self._membership is not None
        return self._membership

    # Asked by others.

    async def _respond(self, channel: Channel, question: Question) -> Response:
        if isinstance(question, AskPromise):
            stance = self._founding.promise(channel.peer)
            if stance is Stance.YES:
                self._keep_promise()
            return Reply(stance)
        if isinstance(question, AskBack):
            return Reply(self._founding.give_back(channel.peer))
        if isinstance(question, Greet):
            return Standing(NodeState.UNCLAIMED, self._founding.promised, len(self._founding.seen))
        return Turned("this node is no member of a cluster yet; it waits for one too")

    # Asking others.

    async def _follow_everyone(self, nursery: trio.Nursery) -> None:
        while True:
            for sighting in self._discovery.sightings().values():
                ours = sighting.cluster == self._seed.cluster and sighting.node_id != self._identity.node_id
                if ours and sighting.node_id not in self._followed and len(self._followed) < FOLLOWED_MAX:
                    self._followed.add(sighting.node_id)
                    nursery.start_soon(self._follow, sighting.node_id)
            await self._discovery.changed()

    async def _follow(self, node_id: NodeId) -> None:
        """Keep a door open to one node for as long as it announces itself."""
        pause_s = KNOCK_AGAIN_S
        while (sighting := self._discovery.sightings().get(node_id)) is not None:
            try:
                async with knock(self._seed, self._identity, sighting.addresses, port=sighting.port) as session:
                    pause_s = KNOCK_AGAIN_S
                    await self._talk(session, node_id)
            except (DoorClosed, OSError) as error:
                log.debug("no open door", node=node_id, reason=str(error))
            self._founding.lost(node_id)
            # A node that founds or is admitted closes its door for a moment: its new announcement ends the pause.
            with trio.move_on_after(pause_s):
                await self._until_changed(sighting)
            pause_s = min(2 * pause_s, KNOCK_AGAIN_S_MAX)
        self._followed.discard(node_id)

    async def _until_changed(self, sighting: Sighting) -> None:
        while self._discovery.sightings().get(sighting.node_id) == sighting:
            await self._discovery.changed()

    async def _talk(self, session: DoorSession, node_id: NodeId) -> None:
        if session.peer != node_id:
            raise DoorClosed(f"node {session.peer} answers at the address of {node_id}")
        while True:
            standing = await session.ask(Greet())
            if not isinstance(standing, Standing):
                raise DoorClosed("a greeting was not answered by one")
            if standing.state is NodeState.MEMBER:
                await self._ask_admission(session)
                await trio.sleep(TURNED_AGAIN_S)
                continue
            self._founding.met(node_id)
            self._consider()
            await self._ask_about_promises(session)
            await trio.sleep(LOOK_S)

    async def _ask_about_promises(self, session: DoorSession) -> None:
        asked = self._founding.round_for(session.peer)
        if asked is not None and await self._stance(session, AskPromise()) is Stance.YES:
            self._founding.promised_in(asked)
            self._consider()
        if self._founding.holder_to_ask() == session.peer:
            self._founding.ask_back()
            freed = False
            try:
                freed = await self._stance(session, AskBack()) is Stance.YES
            finally:
                self._founding.answered_back(freed=freed)
            self._consider()

    async def _stance(self, session: DoorSession, question: AskPromise | AskBack) -> Stance:
        reply = await session.ask(question)
        if not isinstance(reply, Reply):
            raise DoorClosed("a question about a promise was not answered")
        return reply.stance

    async def _ask_admission(self, session: DoorSession) -> None:
        config = self._config
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        answer = await session.ask(AskAdmission(config.name, config.addresses, config.release, now_ms, config.role))
        if isinstance(answer, Turned):
            log.warning("not admitted yet", by=session.peer, reason=answer.reason)
            return
        if not isinstance(answer, Admitted):
            raise DoorClosed("a request for admission was not answered")
        if self._founding.founded or self._done.is_set():
            return
        try:
            self._finish(join(self._state_dir, self._identity, answer))
        except SSLError as error:
            raise DoorClosed(f"the certificate given can't be used: {error}") from error
        log.info("node admitted", node=self._identity.node_id, cluster=answer.cluster_name, by=session.peer)

    # Deciding. Without an await in between: what is decided is on disk before anyone can ask again.

    def _consider(self) -> None:
        if self._done.is_set():
            return
        if self._founding.consider_itself():
            self._keep_promise()
        if self._founding.decide():
            self._finish(found(self._state_dir, self._identity, self._seed.cluster))
            log.info("cluster founded", node=self._identity.node_id, cluster=self._seed.cluster)

    def _keep_promise(self) -> None:
        promised = self._founding.promised
        assert promised is not None
        write_promise(self._state_dir, promised)

    def _finish(self, membership: Membership) -> None:
        self._membership = membership
        self._done.set()
