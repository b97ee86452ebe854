"""How does a member let others in? The hands-off door, from the inside.

A node that proved to know the secret and fits is admitted by one log entry; only then does it get its certificate. It
joins the log as an observer when the members see its record (`consensus/members/reconcile.py`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
import trio

from consensus.admission import (
    Admitted,
    AskAdmission,
    EntryConfig,
    Greet,
    Question,
    Reply,
    Response,
    Standing,
    Turned,
    misfit,
)
from consensus.authority import sign_node
from consensus.discovery import NodeState
from consensus.door import Channel
from consensus.founding import Stance
from consensus.host.door import DoorServer
from consensus.host.identity import NodeIdentity
from consensus.host.membership import Membership
from consensus.links import Discovery
from consensus.members.commands import AdmitNode
from consensus.members.links import authority_in
from consensus.members.model import Node
from consensus.naming import fingerprint
from noded.core.clock import now_ms
from noded.core.cluster import Cluster
from noded.core.errors import Refused

log = structlog.get_logger()


@dataclass(frozen=True)
class Doorkeeper:
    """A member's side of the door."""

    config: EntryConfig
    membership: Membership
    identity: NodeIdentity
    state_dir: Path
    discovery: Discovery
    cluster: Cluster

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Announce this node as a member and serve the door, if there is a seed, until cancelled."""
        sighting = self.config.sighting(self.identity.fingerprint, NodeState.MEMBER, self.membership.cluster_name)
        if self.config.seed is None:
            await self.discovery.announce(sighting)
            task_status.started()
            return
        door = DoorServer(self.config.seed, self.identity, self.state_dir, self._respond)
        async with trio.open_nursery() as nursery:
            await nursery.start(door.serve, self.config.addresses, self.config.door_port)
            # Announced when the door is open: who reads it knocks at once.
            await self.discovery.announce(sighting)
            task_status.started()

    async def _respond(self, channel: Channel, question: Question) -> Response:
        if isinstance(question, AskAdmission):
            return await self._admit(channel, question)
        if isinstance(question, Greet):
            return Standing(NodeState.MEMBER, None, len(self.cluster.reachable()))
        return Reply(Stance.FOUNDED)

    async def _admit(self, channel: Channel, asked: AskAdmission) -> Response:
        reason = misfit(asked, release=self.config.release, now_ms=now_ms())
        if reason is None and authority_in(self.cluster.view()) is None:
            reason = "this member is still learning the cluster's state; ask again"
        if reason is not None:
            log.info("node turned away", node=channel.peer, reason=reason)
            return Turned(reason)
        try:
            await self.cluster.propose(
                AdmitNode(
                    node_id=channel.peer,
                    name=asked.name,
                    addresses=asked.addresses,
                    fingerprint=fingerprint(channel.peer_key),
                    release=asked.release,
                    now_ms=now_ms(),
                    role=asked.role,
                )
            )
        except Refused as refusal:
            log.info("node turned away", node=channel.peer, reason=refusal.message)
            return Turned(refusal.message)
        log.info("node admitted", node=channel.peer, name=asked.name)
        return self._welcome(channel)

    def _welcome(self, channel: Channel) -> Admitted:
        view = self.cluster.view()
        authority = authority_in(view)
        assert authority is not None, "a cluster does not lose its authority"
        return Admitted(
            cluster_id=self.membership.cluster_id,
            cluster_name=self.membership.cluster_name,
            authority_pem=authority.certificate_pem,
            certificate_pem=sign_node(authority, channel.peer_key, datetime.now(UTC)),
            peers={node.id: node.addresses for node in view.all(Node)},
        )
