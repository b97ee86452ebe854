"""How does an unclaimed node get into a cluster by itself? The hands-off door, from the outside.

The node announces itself, knocks at every node that announces the same cluster, and is knocked at. Those who know the
secret count one another; either one of them founds (`consensus/founding.py`) or one is a member already and admits.
"""

from typing import Final

import trio

from consensus.admission import (
    Admitted,
    AskBack,
    AskPromise,
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
from consensus.host.door import DoorSession, knock
from consensus.host.membership import read_promise, write_promise
from consensus.host.newcomer import Newcomer
from consensus.host.preflight import PortTaken
from noded.core.errors import Conflict
from noded.core.ids import NodeId

LOOK_S: Final = 0.25  # how often a node asks another, once their door is open
KNOCK_AGAIN_S: Final = 0.5
KNOCK_AGAIN_S_MAX: Final = 8.0
TURNED_AGAIN_S: Final = 2.0
FOLLOWED_MAX: Final = 256
# Who expects nobody needs nobody's promise: a cluster that is there already gets so long to be seen and to say so.
ALONE_S: Final = 2.0
DOOR: Final = "hands-off"


class HandsOff:
    """One unclaimed node with a seed, on its way in."""

    def __init__(self, newcomer: Newcomer, seed: Seed) -> None:
        self._newcomer = newcomer
        self._seed = seed
        self._founding = Founding(newcomer.identity.node_id, seed.expect, read_promise(newcomer.state_dir))
        self._followed: set[NodeId] = set()
        self._members: set[NodeId] = (
            set()
        )  # who knows the secret and says to be a member: nothing is to be founded then

    @property
    def sees(self) -> int:
        """How many nodes with the same seed are in sight, this one included."""
        return len(self._founding.seen)

    async def run(self) -> None:
        """Follow everyone who announces the same cluster, until this node is a member."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_everyone, nursery)
            if self._seed.expect == 1:
                with trio.move_on_after(ALONE_S):
                    await self._newcomer.done.wait()
            self._consider()
            await self._newcomer.done.wait()
            nursery.cancel_scope.cancel()

    # Asked by others.

    def respond(self, channel: Channel, question: Question) -> Response:
        """What another node with the seed is told."""
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
            for sighting in self._newcomer.discovery.sightings().values():
                ours = sighting.cluster == self._seed.cluster and sighting.node_id != self._newcomer.identity.node_id
                if ours and sighting.node_id not in self._followed and len(self._followed) < FOLLOWED_MAX:
                    self._followed.add(sighting.node_id)
                    nursery.start_soon(self._follow, sighting.node_id)
            await self._newcomer.discovery.changed()

    async def _follow(self, node_id: NodeId) -> None:
        """Keep a door open to one node for as long as it announces itself."""
        pause_s = KNOCK_AGAIN_S
        while (sighting := self._newcomer.discovery.sightings().get(node_id)) is not None:
            try:
                key, identity = self._seed.key, self._newcomer.identity
                async with knock(key, identity, sighting.addresses, port=sighting.port) as session:
                    pause_s = KNOCK_AGAIN_S
                    await self._talk(session, node_id)
            except (DoorClosed, OSError) as error:
                self._newcomer.fault(DOOR, node_id, str(error))
            self._founding.lost(node_id)
            self._members.discard(node_id)
            self._consider()
            # A node that founds or is admitted closes its door for a moment: its new announcement ends the pause.
            with trio.move_on_after(pause_s):
                await self._until_changed(sighting)
            pause_s = min(2 * pause_s, KNOCK_AGAIN_S_MAX)
        self._followed.discard(node_id)

    async def _until_changed(self, sighting: Sighting) -> None:
        while self._newcomer.discovery.sightings().get(sighting.node_id) == sighting:
            await self._newcomer.discovery.changed()

    async def _talk(self, session: DoorSession, node_id: NodeId) -> None:
        if session.peer != node_id:
            raise DoorClosed(f"node {session.peer} answers at the address of {node_id}")
        while True:
            standing = await session.ask(Greet())
            if not isinstance(standing, Standing):
                raise DoorClosed("a greeting was not answered by one")
            if standing.state is NodeState.MEMBER:
                self._members.add(node_id)
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
        try:
            answer = await self._newcomer.ask(session)
            if isinstance(answer, Turned):
                self._newcomer.fault(DOOR, session.peer, answer.reason)
            elif not isinstance(answer, Admitted):
                raise DoorClosed("a request for admission was not answered")
            elif not self._founding.founded and not self._newcomer.done.is_set():
                self._newcomer.take(answer, session.peer)
        except (PortTaken, Conflict) as fault:
            self._newcomer.fault(DOOR, session.peer, str(fault))

    # Deciding. Without an await in between: what is decided is on disk before anyone can ask again.

    def _consider(self) -> None:
        if self._newcomer.done.is_set() or self._members:
            return
        if self._founding.consider_itself():
            self._keep_promise()
        if self._founding.decide():
            self._newcomer.found(self._seed.cluster)

    def _keep_promise(self) -> None:
        promised = self._founding.promised
        assert promised is not None
        write_promise(self._newcomer.state_dir, promised)
