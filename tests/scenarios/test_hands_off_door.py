"""Real doors on 127.0.0.x: machines with the same seed become one cluster by themselves; strangers get nowhere."""

import itertools
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio

from consensus.admission import EntryConfig, Greet, Response, Standing
from consensus.discovery import NodeState
from consensus.door import DoorClosed, Seed
from consensus.doors import SERVICE as DOORS
from consensus.host.door import knock
from consensus.host.doorkeeper import Doorkeeper
from consensus.host.entry import enter_cluster
from consensus.host.hands_off import ALONE_S
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
            self.shared = SharedCluster([SERVICE, DOORS], [machine.node_id for machine in self.machines])
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


async def test_a_fourth_machine_is_admitted_later_by_any_member(town: Town) -> None:
    machines, late = [town.machine() for _ in range(3)], town.machine()
    async with living(*machines) as nursery:
        await until(lambda: len(town.members()) == 3)
        nursery.start_soon(late.live)
        await until(lambda: late.membership is not None)
    assert late.membership is not None
    assert town.clusters() == {late.membership.cluster_id}
    assert set(late.membership.peers) == {machine.node_id for machine in machines}


async def test_a_machine_that_expects_nobody_joins_the_cluster_that_is_there(town: Town) -> None:
    first, second = town.machine(expect=1), town.machine(expect=1)
    async with living(first) as nursery:
        await until(lambda: town.members() == [first.node_id])
        nursery.start_soon(second.live)
        await until(lambda: second.membership is not None)
    assert len(town.clusters()) == 1


async def test_a_machine_that_was_turned_away_does_not_found_beside_the_cluster(town: Town) -> None:
    first, second = town.machine(expect=1), town.machine(expect=1, name="twin")
    first.config = replace(first.config, name="twin")
    async with living(first) as nursery:
        await until(lambda: town.members() == [first.node_id])
        nursery.start_soon(second.live)
        await trio.sleep(2 * ALONE_S)
    assert second.membership is None


async def test_a_machine_alone_founds_if_one_is_expected(town: Town) -> None:
    machine = town.machine(expect=1)
    async with living(machine):
        await until(lambda: town.members() == [machine.node_id])
    assert machine.membership is not None
    assert machine.membership.founder


async def test_fewer_than_expected_wait(town: Town) -> None:
    first, second, absent = [town.machine() for _ in range(3)]
    async with living(first, second):
        for machine in (first, second):
            with trio.fail_after(10):
                while await standing_of(machine, asked_by=absent) != Standing(NodeState.UNCLAIMED, None, 2):
                    await trio.sleep(0.01)
        assert town.clusters() == set()


async def standing_of(machine: Machine, *, asked_by: Machine) -> Response:
    try:
        return await ask_at_the_door(asked_by, machine.config.addresses[0], machine.config.door_port)
    except (DoorClosed, OSError):
        return Standing(NodeState.UNCLAIMED, None, 0)


async def test_a_partition_makes_no_second_cluster(town: Town) -> None:
    machines = [town.machine(expect=3) for _ in range(5)]
    majority, minority = machines[:3], machines[3:]
    town.segment.cut({machine.node_id for machine in majority}, {machine.node_id for machine in minority})
    for machine in machines:
        # The twin cuts by id, which it learns from announcements.
        await machine.discovery.announce(machine.config.sighting(machine.identity.fingerprint, NodeState.UNCLAIMED, ""))
    async with living(*machines):
        await until(lambda: len(town.members()) == 3)
        assert not any(machine.membership for machine in minority)
        town.segment.heal()
        await until(lambda: len(town.members()) == 5 and all(machine.membership for machine in machines))
    assert len(town.clusters()) == 1


async def test_a_machine_with_another_secret_gets_nowhere(town: Town) -> None:
    machines = [town.machine() for _ in range(3)]
    stranger = town.machine(secret="another secret, just as long", expect=2)
    async with living(*machines, stranger):
        await until(lambda: len(town.members()) == 3)
        address = machines[0].config.addresses[0]
        for _ in range(3):
            with pytest.raises((DoorClosed, OSError)):
                await ask_at_the_door(stranger, address, machines[0].config.door_port)
    assert stranger.membership is None
    assert stranger.node_id not in town.members()


async def ask_at_the_door(machine: Machine, address: str, port: int) -> Response:
    assert machine.config.seed is not None
    async with knock(machine.config.seed.key, machine.identity, [address], port=port) as session:
        return await session.ask(Greet())


async def test_guessing_is_rationed_even_for_the_right_secret(town: Town) -> None:
    member, stranger, friend = town.machine(expect=1), town.machine(secret="guess number 1234567"), town.machine()
    address, port = member.config.addresses[0], member.config.door_port
    async with living(member):
        # A member announces itself once its door is open.
        await until(lambda: member.discovery.announced is not None and member.discovery.announced.state == "member")
        await ask_at_the_door(friend, address, port)
        for _ in range(10):
            with pytest.raises((DoorClosed, OSError)):
                await ask_at_the_door(stranger, address, port)
        # All of this comes from one address, so even the right secret is not heard for a while now.
        with pytest.raises((DoorClosed, OSError)):
            await ask_at_the_door(friend, address, port)


async def test_a_restarted_member_needs_no_door(town: Town) -> None:
    machine = town.machine(expect=1)
    async with living(machine):
        await until(lambda: town.members() == [machine.node_id])
        await until(lambda: (machine.state_dir / "tls" / "ca.key").exists() is False)
    again = await enter_cluster(machine.config, machine.identity, machine.state_dir, town.segment.discovery())
    assert machine.membership is not None
    assert (again.cluster_id, again.founder) == (machine.membership.cluster_id, False)


async def test_noise_at_the_door_harms_nobody(town: Town) -> None:
    machines = [town.machine() for _ in range(3)]
    async with living(*machines):
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(200), b""):
            with trio.move_on_after(1.0):
                stream = await connected(machines[0])
                await stream.send_all(noise)
                await stream.aclose()
        await until(lambda: len(town.members()) == 3)


async def connected(machine: Machine) -> trio.SocketStream:
    while True:
        try:
            return await trio.open_tcp_stream(machine.config.addresses[0], machine.config.door_port)
        except OSError:
            await trio.sleep(0.01)
