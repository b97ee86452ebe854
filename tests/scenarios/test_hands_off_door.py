"""Real doors on 127.0.0.x: machines with the same seed become one cluster by themselves; strangers get nowhere."""

import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from consensus.admission import EntryConfig
from consensus.door import Seed
from consensus.host.doorkeeper import Doorkeeper
from consensus.host.entry import enter_cluster
from consensus.host.identity import NodeIdentity
from consensus.host.membership import Membership, founding_command, settle_founding
from consensus.members import SERVICE
from consensus.members.model import Node
from consensus.proposals import LogCluster
from noded.core.clock import now_ms
from noded.core.ids import NodeId
from tests.twins.cluster import SharedCluster
from tests.twins.segment import Segment, SegmentDiscovery

SECRET = "the same sixteen characters everywhere"
_hosts = itertools.count(1)


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Machine:
    """One host: its directory, its address, its ends of the network and of the shared log."""

    town: "Town"
    config: EntryConfig
    identity: NodeIdentity
    state_dir: Path
    discovery: SegmentDiscovery
    membership: Membership | None = None

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    async def live(self) -> None:
        """What the daemon does: get in, found the log if this node founded, then hold the door."""
        self.membership = await enter_cluster(self.config, self.identity, self.state_dir, self.discovery)
        cluster = self.town.log_of(self.node_id)
        if self.membership.founder:
            await cluster.propose(founding_command(self.membership, self.config, self.identity, now_ms()))
            settle_founding(self.state_dir)
        keeper = Doorkeeper(self.config, self.membership, self.identity, self.state_dir, self.discovery, cluster)
        await keeper.run()


class Town:
    """Machines on one segment. The log is shared and instant: this is about doors, not about the log."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.segment = Segment()
        self.shared: SharedCluster | None = None
        self.machines: list[Machine] = []

    def machine(self, *, secret: str = SECRET, cluster: str = "town", expect: int = 3, name: str = "") -> Machine:
        number = next(_hosts)
        address = f"127.0.{number // 200}.{number % 200 + 2}"
        state_dir = self.directory / f"machine{number}"
        identity = NodeIdentity.load_or_create(state_dir)
        seed = Seed(cluster=cluster, secret=secret, expect=expect)
        config = EntryConfig(
            seed=seed,
            name=name or f"machine{number}",
            addresses=(address,),
            release="0.1.0",
            door_port=free_port(address),
        )
        machine = Machine(self, config, identity, state_dir, self.segment.discovery())
        self.machines.append(machine)
        return machine

    def log_of(self, node_id: NodeId) -> LogCluster:
        if self.shared is None:
            self.shared = SharedCluster([SERVICE], [machine.node_id for machine in self.machines])
        return self.shared.cluster(node_id)

    def members(self) -> list[NodeId]:
        return [node.id for node in self.shared.machine.picture.all(Node)] if self.shared else []

    def clusters(self) -> set[str]:
        return {machine.membership.cluster_id for machine in self.machines if machine.membership}


@pytest.fixture
async def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


async def until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    with trio.fail_after(limit_s):
        while not condition():
            await trio.sleep(0.01)


@asynccontextmanager
async def living(*machines: Machine) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        for machine in machines:
            nursery.start_soon(machine.live)
        yield nursery
        nursery.cancel_scope.cancel()


async def test_three_machines_with_one_seed_become_one_cluster(town: Town) -> None:
    machines = [town.machine() for _ in range(3)]
    async with living(*machines):
        await until(lambda: len(town.members()) == 3)
        await until(lambda: all(machine.membership for machine in machines))
    assert len(town.clusters()) == 1
    assert sorted(town.members()) == sorted(machine.node_id for machine in machines)
