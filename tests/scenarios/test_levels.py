"""Two releases in one cluster, on real logs: what only the newer one knows is not proposed before all know it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
import trio

from consensus.codec import Codec
from consensus.host.raft import RaftNode
from consensus.levels import SERVICE as LEVELS
from consensus.levels.api import explain_level
from consensus.levels.commands import RaiseLevel, ReportLevel
from consensus.levels.links import ReleaseLevel, Understanding
from consensus.levels.model import MemberLevel, cluster_level
from consensus.levels.plan import report, too_old_to_join, why_not_yet
from consensus.levels.reconcile import LevelsReconciler
from consensus.levels.views import levels_view
from consensus.log import ReleaseTooOld
from consensus.machine import Machine
from consensus.members import SERVICE as MEMBERS
from consensus.members.model import Node
from consensus.proposals import LogCluster
from noded.cli.level import Levels, level_table
from noded.core.command import Command
from noded.core.errors import Conflict, Unavailable
from noded.core.ids import NodeId
from noded.core.origin import of_node
from noded.core.reconciler import Drivers
from noded.core.record import Record
from noded.core.service import PeerContext
from noded.core.store import Transaction
from noded.reconcile.loop import keep_reconciling
from tests.logs import PATIENCE_S, Identity, make_identities, until
from tests.twins.cluster import SharedCluster


class Sign(Record, frozen=True, kw_only=True, tag="sign.1"):
    """What both releases know."""


class Lamp(Record, frozen=True, kw_only=True, tag="lamp.1"):
    """What only the newer one knows."""


class HangSign(Command, frozen=True, kw_only=True, tag="sign.hang.1"):
    sign_id: str

    def apply(self, tx: Transaction) -> None:
        tx.put(Sign(id=self.sign_id))


class LightLamp(Command, frozen=True, kw_only=True, tag="lamp.light.1"):
    SINCE_LEVEL: ClassVar[int] = 2

    lamp_id: str

    def apply(self, tx: Transaction) -> None:
        tx.put(Lamp(id=self.lamp_id))


COMMANDS: dict[int, list[type[Command]]] = {1: [HangSign], 2: [HangSign, LightLamp]}
RECORDS: dict[int, list[type[Record]]] = {1: [Sign], 2: [Sign, Lamp]}


def codec_of(level: int) -> Codec:
    """The codec of the release of that level."""
    return Codec(
        [*MEMBERS.commands, *LEVELS.commands, *COMMANDS[level]], [*MEMBERS.records, *LEVELS.records, *RECORDS[level]]
    )


def member(node_id: str, name: str, level: int) -> Node:
    return Node(
        id=NodeId(node_id),
        name=name,
        addresses=("127.0.0.1",),
        fingerprint=node_id * 2,
        admitted_at_ms=0,
        release=f"0.{level}.0",
    )


class Admit(Command, frozen=True, kw_only=True, tag="test.admit.1"):
    """Makes members without a door."""

    nodes: tuple[Node, ...]

    def apply(self, tx: Transaction) -> None:
        for node in self.nodes:
            tx.put(node)


for known in COMMANDS.values():
    known.append(Admit)


class NoPeers:
    """Nobody is asked here."""

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        raise Unavailable(f"{node_id} answers nothing here: {method}")


class Release:
    """One node that runs a release of some level."""

    def __init__(self, identity: Identity, directory: Path, level: int, *, found: bool) -> None:
        self.level = level
        self.machine = Machine(codec_of(level), level=level)
        self.raft = RaftNode(
            identity.node_id,
            directory / identity.node_id / "raft",
            self.machine,
            tls=identity.tls,
            listen=identity.address,
            found=found,
            on_applied=lambda index: self.cluster.on_applied(index),  # noqa: PLW0108  # the handle is made below
        )
        self.cluster = LogCluster(self.raft, self.machine, codec_of(level), NoPeers())
        self.ended: Exception | None = None
        self._scope = trio.CancelScope()
        self._done = trio.Event()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        drivers = Drivers()
        drivers.add(Understanding, ReleaseLevel(self.level))
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.raft.run)
                    nursery.start_soon(keep_reconciling, LevelsReconciler(self.cluster, drivers), self.cluster)
                    task_status.started()
        except* ReleaseTooOld as faults:
            fault: Exception = faults
            while isinstance(fault, ExceptionGroup):
                fault = fault.exceptions[0]
            self.ended = fault
        self._done.set()

    async def stop(self) -> None:
        self._scope.cancel()
        await self._done.wait()


class Town:
    """Three nodes of one cluster, each with the release that it is started with."""

    def __init__(self, nursery: trio.Nursery, directory: Path) -> None:
        self._nursery = nursery
        self._directory = directory
        self.identities = make_identities(directory, 3)
        self.nodes: dict[int, Release] = {}

    async def start(self, number: int, level: int, *, found: bool = False) -> Release:
        node = self.nodes[number] = Release(self.identities[number], self._directory, level, found=found)
        for identity in self.identities:
            node.raft.set_peer(identity.node_id, identity.address)
        await self._nursery.start(node.run)
        return node

    async def upgrade(self, number: int, level: int) -> Release:
        await self.nodes[number].stop()
        return await self.start(number, level)


@pytest.fixture
async def town(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Town]:
    made = Town(nursery, tmp_path)
    yield made
    for node in made.nodes.values():
        await node.stop()


async def form(town: Town, *levels: int) -> list[Release]:
    """Three voters, all of them members."""
    nodes = [await town.start(number, level, found=number == 0) for number, level in enumerate(levels)]
    names = zip(town.identities, levels, strict=True)
    members = tuple(member(each.node_id, f"n{number}", level) for number, (each, level) in enumerate(names))
    await nodes[0].cluster.propose(Admit(nodes=members))
    for identity in town.identities[1:]:
        await nodes[0].raft.promote(identity.node_id)
    await until(lambda: all(node.cluster.view().count(MemberLevel) == 3 for node in nodes))
    return nodes


async def test_a_new_command_waits_until_every_node_knows_it(town: Town) -> None:
    old, newer, newest = await form(town, 1, 2, 2)
    for node in (old, newer):
        assert await node.cluster.propose(HangSign(sign_id=f"by level {node.level}"))
    assert cluster_level(newer.cluster.view()) == 1
    with pytest.raises(Unavailable, match=r"new with level 2, and these nodes do not know it yet: n0 \(level 1\)"):
        await newer.cluster.propose(LightLamp(lamp_id="too early"))
    assert levels_view(report(newer.cluster.view()))["held_back_by"] == ["n0"]
    old = await town.upgrade(0, 2)
    await until(lambda: all(cluster_level(node.cluster.view()) == 2 for node in (old, newer, newest)))
    await newer.cluster.propose(LightLamp(lamp_id="now"))
    await old.cluster.fresh_view()
    assert [lamp.id for lamp in old.cluster.view().all(Lamp)] == ["now"]
    assert old.machine.digest() == newer.machine.digest()


async def test_a_node_that_went_back_to_the_older_release_ends_and_says_why(town: Town) -> None:
    nodes = await form(town, 2, 2, 2)
    await until(lambda: all(cluster_level(node.cluster.view()) == 2 for node in nodes))
    older = await town.upgrade(2, 1)
    await until(lambda: older.ended is not None)
    assert "The cluster is at level 2 and this release understands level 1" in str(older.ended)


async def test_an_old_node_that_meets_an_unknown_command_ends_instead_of_diverging(town: Town) -> None:
    old, newer, _ = await form(town, 1, 2, 2)
    applied = old.machine.picture.revision
    entry = codec_of(2).encode_entry(of_node(newer.cluster.node_id, 0), [LightLamp(lamp_id="forced")])
    await newer.raft.propose(entry, deadline_s=PATIENCE_S)  # past the handle that would have refused it
    await until(lambda: old.ended is not None)
    assert "install the newer release" in str(old.ended)
    assert old.machine.picture.count(Sign) == 0
    assert old.machine.picture.revision >= applied
    assert await newer.cluster.propose(HangSign(sign_id="the others go on"))


def test_a_checkpoint_of_a_newer_release_is_not_read_in_part() -> None:
    newer = Machine(codec_of(2))
    newer.apply(1, codec_of(2).encode_entry(of_node(NodeId("n"), 0), [HangSign(sign_id="s"), LightLamp(lamp_id="l")]))
    older = Machine(codec_of(1), level=1)
    with pytest.raises(ReleaseTooOld, match="the checkpoint"):
        older.restore(newer.capture().blocks())
    assert older.picture.count(Sign) == 0


def test_a_value_of_a_wrong_type_does_not_reach_the_log() -> None:
    with pytest.raises(msgspec.ValidationError):
        codec_of(1).encode_entry(of_node(NodeId("n"), 0), [HangSign(sign_id=7)])  # type: ignore[arg-type]


async def test_the_level_rises_by_itself_and_never_falls() -> None:
    shared = SharedCluster((MEMBERS, LEVELS), nodes=("a", "b"))
    cluster = shared.cluster("a")
    with pytest.raises(Conflict, match="already"):
        await cluster.propose(RaiseLevel(level=1))
    shared.machine._picture = _with(shared, member("a", "n0", 2), member("b", "n1", 1))
    await cluster.propose(ReportLevel(node_id=NodeId("a"), level=2))
    with pytest.raises(Conflict, match="Not every node understands level 2"):
        await cluster.propose(RaiseLevel(level=2))
    assert "n1 (level 1)" in why_not_yet(cluster.view(), [LightLamp(lamp_id="x")])
    await cluster.propose(ReportLevel(node_id=NodeId("b"), level=2))
    assert "takes note of that in a moment" in why_not_yet(cluster.view(), [LightLamp(lamp_id="x")])
    await cluster.propose(RaiseLevel(level=2))
    assert why_not_yet(cluster.view(), [LightLamp(lamp_id="x")]) == ""
    assert too_old_to_join(cluster.view(), 2) is None
    assert "understands level 1, and the cluster is at level 2" in (too_old_to_join(cluster.view(), 1) or "")
    with pytest.raises(Conflict, match="Install a newer release on that node"):
        await cluster.propose(ReportLevel(node_id=NodeId("b"), level=1))
    context = PeerContext(cluster=cluster, drivers=shared.drivers["a"])
    assert (await explain_level(context, "n1"))["cluster"] == {"level": 2, "held_back_by": []}
    answer = msgspec.msgpack.decode(await shared.call(NodeId("a"), "levels.show", b""), type=Levels)
    assert answer.cluster == 2
    assert level_table(answer)


def _with(shared: SharedCluster, *nodes: Node) -> object:
    change = shared.machine.picture.begin(shared.machine.picture.revision)
    for node in nodes:
        change.put(node)
    return change.commit()
