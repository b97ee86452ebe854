"""From one node to five and back to one, on real doors, logs and links, while somebody writes without a pause."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from consensus.admission import EntryConfig
from consensus.authority import sign_node
from consensus.door import Seed
from consensus.host.departing import leave
from consensus.host.doorkeeper import Doorkeeper
from consensus.host.entry import enter_cluster
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.left import may_join_again
from consensus.host.membership import read_membership
from consensus.host.messages import Hello, encode, frame
from consensus.host.peers import PeerServer
from consensus.host.refusals import RefusalBook
from consensus.host.tls import authority_file, member_contexts, node_certificate_file, tls_directory
from consensus.incarnation import Incarnation
from consensus.members.authority import Asked, Desk, leave_from
from consensus.members.commands import LabelNode
from consensus.members.links import Dependants, Electorate, Exit, authority_in
from consensus.members.model import GoneNode, Node
from consensus.members.reconcile import MembersReconciler
from consensus.naming import gone_file
from consensus.ports import RAFT_PORT
from consensus.refusals import RefusalKind
from noded.config import Config
from noded.core.errors import Refused, Unavailable
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.service import PeerContext
from noded.core.store import View
from noded.host.life import Departed
from noded.host.log_member import LogMember, Standing
from noded.reconcile.loop import keep_reconciling
from tests.scenarios.test_first_cluster import fresh_address
from tests.twins.segment import Segment

SECRET = "the same sixteen characters everywhere"
GAP_S_MAX = 3.0
BUSY = 4.0  # how much slower than a quiet machine this one may be
PATIENCE_S = 40.0


@dataclass
class Machine:
    """One host with the daemon's core on it: what every kind of node has, and no driver for anything else."""

    state: Path
    segment: Segment
    expect: int
    address: str = field(default_factory=fresh_address)
    member: LogMember | None = None
    desk: Desk | None = None
    power: trio.CancelScope = field(default_factory=trio.CancelScope)
    why_gone: str = ""

    @property
    def node_id(self) -> NodeId:
        return NodeIdentity.load_or_create(self.state).node_id

    async def live(self) -> None:
        """Be a node until it has left."""
        self.why_gone = ""
        with trio.CancelScope() as self.power:
            try:
                await self._be_member()
            except* Departed as why:
                self.why_gone = str(why.exceptions)
                leave(self.state, self.why_gone, 0)
                self.address = fresh_address()

    async def _be_member(self) -> None:
        identity = NodeIdentity.load_or_create(self.state)
        entry = EntryConfig(
            seed=Seed("grows", SECRET, self.expect), name=self.state.name, addresses=(self.address,), release="0.1.0"
        )
        discovery = self.segment.discovery()
        membership = await enter_cluster(entry, identity, self.state, discovery)
        config = Config(state_dir=str(self.state))
        refusals = RefusalBook()
        member = LogMember(Standing(config, entry, identity, membership, discovery, refusals))
        drivers = Drivers()
        member.add_drivers(drivers)
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(member.run)
                member.calls.ready(PeerContext(cluster=member.cluster, drivers=drivers))
                server = PeerServer(
                    identity.node_id, membership.tls, member.calls.served(), refuse_gone=member.refuse_gone
                )
                await nursery.start(server.serve, [self.address])
                await member.know_own_record()
                nursery.start_soon(keep_reconciling, MembersReconciler(member.cluster, drivers), member.cluster)
                keeper = Doorkeeper(entry, membership, identity, self.state, discovery, member.cluster, refusals)
                nursery.start_soon(keeper.run)
                self.desk = Desk(member.cluster, drivers.get(Electorate), drivers.get(Dependants), drivers.get(Exit))
                self.member = member
        finally:
            discovery.goodbye()
            self.member = self.desk = None

    @property
    def voters(self) -> frozenset[str]:
        return self.member.raft.voters if self.member is not None else frozenset()


class Load:
    """Writes without a pause to whichever machine is a member; remembers how long nothing was taken at most."""

    def __init__(self, machines: list[Machine]) -> None:
        self._machines = machines
        self.count = 0
        self.longest_s = 0.0

    async def run(self, target: NodeId) -> None:
        last = trio.current_time()
        while True:
            for machine in self._machines:
                if machine.member is None:
                    continue
                try:
                    await machine.member.cluster.propose(LabelNode(node_id=target, labels={"beat": str(self.count)}))
                except Unavailable:
                    continue  # the next one may know better
                break
            else:
                await trio.sleep(0.01)
                continue
            now = trio.current_time()
            self.longest_s = max(self.longest_s, now - last)
            last = now
            self.count += 1
            await trio.sleep(0.01)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await trio.sleep(0.02)


def agree(machines: list[Machine], voters: int) -> bool:
    """Whether all these are members, know one another and the same voters, so many of them."""
    ids = {machine.node_id for machine in machines}
    return all(
        machine.member is not None
        and {node.id for node in machine.member.cluster.view().all(Node)} == ids
        and machine.voters == machines[0].voters
        and len(machine.voters) == voters
        for machine in machines
    )


async def test_a_cluster_grows_to_five_nodes_and_shrinks_to_one_under_a_steady_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = Segment()
    # The first founds alone; the others would need one another for that, and find a member instead.
    machines = [Machine(tmp_path / f"n{number}", segment, expect=3 if number else 1) for number in range(5)]
    load = Load(machines)
    told: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machines[0].live)
        await until(lambda: agree(machines[:1], 1))
        nursery.start_soon(load.run, machines[0].node_id)
        for here, there, voters in ((1, 2, 1), (2, 3, 3), (3, 5, 5)):
            for machine in machines[here:there]:
                nursery.start_soon(machine.live)
            await until(lambda there=there, voters=voters: agree(machines[:there], voters))  # type: ignore[misc]
            told.append(f"{here} → {there} nodes, {voters} voters: longest gap {load.longest_s:.2f} s")
        # The founder stays to the end; one of those that go may lead.
        for machine in (machines[4], machines[3]):
            await _leave(machine)
        await until(lambda: agree(machines[:3], 3))
        told.append(f"5 → 3 nodes, 3 voters: longest gap {load.longest_s:.2f} s")
        # One is off when it is forgotten. When it comes back the others tell it.
        machines[2].power.cancel()
        await until(lambda: machines[2].member is None)
        await _forget(machines[0], machines[2])
        await until(lambda: agree(machines[:2], 1))
        nursery.start_soon(machines[2].live)
        await until(lambda: "was forgotten by this cluster" in machines[2].why_gone)
        await _leave(machines[1])
        await until(lambda: agree(machines[:1], 1))
        told.append(f"3 → 1 nodes, 1 voter: longest gap {load.longest_s:.2f} s")
        # It joins again, as somebody else: its old key is good for nothing any more.
        gone = {former.id for former in _view(machines[0]).all(GoneNode)}
        assert len(gone) == 4
        may_join_again(machines[2].state)
        nursery.start_soon(machines[2].live)
        await until(lambda: agree([machines[0], machines[2]], 1))
        assert machines[2].node_id not in gone
        nursery.cancel_scope.cancel()
    with capsys.disabled():
        print(f"\n{load.count} writes; " + "; ".join(told))
    assert load.longest_s <= GAP_S_MAX * BUSY


async def _leave(machine: Machine) -> None:
    """What `noded node leave` on that machine does; asked again where the cluster was busy with another change."""
    while machine.desk is not None:
        try:
            await leave_from(machine.desk, Asked())
        except Refused:
            await trio.sleep(0.2)
        else:
            await until(lambda: machine.member is None)
            return


async def _forget(asked: Machine, dead: Machine) -> None:
    """What `noded node forget` does; refused until the dead one is missed."""
    while True:
        assert asked.desk is not None
        try:
            await asked.desk.forget(dead.state.name, forced=False, plan=False)
        except Refused:
            await trio.sleep(0.2)
        else:
            return


def _view(machine: Machine) -> View:
    assert machine.member is not None
    return machine.member.cluster.view()


async def test_a_former_node_is_refused_from_the_first_moment_of_a_start(tmp_path: Path) -> None:
    machine, former = Machine(tmp_path / "n0", Segment(), expect=1), NodeIdentity.load_or_create(tmp_path / "former")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(machine.live)
        await until(lambda: agree([machine], 1))
        authority = authority_in(_view(machine))
        assert authority is not None
        nursery.cancel_scope.cancel()
    write_durably(authority_file(tmp_path / "former"), authority.certificate_pem)
    certificate = sign_node(authority, former.public_key, datetime.now(UTC))
    write_durably(node_certificate_file(tmp_path / "former"), certificate)
    gone_file(tls_directory(machine.state)).write_text(f"{former.node_id}\n")
    identity = NodeIdentity.load_or_create(machine.state)
    membership = read_membership(machine.state, identity)
    assert membership is not None
    entry = EntryConfig(seed=None, name="n0", addresses=(machine.address,), release="0.1.0")
    standing = Standing(
        Config(state_dir=str(machine.state)), entry, identity, membership, Segment().discovery(), RefusalBook()
    )
    async with trio.open_nursery() as nursery:  # before any reconciler has read the records
        await nursery.start(LogMember(standing).run)
        plain = await trio.open_tcp_stream(machine.address, RAFT_PORT)
        link = trio.SSLStream(plain, member_contexts(tmp_path / "former").client)
        newer = Hello(former.node_id, RAFT_PORT, incarnation=Incarnation(99, "ff"))
        with suppress(trio.BrokenResourceError):
            await link.do_handshake()
            await link.send_all(frame(encode(newer)))
            assert await link.receive_some() == b""
        await trio.sleep(0.2)  # whom it believed, it would set its log aside for
        await trio.aclose_forcefully(link)
        nursery.cancel_scope.cancel()
    assert [(line.kind, line.port) for line in standing.refusals.lines()] == [(RefusalKind.REMOVED_NODE, RAFT_PORT)]
