"""What makes a machine a member? Its log, its store, the handle to both, and where its peers are.

Every kind of node has this much; `noded/daemon.py` builds the rest upon it.
"""

from dataclasses import dataclass

import structlog
import trio

from consensus.admission import EntryConfig
from consensus.clocks.model import ClockSight
from consensus.codec import Codec
from consensus.discovery import NodeState
from consensus.disks.links import LogEnd
from consensus.history.links import Book, ChainState, Vocabulary, vocabulary_of
from consensus.host.history_files import HistoryFiles
from consensus.host.identity import NodeIdentity
from consensus.host.membership import KeptPeers, Membership, founding_command, read_gone, settle_founding
from consensus.host.peers import PeerClient
from consensus.host.raft import RaftNode
from consensus.host.refusals import RefusalBook
from consensus.host.watch import LogWatch
from consensus.levels.links import ReleaseLevel, Understanding
from consensus.links import Discovery
from consensus.liveness.links import Rounds, Watch
from consensus.machine import Machine
from consensus.members.commands import gone_words, refuse_stranger
from consensus.members.links import Dependants, Electorate, Exit, PeerBook, Presence
from consensus.members.model import CLUSTER, ClusterFacts, GoneNode, Node
from consensus.members.reconcile import LEADERLESS_S_MAX, ask_whether_member
from consensus.ports import RAFT_PORT
from consensus.proposals import LogCluster
from consensus.recovery.host.backups import LiveBackups, RunningLog
from consensus.recovery.host.recovering import tell_beginning
from consensus.recovery.links import Backups, LogFacts, Rebirth
from consensus.room import Limits
from consensus.watches.links import Kinds
from noded.config import Config
from noded.core.clock import now_ms
from noded.core.dice import new_hex_id, new_uuid
from noded.core.errors import Refused, Unavailable
from noded.core.ids import NodeId, ProjectId
from noded.core.reconciler import Drivers
from noded.core.service import Founding
from noded.doctor.model import FirstSeen
from noded.host.life import NodeExit, NodeRebirth
from noded.host.password import admin_password
from noded.identity.host.argon2 import Argon2Passwords
from noded.inspection.links import Registry
from noded.peers import AddressBook, PeerCalls
from noded.release import LEVEL, RELEASE
from noded.services import (
    SERVICES,
    DaemonRegistry,
    ServiceDependants,
    all_commands,
    all_records,
    services_of,
)

LOG_DIRECTORY = "log"
ASK_AGAIN_S = 1.0
UNKNOWN_HERE = "the cluster was restored from a backup that is older than this node's admission to it"
HISTORY_DIRECTORY = "history"  # within the log's own: lines of another log than that one would be of no use

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Standing:
    """Who this node is, and of which cluster."""

    config: Config
    entry: EntryConfig
    identity: NodeIdentity
    membership: Membership
    discovery: Discovery
    refusals: RefusalBook


def add_log_drivers(
    drivers: Drivers, cluster: LogCluster, raft: RaftNode, machine: Machine, history: HistoryFiles
) -> None:
    """What needs the log and the store alone: the nodes of a simulated cloud have it too."""
    drivers.add(Electorate, raft)
    drivers.add(LogEnd, raft)
    drivers.add(Understanding, ReleaseLevel(LEVEL))
    drivers.add(Dependants, ServiceDependants())
    watch = LogWatch(cluster, raft)
    drivers.add(Watch, watch)
    drivers.add(ClockSight, ClockSight())
    drivers.add(Rounds, watch)
    drivers.add(Book, history)
    drivers.add(ChainState, machine)
    drivers.add(Vocabulary, vocabulary_of(all_commands(), all_records()))
    registry = DaemonRegistry(machine)
    drivers.add(Registry, registry)
    drivers.add(FirstSeen, FirstSeen())
    drivers.add(Kinds, registry)


class LogMember:
    """A node's part in its cluster: `cluster` is its handle, `raft` its end of the log, `machine` the state."""

    def __init__(self, standing: Standing) -> None:
        """Open the log. Raises what `RaftNode` raises."""
        self._standing = standing
        membership = standing.membership
        codec = Codec(all_commands(), all_records())
        log_directory = standing.config.state / LOG_DIRECTORY
        self.history = HistoryFiles(log_directory / HISTORY_DIRECTORY)
        self.machine = Machine(codec, self.history, level=LEVEL)
        services = services_of(standing.config.role)
        book = AddressBook(self.machine, membership.peers)
        self._client = PeerClient(membership.tls, book.addresses_of)
        self.calls = PeerCalls(membership.node_id, services, self._client)
        self.raft = RaftNode(
            membership.node_id,
            log_directory,
            self.machine,
            tls=membership.tls,
            listen=(standing.entry.addresses[0], RAFT_PORT),
            found=membership.founder,
            limits=Limits(),
            refused=standing.refusals.at(RAFT_PORT),
            on_applied=lambda index: self.cluster.on_applied(index),  # noqa: PLW0108  # the handle is made below
        )
        # The records say it too, but may be read only once a majority answers: until then nobody else keeps them out.
        self._gone = read_gone(standing.config.state)
        for node_id in self._gone:
            self.raft.drop_peer(node_id)
        self.cluster = LogCluster(self.raft, self.machine, codec, self.calls)
        self.exit = NodeExit()
        self.rebirth = NodeRebirth()

    def refuse_gone(self, node_id: NodeId) -> None:
        """Raise the `Refused` that tells a former node so, or one that nobody admitted."""
        if node_id != self._standing.membership.node_id:
            refuse_stranger(self.machine.picture, node_id)

    def add_drivers(self, drivers: Drivers) -> None:
        """What every kind of node has."""
        membership = self._standing.membership
        add_log_drivers(drivers, self.cluster, self.raft, self.machine, self.history)
        drivers.add(Presence, self._standing.entry)
        drivers.add(PeerBook, KeptPeers(self._standing.config.state))
        drivers.add(Discovery, self._standing.discovery)
        drivers.add(Exit, self.exit)
        drivers.add(LogFacts, RunningLog(self.raft, membership))
        drivers.add(Backups, LiveBackups(self.raft, self.machine, membership, RELEASE))
        drivers.add(Rebirth, self.rebirth)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part in the log until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(self.raft.run)
                nursery.start_soon(self._follow_sightings)
                nursery.start_soon(self.exit.run)
                nursery.start_soon(self.rebirth.run)
                task_status.started()
        finally:
            self.history.close()
            with trio.CancelScope(shield=True):
                await self._client.aclose()

    async def _follow_sightings(self) -> None:
        """Tell the log where its peers are, from what they announce: an address is soft, the certificate decides."""
        membership, discovery = self._standing.membership, self._standing.discovery
        for node_id, addresses in membership.peers.items():
            self.raft.set_peer(node_id, (addresses[0], RAFT_PORT))
            self.raft.record_peer(node_id, (addresses[0], RAFT_PORT))
        while True:
            for sighting in discovery.sightings().values():
                gone = sighting.node_id in self._gone or self.machine.picture.get(GoneNode, sighting.node_id)
                ours = sighting.state is NodeState.MEMBER and sighting.cluster_id in ("", membership.cluster_id)
                if ours and not gone:
                    self.raft.set_peer(sighting.node_id, (sighting.addresses[0], RAFT_PORT))
            await discovery.changed()

    async def know_own_record(self) -> None:
        """Wait until the store names this node: it is founded, or what was admitted has reached us."""
        standing = self._standing
        await tell_beginning(
            self.cluster, self.raft.incarnation, standing.config.state, standing.entry, standing.identity
        )
        if self._standing.membership.founder:
            await self._found()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_whether_member)
            await self._wait_for_own_record()
            nursery.cancel_scope.cancel()

    async def _ask_whether_member(self) -> None:
        """Its log may say nothing of a node that was forgotten while it was away, and nobody sends it another."""
        while True:
            await trio.sleep(LEADERLESS_S_MAX)
            if self.cluster.leader_id is None:
                gone = {former.id for former in self.machine.picture.all(GoneNode)}.union(self._gone)
                await ask_whether_member(self.cluster, self.exit, self._standing.membership.peers, gone)

    async def _wait_for_own_record(self) -> None:
        told: object = ""
        while self.cluster.view().get(Node, self._standing.membership.node_id) is None:
            if (leader := self.cluster.leader_id) != told:
                log.info("waiting for the cluster's state", leader=leader)
                told = leader
            await self._know_whether_it_is_known()

    async def _know_whether_it_is_known(self) -> None:
        """End as a member if the cluster knows nothing of this node: it was restored from before its admission.

        A node's admission is in the log before the node hears of it, so a fresh view can't be too early for that.
        """
        seen = self.cluster.view().revision
        try:
            view = await self.cluster.fresh_view()
        except Unavailable:
            with trio.move_on_after(ASK_AGAIN_S):
                await self.cluster.changed([Node], seen)
            return
        if view.get(Node, self._standing.membership.node_id) is None:
            gone = view.get(GoneNode, self._standing.membership.node_id)
            self.exit.leave(gone_words(gone) if gone is not None else UNKNOWN_HERE)
            await trio.sleep_forever()

    async def _found(self) -> None:
        """Propose the cluster's first entry, once: everything that a new cloud starts with."""
        state = self._standing.config.state
        while not self._is_founded():
            founding = await _draw_founding(admin_password(state))
            first = [command for service in SERVICES if service.founding for command in service.founding(founding)]
            standing = self._standing
            found = founding_command(standing.membership, standing.entry, standing.identity, founding.now_ms)
            try:
                await self.cluster.propose(found, *first)
            except Unavailable as fault:
                log.info("founding not confirmed yet", reason=fault.message)
            except Refused:
                # This process was killed after the log had the entry and before the membership file said so.
                if not self._is_founded():
                    raise
        settle_founding(state)

    def _is_founded(self) -> bool:
        return self.cluster.view().get(ClusterFacts, CLUSTER) is not None


async def _draw_founding(password: str) -> Founding:
    return Founding(
        now_ms=now_ms(),
        new_uuid=new_uuid,
        new_hex_id=new_hex_id,
        admin_project_id=ProjectId(new_hex_id()),
        admin_password_hash=await Argon2Passwords().hash(password),
    )
