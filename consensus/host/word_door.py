"""How does an unclaimed node ask the clusters in sight to be let in? It shows words, and people on both sides say yes.

It keeps one session with one member of each cluster that announces itself. A member that lies about its cluster gets
no further than being shown under the name that it gave, with words that nobody else shows.
"""

from dataclasses import dataclass, field
from typing import Final

import trio

from consensus.admission import Admitted, OnThePorch, Response, Turned
from consensus.discovery import NodeState, Sighting
from consensus.door import DoorClosed
from consensus.entering import Offered
from consensus.host.door import DoorSession, ask_to_be_let_in
from consensus.host.newcomer import Newcomer
from consensus.host.preflight import PortTaken
from consensus.words import ClusterName
from noded.core.errors import Conflict, NotFound

CLUSTERS_MAX: Final = 8
LOOK_S: Final = 0.7
TURNED_AGAIN_S: Final = 5.0
KNOCK_AGAIN_S: Final = 1.0
KNOCK_AGAIN_S_MAX: Final = 15.0
DOOR: Final = "words"


@dataclass
class _Offer:
    """One session with one cluster's member."""

    name: ClusterName
    session: DoorSession
    address: str
    agreed: trio.Event = field(default_factory=trio.Event)
    approved: bool = False
    misfit: str = ""


class WordDoor:
    """One unclaimed node without a seed, seen from inside it."""

    def __init__(self, newcomer: Newcomer) -> None:
        self._newcomer = newcomer
        self._offers: dict[str, _Offer] = {}  # by what the cluster announces

    def offers(self) -> tuple[Offered, ...]:
        """The clusters that this node could join."""
        return tuple(
            Offered(
                cluster_id=offer.name.cluster_id,
                cluster_name=offer.name.name,
                member=offer.session.peer,
                address=offer.address,
                words=offer.session.words,
                agreed=offer.agreed.is_set(),
                approved=offer.approved,
                misfit=offer.misfit,
            )
            for offer in self._offers.values()
        )

    def agree(self, words: str) -> Offered:
        """Somebody on this side compared the words and says yes; to one cluster only. Raises NotFound and Conflict."""
        chosen = next((offer for offer in self._offers.values() if offer.session.words == words), None)
        if chosen is None:
            raise NotFound(f"No cluster in sight shows the words {words[:40]}; `noded claim` lists what is shown now.")
        if any(offer.agreed.is_set() for offer in self._offers.values() if offer is not chosen):
            raise Conflict("This node has agreed to join another cluster already; restart noded to take that back.")
        chosen.agreed.set()
        return next(offered for offered in self.offers() if offered.words == words)

    async def run(self) -> None:
        """Ask every cluster in sight, until this node is a member."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_clusters, nursery)
            await self._newcomer.done.wait()
            nursery.cancel_scope.cancel()

    async def _follow_clusters(self, nursery: trio.Nursery) -> None:
        followed: set[str] = set()

        async def follow(cluster: str) -> None:
            try:
                await self._follow(cluster)
            finally:
                followed.discard(cluster)

        while True:
            for cluster in sorted({_cluster_of(sighting) for sighting in self._members()}):
                if cluster not in followed and len(followed) < CLUSTERS_MAX:
                    followed.add(cluster)
                    nursery.start_soon(follow, cluster)
            await self._newcomer.discovery.changed()

    def _members(self) -> list[Sighting]:
        found = self._newcomer.discovery.sightings().values()
        return [sighting for sighting in found if sighting.state is NodeState.MEMBER]

    async def _follow(self, cluster: str) -> None:
        """Wait at the door of one member of this cluster after the other, for as long as any announces itself."""
        pause_s, attempt = KNOCK_AGAIN_S, 0
        while members := sorted(
            (sighting for sighting in self._members() if _cluster_of(sighting) == cluster), key=lambda s: s.node_id
        ):
            sighting = members[attempt % len(members)]
            attempt += 1
            try:
                identity = self._newcomer.identity
                async with ask_to_be_let_in(identity, sighting.addresses, port=sighting.port) as (session, name):
                    pause_s = KNOCK_AGAIN_S
                    await self._wait(cluster, _Offer(name, session, sighting.addresses[0]), sighting)
            except (DoorClosed, OSError) as error:
                self._newcomer.fault(DOOR, sighting.node_id, str(error))
            finally:
                self._offers.pop(cluster, None)
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, KNOCK_AGAIN_S_MAX)

    async def _wait(self, cluster: str, offer: _Offer, sighting: Sighting) -> None:
        if offer.session.peer != sighting.node_id:
            raise DoorClosed(f"node {offer.session.peer} answers at the address of {sighting.node_id}")
        self._offers[cluster] = offer
        while True:
            answer = await self._ask(offer)
            if isinstance(answer, Admitted):
                try:
                    self._newcomer.take(answer, offer.session.peer)
                except Conflict as fault:
                    self._newcomer.fault(DOOR, offer.session.peer, fault.message)
                return
            if isinstance(answer, Turned):
                self._newcomer.fault(DOOR, offer.session.peer, answer.reason)
                offer.misfit = answer.reason
                await trio.sleep(TURNED_AGAIN_S)
            elif isinstance(answer, OnThePorch):
                offer.approved, offer.misfit = answer.approved, answer.misfit
            with trio.move_on_after(LOOK_S):
                if not offer.agreed.is_set():
                    await offer.agreed.wait()
                else:
                    await trio.sleep_forever()

    async def _ask(self, offer: _Offer) -> Response | None:
        if not offer.agreed.is_set():
            return await offer.session.ask(self._newcomer.request(b"", agreed=False))
        try:
            return await self._newcomer.ask(offer.session)
        except PortTaken as fault:
            offer.misfit = str(fault)
            self._newcomer.fault(DOOR, "this node", str(fault))
            return None


def _cluster_of(sighting: Sighting) -> str:
    """What tells one cluster from another before anything is proved."""
    return sighting.cluster_id or f"node {sighting.node_id}"
