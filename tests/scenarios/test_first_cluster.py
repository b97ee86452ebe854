"""Three real nodes in one process: doors, certificates, log, peer calls. From three keys to three voters."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import trio

from consensus.admission import EntryConfig
from consensus.codec import Codec
from consensus.door import Seed
from consensus.host.doorkeeper import Doorkeeper
from consensus.host.entry import enter_cluster
from consensus.host.identity import NodeIdentity
from consensus.host.membership import KeptPeers, founding_command, settle_founding
from consensus.host.peers import PeerClient, PeerServer
from consensus.host.raft import RaftNode
from consensus.links import Discovery
from consensus.machine import Machine
from consensus.members import SERVICE
from consensus.members.links import Electorate, Exit, PeerBook, Presence, addresses_in
from consensus.members.model import Node
from consensus.members.reconcile import MembersReconciler
from consensus.ports import RAFT_PORT
from consensus.proposals import LogCluster
from noded.core.clock import now_ms
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.host.life import NodeExit
from noded.reconcile.loop import keep_reconciling
from tests.twins.segment import Segment, SegmentDiscovery

SEED = Seed(cluster="town", secret="the same sixteen characters everywhere", expect=3)
_numbers = count(1)


def fresh_address() -> str:
    """An address of the loopback that no other test run uses: the ports are fixed."""
    return f"127.{64 + os.getpid() % 64}.{os.getpid() // 64 % 250}.{next(_numbers)}"


@dataclass
class RunningNode:
    """The daemon without services: what it does to become and to be a member."""

    state_dir: Path
    segment: Segment
    address: str = field(default_factory=fresh_address)
    raft: RaftNode | None = None
    cluster: LogCluster | None = None
    client: PeerClient | None = None

    @property
    def node_id(self) -> NodeId:
        return NodeIdentity.load_or_create(self.state_dir).node_id

    async def run(self) -> None:
        identity = NodeIdentity.load_or_create(self.state_dir)
        entry = EntryConfig(seed=SEED, name=self.state_dir.name, addresses=(self.address,), release="0.1.0")
        discovery = self.segment.discovery()
        membership = await enter_cluster(entry, identity, self.state_dir, discovery)
        machine = Machine(Codec(SERVICE.commands, SERVICE.records))
        client = PeerClient(membership.tls, lambda node_id: addresses_in(machine.picture, node_id))
        raft = RaftNode(
            identity.node_id,
            self.state_dir / "log",
            machine,
            tls=membership.tls,
            listen=(self.address, RAFT_PORT),
            found=membership.founder,
            on_applied=lambda index: cluster.on_applied(index),  # noqa: PLW0108  # the handle is made below
        )
        cluster = LogCluster(raft, machine, Codec(SERVICE.commands, SERVICE.records), client)
        drivers = Drivers()
        drivers.add(Electorate, raft)
        drivers.add(Presence, entry)
        drivers.add(Discovery, discovery)
        drivers.add(PeerBook, KeptPeers(self.state_dir))
        drivers.add(Exit, NodeExit())
        for node_id, addresses in membership.peers.items():
            raft.set_peer(node_id, (addresses[0], RAFT_PORT))
        async with trio.open_nursery() as nursery:
            await nursery.start(raft.run)
            nursery.start_soon(self.follow, discovery, raft)
            if membership.founder:
                await cluster.propose(founding_command(membership, entry, identity, now_ms()))
                settle_founding(self.state_dir)
            nursery.start_soon(keep_reconciling, MembersReconciler(cluster, drivers), cluster)
            server = PeerServer(identity.node_id, membership.tls, {"who": self.who})
            await nursery.start(server.serve, [self.address])
            keeper = Doorkeeper(entry, membership, identity, self.state_dir, discovery, cluster)
            nursery.start_soon(keeper.run)
            self.raft, self.cluster, self.client = raft, cluster, client
            try:
                await trio.sleep_forever()
            finally:
                discovery.goodbye()
                self.raft = self.cluster = None
                with trio.CancelScope(shield=True):
                    await client.aclose()

    async def follow(self, discovery: SegmentDiscovery, raft: RaftNode) -> None:
        while True:
            for sighting in discovery.sightings().values():
                raft.set_peer(sighting.node_id, (sighting.addresses[0], RAFT_PORT))
            await discovery.changed()

    async def who(self, caller: NodeId, _payload: bytes) -> bytes:
        return f"{caller} asks {self.node_id}".encode()


@asynccontextmanager
async def running(*nodes: RunningNode) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        for node in nodes:
            nursery.start_soon(node.run)
        yield
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], bool], limit_s: float = 20.0) -> None:
    with trio.fail_after(limit_s):
        while not condition():
            await trio.sleep(0.02)


def whole(nodes: list[RunningNode]) -> bool:
    ids = {node.node_id for node in nodes}
    return all(
        node.raft is not None
        and node.cluster is not None
        and node.raft.voters == ids
        and {member.id for member in node.cluster.view().all(Node)} == ids
        and node.cluster.reachable() == ids
        for node in nodes
    )


async def test_three_keys_become_three_voters_who_call_each_other_and_find_together_again(tmp_path: Path) -> None:
    segment = Segment()
    nodes = [RunningNode(tmp_path / f"node{number}", segment) for number in range(3)]
    async with running(*nodes):
        await until(lambda: whole(nodes))
        one, other = nodes[0], nodes[1]
        assert one.client is not None
        assert await one.client.call(other.node_id, "who", b"", 5.0) == f"{one.node_id} asks {other.node_id}".encode()
    # All were stopped at once. They start again without anyone to admit them, and one of them elsewhere.
    nodes[2].address = fresh_address()
    async with running(*nodes):
        await until(lambda: whole(nodes))
        await until(
            lambda: all(
                node.cluster is not None and addresses_in(node.cluster.view(), nodes[2].node_id) == (nodes[2].address,)
                for node in nodes
            )
        )
