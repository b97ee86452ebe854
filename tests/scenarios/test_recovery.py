"""Lost majorities and lost clusters, on real logs over the loopback: brought back, and one cluster in the end."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
import trio

from consensus.admission import Admitted, EntryConfig
from consensus.authority import found_authority, sign_node
from consensus.codec import Codec
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.membership import Membership, join, read_membership
from consensus.host.raft import RaftNode, Superseded
from consensus.host.rebirth import set_log_aside
from consensus.machine import Machine
from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import AdmitNode, FoundCluster, LabelNode
from consensus.members.model import Node
from consensus.ports import RAFT_PORT
from consensus.proposals import LogCluster
from consensus.recovery import SERVICE as RECOVERY
from consensus.recovery.host.backups import LiveBackups, RunningLog
from consensus.recovery.host.offline import read_log
from consensus.recovery.host.probing import Asker, life_at, who_answers
from consensus.recovery.host.reading import read_backup
from consensus.recovery.host.recovering import LOG_DIRECTORY, Begun, recover, restore, tell_beginning
from consensus.recovery.model import Beginning, Life
from consensus.recovery.sealing import new_recipient
from noded.cli.offline import look, recover_here
from noded.config import Config
from noded.core.ids import NodeId
from tests.logs import PATIENCE_S, until
from tests.twins.loopback import own_address

CODEC = Codec((*MEMBERS.commands, *RECOVERY.commands), (*MEMBERS.records, *RECOVERY.records))
AUTHORITY = found_authority("town", datetime.now(UTC))
PRIVATE, PUBLIC = new_recipient()
RELEASE = "0.1.0"
_numbers = count(100)


class Nobody:
    """There are no peer calls here."""

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        raise AssertionError(method)


@dataclass
class Townsman:
    """A node with its files. Its parts are there while it runs."""

    state: Path
    name: str
    address: str = field(default_factory=lambda: own_address(next(_numbers)))
    running: trio.CancelScope | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    @property
    def identity(self) -> NodeIdentity:
        return NodeIdentity.load_or_create(self.state)

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    @property
    def entry(self) -> EntryConfig:
        return EntryConfig(seed=None, name=self.name, addresses=(self.address,), release=RELEASE)

    @property
    def membership(self) -> Membership:
        membership = read_membership(self.state, self.identity)
        assert membership is not None
        return membership

    @property
    def record(self) -> Node:
        return Node(
            id=self.node_id, name=self.name, addresses=(self.address,), fingerprint=self.identity.fingerprint,
            admitted_at_ms=1, release=RELEASE,
        )  # fmt: skip

    def admit(self, others: "list[Townsman]") -> None:
        """Give it what a doorkeeper gives."""
        join(
            self.state,
            self.identity,
            Admitted(
                cluster_id="c1",
                cluster_name="town",
                authority_pem=AUTHORITY.certificate_pem,
                certificate_pem=sign_node(AUTHORITY, self.identity.public_key, datetime.now(UTC)),
                peers={other.node_id: (other.address,) for other in others},
            ),
        )

    def make(self, others: "list[Townsman]", *, found: bool = False) -> None:
        self.machine = Machine(CODEC)
        self.raft = RaftNode(
            self.node_id,
            self.state / LOG_DIRECTORY,
            self.machine,
            tls=self.membership.tls,
            listen=(self.address, RAFT_PORT),
            found=found,
            on_applied=lambda index: self.cluster.on_applied(index),  # noqa: PLW0108  # made below
        )
        self.cluster = LogCluster(self.raft, self.machine, CODEC, Nobody())
        for other in others:
            self.raft.set_peer(other.node_id, (other.address, RAFT_PORT))

    async def say(self, words: str) -> None:
        """A change that everyone can see."""
        await self.cluster.propose(LabelNode(node_id=self.node_id, labels={words: "said"}))

    def heard(self) -> set[str]:
        return {label for node in self.machine.picture.all(Node) for label in node.labels}

    async def tell_beginning(self) -> None:
        await tell_beginning(self.cluster, self.raft.incarnation, self.state, self.entry, self.identity)


class Town:
    """Nodes that run in this process."""

    def __init__(self, nursery: trio.Nursery, directory: Path) -> None:
        self._nursery = nursery
        self._directory = directory
        self.nodes: list[Townsman] = []

    def node(self, name: str) -> Townsman:
        state = self._directory / name
        state.mkdir()
        self.nodes.append(Townsman(state, name))
        return self.nodes[-1]

    async def start(self, node: Townsman, *, found: bool = False) -> None:
        node.make([other for other in self.nodes if other is not node], found=found)
        await self._nursery.start(self._run, node)

    async def _run(self, node: Townsman, task_status: trio.TaskStatus[None]) -> None:
        """As the daemon does: a node that is superseded sets its log aside and starts again."""
        node.ended = trio.Event()
        with trio.CancelScope() as node.running:
            while True:
                try:
                    await node.raft.run(task_status=task_status)
                except Superseded:
                    set_log_aside(node.state / LOG_DIRECTORY)
                    node.make([other for other in self.nodes if other is not node])
                    task_status = trio.TASK_STATUS_IGNORED
        node.ended.set()

    async def stop(self, *nodes: Townsman) -> None:
        for node in nodes:
            assert node.running is not None
            node.running.cancel()
            await node.ended.wait()

    async def form(self, count: int) -> list[Townsman]:
        nodes = [self.node(f"host{number}") for number in range(1, count + 1)]
        for node in nodes:
            node.admit(nodes)
        first, *others = nodes
        await self.start(first, found=True)
        await first.cluster.propose(
            FoundCluster(
                cluster_id="c1", name="town", authority_certificate_pem=AUTHORITY.certificate_pem.decode(),
                authority_key_pem=AUTHORITY.key_pem.decode(), founder=first.record, now_ms=1,
            )
        )  # fmt: skip
        for other in others:
            await self.start(other)
            await self.let_in(first, other)
        return nodes

    async def let_in(self, leader: Townsman, node: Townsman) -> None:
        leader.raft.set_peer(node.node_id, (node.address, RAFT_PORT))
        await leader.cluster.propose(
            AdmitNode(
                node_id=node.node_id, name=node.name, addresses=(node.address,),
                fingerprint=node.identity.fingerprint, release=RELEASE, now_ms=1,
            )
        )  # fmt: skip
        await leader.raft.promote(node.node_id)

    async def alike(self, *nodes: Townsman) -> None:
        """Wait until all have the same state."""
        await until(lambda: len({(node.raft.applied_index, node.machine.digest()) for node in nodes}) == 1)


@pytest.fixture
def town(nursery: trio.Nursery, tmp_path: Path) -> Town:
    return Town(nursery, tmp_path)


async def test_a_lost_majority_is_gone_on_without_and_follows_when_it_comes_back(town: Town) -> None:
    one, two, three = await town.form(3)
    await one.say("before")
    await town.alike(one, two, three)
    await town.stop(one, two, three)
    standing, state = read_log(one.state / LOG_DIRECTORY, one.node_id, CODEC)
    assert set(standing.voters) == {one.node_id, two.node_id, three.node_id}
    assert {node.name for node in state.picture.all(Node)} == {"host1", "host2", "host3"}
    config = Config(state_dir=str(one.state), run_dir=str(one.state / "run"))
    outlook = await trio.to_thread.run_sync(look, config)
    assert not outlook.runs
    assert outlook.plan.standing == standing
    assert [(other.name, other.standing) for other in outlook.plan.others] == [("host2", None), ("host3", None)]
    begun = await trio.to_thread.run_sync(recover_here, config, outlook)
    assert isinstance(begun, Begun)
    assert begun.kept_in is not None
    assert read_log(begun.kept_in, one.node_id, CODEC)[0] == standing, "the copy is the log as it was"

    await town.start(one)
    await one.tell_beginning()
    await one.say("after")
    assert RunningLog(one.raft, one.membership).standing().leader_id == one.node_id
    # The two that were given up are a majority of the old voters, and find each other first.
    await town.start(two)
    await town.start(three)
    for other in (two, three):
        with trio.fail_after(PATIENCE_S):
            await until(lambda other=other: one.raft.incarnation == other.raft.incarnation)  # type: ignore[misc]
        await one.raft.promote(other.node_id)
    await two.say("together")
    await town.alike(one, two, three)
    assert three.heard() == {"before", "after", "together"}
    [life] = three.machine.picture.all(Life)
    assert (life.beginning, life.count, life.node_id) == (Beginning.RECOVERED, 2, one.node_id)
    assert not (one.state / "beginning.json").exists()


async def test_a_backup_taken_under_load_is_the_state_of_one_moment_and_founds_the_cluster_anew(
    town: Town, tmp_path: Path
) -> None:
    one, two = await town.form(2)
    digests: dict[int, str] = {}
    scope = trio.CancelScope()

    async def chatter() -> None:
        with scope:
            number = 0
            while True:
                await one.say(f"word{number % 20}")
                digests[one.raft.applied_index] = one.machine.digest()
                number += 1

    town._nursery.start_soon(chatter)
    await until(lambda: len(digests) > 5)
    backups = LiveBackups(one.raft, one.machine, one.membership, RELEASE)
    taking = await backups.take(PUBLIC)
    path = tmp_path / "town.nbk"
    path.write_bytes(b"".join([piece async for piece in taking.pieces()]))
    scope.cancel()
    header, machine = read_backup(path, PRIVATE, CODEC, 1)
    assert machine.digest() == digests[header.revision], "it is not the state of one moment"
    assert (header.cluster_name, header.incarnation) == ("town", one.raft.incarnation)
    await town.stop(one, two)
    town.nodes.clear()

    # All is destroyed. A blank machine of the same name gets the backup, another one joins it.
    blank = town.node("host9")
    blank.name = "host1"
    begun = restore(blank.state, blank.identity, header, machine, header.incarnation, 7)
    assert begun.life.count == 2
    standing, state = read_log(blank.state / LOG_DIRECTORY, blank.node_id, CODEC)
    assert state.digest() == machine.digest(), "nothing is changed on the way"
    assert standing.voters == (blank.node_id,)
    await town.start(blank)
    await blank.tell_beginning()
    names = {node.name: node.id for node in blank.machine.picture.all(Node)}
    assert names["host1"] == blank.node_id
    assert names[f"host1-{one.node_id[:6]}"] == one.node_id, "the old one stays until it is forgotten"
    newcomer = town.node("host10")
    newcomer.admit([blank])
    await town.start(newcomer)
    await town.let_in(blank, newcomer)
    await newcomer.say("here")
    await town.alike(blank, newcomer)


async def test_a_living_cluster_is_seen_before_a_backup_is_restored_beside_it(town: Town) -> None:
    one, two = await town.form(2)
    outsider = town.node("host7")
    outsider.admit([one])
    where = {one.node_id: (one.address,), two.node_id: (own_address(99), two.address), outsider.node_id: (one.address,)}
    found = await trio.to_thread.run_sync(who_answers, where)
    assert found == {one.node_id: one.address, two.node_id: two.address}, (
        "a node at another's address is not that other"
    )
    asker = Asker(outsider.node_id, outsider.membership.tls)
    assert await trio.to_thread.run_sync(life_at, asker, one.address) == one.raft.incarnation
    assert await trio.to_thread.run_sync(life_at, asker, own_address(99)) is None


async def test_a_note_of_another_life_is_not_told(town: Town, tmp_path: Path) -> None:
    [one] = await town.form(1)
    await town.stop(one)
    recover(one.state, one.node_id, (), 5)
    note = (one.state / "beginning.json").read_bytes()
    recover(one.state, one.node_id, (), 6)
    write_durably(one.state / "beginning.json", note)  # of the life before
    await town.start(one)
    await one.tell_beginning()
    assert one.machine.picture.all(Life) == []
    assert not (one.state / "beginning.json").exists()
