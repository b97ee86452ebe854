"""Members: founded once, admitted by an entry, dialed where they are, and voters as many as make sense."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import pytest
import trio
from trio.testing import MockClock

from consensus.admission import EntryConfig
from consensus.authority import found_authority
from consensus.discovery import NodeState
from consensus.links import Discovery
from consensus.log import MembershipRefused
from consensus.members import SERVICE
from consensus.members.authority import PEER_CALLS
from consensus.members.commands import (
    AdmitNode,
    DrainNode,
    FoundCluster,
    LabelNode,
    RemoveNode,
    RenameNode,
    refuse_stranger,
)
from consensus.members.links import (
    Electorate,
    Exit,
    PeerBook,
    Presence,
    addresses_in,
    authority_in,
)
from consensus.members.model import CLUSTER, NODE_GONE, ClusterAuthority, ClusterFacts, Node
from consensus.members.plan import SILENT_S_MAX
from consensus.members.reconcile import MembersReconciler, ask_whether_member
from consensus.members.views import node_view
from consensus.ports import RAFT_PORT
from noded.core.errors import Conflict, Refused, Unavailable
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from noded.core.service import PeerContext
from tests.twins.cluster import SharedCluster
from tests.twins.segment import Segment

IDS = [NodeId(f"{number:032x}") for number in range(1, 8)]
AUTHORITY = found_authority("town", datetime.now(UTC))


class PollingStation:
    """A twin of the log's membership: learners vote when they are promoted."""

    def __init__(self, voters: set[str], *, is_leader: bool = True) -> None:
        self.is_leader = is_leader
        self.voters: frozenset[str] = frozenset(voters)
        self.learners: frozenset[str] = frozenset()
        self.book: dict[str, tuple[str, int]] = {}
        self.refusal: Exception | None = None
        self.kept: dict[NodeId, tuple[str, ...]] = {}
        self.unheard: set[str] = set()
        self.dropped: list[str] = []
        self.steps: list[str] = []
        self.gone_why: list[str] = []
        self.recorded: dict[str, tuple[str, int]] = {}

    def reachable(self) -> frozenset[str]:
        return (self.voters | self.learners) - self.unheard

    def drop_peer(self, node_id: str) -> None:
        self.book.pop(node_id, None)
        self.dropped.append(node_id)

    def leave(self, why: str) -> None:
        self.gone_why.append(why)

    def set_peer(self, node_id: str, address: tuple[str, int]) -> None:
        self.book[node_id] = address

    def record_peer(self, node_id: str, address: tuple[str, int]) -> None:
        self.recorded[node_id] = address

    async def keep(self, addresses: Mapping[NodeId, tuple[str, ...]], gone: Collection[NodeId]) -> None:
        self.kept = dict(addresses)

    async def promote(self, node_id: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.steps.append(f"+{IDS.index(NodeId(node_id))}")
        self.voters |= {node_id}
        self.learners -= {node_id}

    async def demote(self, node_id: str) -> None:
        self.steps.append(f"-{IDS.index(NodeId(node_id))}")
        self.voters -= {node_id}
        self.learners |= {node_id}

    async def transfer_leadership(self, node_id: str | None) -> None:
        self.steps.append(f"→{IDS.index(NodeId(node_id or ''))}")
        self.is_leader = False


def node(number: int, address: str = "") -> Node:
    fingerprint = (IDS[number] * 2)[:64]
    return Node(
        id=IDS[number],
        name=f"n{number}",
        addresses=(address or f"10.0.0.{number}",),
        fingerprint=fingerprint,
        admitted_at_ms=1000,
        release="0.1.0",
    )


def founding() -> FoundCluster:
    return FoundCluster(
        cluster_id="c1",
        name="town",
        authority_certificate_pem=AUTHORITY.certificate_pem.decode(),
        authority_key_pem=AUTHORITY.key_pem.decode(),
        founder=node(0),
        now_ms=1000,
    )


def admission(number: int, **change: object) -> AdmitNode:
    wanted = node(number)
    fields: dict[str, object] = {
        "node_id": wanted.id,
        "name": wanted.name,
        "addresses": wanted.addresses,
        "fingerprint": wanted.fingerprint,
        "release": wanted.release,
        "now_ms": 2000,
    }
    return AdmitNode(**(fields | change))  # type: ignore[arg-type]


async def town(count: int = 3) -> SharedCluster:
    shared = SharedCluster([SERVICE], IDS[:count])
    await shared.cluster(IDS[0]).propose(founding())
    for number in range(1, count):
        await shared.cluster(IDS[0]).propose(admission(number))
    return shared


def reconciler(
    shared: SharedCluster, station: PollingStation, number: int = 0, discovery: Discovery | None = None
) -> MembersReconciler:
    drivers = shared.drivers[IDS[number]]
    drivers.add(Electorate, station)
    own = node(number)
    drivers.add(Discovery, discovery or Segment().discovery())
    drivers.add(PeerBook, station)
    drivers.add(Exit, station)
    drivers.add(Presence, EntryConfig(seed=None, name=own.name, addresses=own.addresses, release=own.release))
    return MembersReconciler(shared.cluster(IDS[number]), drivers)


async def test_a_cluster_is_founded_once() -> None:
    shared = await town(1)
    cluster = shared.cluster(IDS[0])
    with pytest.raises(Refused, match="founded already"):
        await cluster.propose(founding())
    assert cluster.view().need(ClusterFacts, CLUSTER).name == "town"
    assert authority_in(cluster.view()) == AUTHORITY


async def test_admitting_a_node_again_keeps_its_place_and_takes_its_new_address() -> None:
    shared = await town(2)
    await shared.cluster(IDS[1]).propose(admission(1, addresses=("10.0.0.99",), now_ms=5000))
    again = shared.cluster(IDS[0]).view().need(Node, IDS[1])
    assert (again.admitted_at_ms, again.addresses) == (2000, ("10.0.0.99",))
    assert addresses_in(shared.cluster(IDS[0]).view(), IDS[1]) == ("10.0.0.99",)


async def test_two_nodes_of_one_name_and_ids_that_are_not_the_keys_are_refused() -> None:
    shared = await town(2)
    with pytest.raises(Refused, match="already called n1"):
        await shared.cluster(IDS[0]).propose(admission(2, name="n1"))
    with pytest.raises(Refused, match="another id"):
        await shared.cluster(IDS[0]).propose(admission(2, fingerprint="f" * 64))
    assert shared.cluster(IDS[0]).view().count(Node) == 2


async def test_every_node_dials_the_others_where_their_records_say() -> None:
    shared, station = await town(3), PollingStation({IDS[0]}, is_leader=False)
    members = reconciler(shared, station)
    await members.reconcile()
    assert station.book == {IDS[1]: ("10.0.0.1", RAFT_PORT), IDS[2]: ("10.0.0.2", RAFT_PORT)}
    assert station.kept == {IDS[1]: ("10.0.0.1",), IDS[2]: ("10.0.0.2",)}


async def test_a_node_that_announces_itself_elsewhere_is_dialed_there_until_it_stops() -> None:
    shared, station, segment = await town(2), PollingStation({IDS[0]}, is_leader=False), Segment()
    near, far = segment.discovery(), segment.discovery()
    members = reconciler(shared, station, discovery=near)
    moved = EntryConfig(seed=None, name="n1", addresses=("10.0.0.50",), release="0.1.0")
    for state, dialed in ((NodeState.MEMBER, "10.0.0.50"), (NodeState.UNCLAIMED, "10.0.0.1")):
        await far.announce(moved.sighting(node(1).fingerprint, state, "town"))
        await members.reconcile()
        assert station.book[IDS[1]] == (dialed, RAFT_PORT)


async def test_a_node_whose_address_changed_says_so() -> None:
    shared, station = await town(2), PollingStation({IDS[0]}, is_leader=False)
    members = reconciler(shared, station)
    await shared.cluster(IDS[0]).propose(admission(0, addresses=("10.9.9.9",)))
    await members.reconcile()
    assert addresses_in(shared.cluster(IDS[1]).view(), IDS[0]) == ("10.0.0.0",)


async def test_the_leader_makes_three_voters_of_three_nodes_once_two_learners_follow() -> None:
    shared, station = await town(3), PollingStation({IDS[0]})
    members = reconciler(shared, station)
    station.learners = frozenset({IDS[1]})
    await members.reconcile()
    assert station.voters == {IDS[0]}
    station.learners = frozenset({IDS[1], IDS[2]})
    await members.reconcile()
    assert station.voters == set(IDS[:3])


async def test_a_follower_and_a_refused_leader_change_nothing() -> None:
    shared, station = await town(3), PollingStation({IDS[0]}, is_leader=False)
    station.learners = frozenset({IDS[1], IDS[2]})
    members = reconciler(shared, station)
    await members.reconcile()
    station.is_leader, station.refusal = True, MembershipRefused("another change is under way")
    await members.reconcile()
    assert station.voters == {IDS[0]}


async def test_a_node_that_no_record_names_is_refused_whatever_certificate_it_shows() -> None:
    shared = await town(1)
    view = shared.machine.picture
    refuse_stranger(view, IDS[0])
    with pytest.raises(Unavailable, match="never admitted"):
        refuse_stranger(view, IDS[5])
    # Who has not learned its cluster's state can't tell, and must let itself be taught.
    refuse_stranger(SharedCluster([SERVICE]).machine.picture, IDS[5])


def test_the_authoritys_key_is_in_no_text() -> None:
    record = ClusterAuthority(certificate_pem="public", key_pem="very secret")
    for shown in (repr(record), str(record), repr([record]), repr(founding()), repr(list(record.__rich_repr__()))):
        assert "secret" not in shown
        assert "PRIVATE" not in shown


def test_a_node_is_shown_with_what_is_seen_of_it() -> None:
    shown = node_view(node(1), up={IDS[1]}, voters=set(), leader=IDS[0])
    assert (shown["state"], shown["role"], shown["leader"]) == ("up", "learner", False)
    assert shown["admitted_at"] == "1970-01-01T00:00:01Z"


async def test_a_voter_that_left_the_records_loses_its_vote_and_its_links_everywhere() -> None:
    shared, station = await town(4), PollingStation(set(IDS[:3]))
    station.learners, station.unheard = frozenset({IDS[3]}), {IDS[2]}
    members = reconciler(shared, station)
    await members.reconcile()
    assert station.steps == []
    await shared.cluster(IDS[0]).propose(RemoveNode(node_id=IDS[2], left=False, now_ms=9000))
    await members.reconcile()
    assert station.steps == ["-2", "+3"]
    assert station.dropped == [IDS[2]]
    assert station.voters == {IDS[0], IDS[1], IDS[3]}
    with pytest.raises(Refused, match="was forgotten by this cluster"):
        await shared.cluster(IDS[0]).propose(admission(2))


async def test_a_voter_that_is_silent_for_long_is_replaced_by_a_learner_that_is_ready(
    autojump_clock: MockClock,
) -> None:
    shared, station = await town(4), PollingStation(set(IDS[:3]))
    station.learners, station.unheard = frozenset({IDS[3]}), {IDS[2]}
    members = reconciler(shared, station)
    for _ in range(int(SILENT_S_MAX)):
        await members.reconcile()
        await trio.sleep(1)
    assert station.steps == []
    await members.reconcile()
    assert station.steps == ["-2", "+3"]


async def test_a_leader_that_is_to_leave_hands_over_first_and_its_successor_takes_its_vote() -> None:
    shared, station = await town(3), PollingStation(set(IDS[:3]))
    await shared.cluster(IDS[0]).propose(DrainNode(node_id=IDS[0], draining=True, leaving=True))
    await reconciler(shared, station).reconcile()
    assert station.steps == ["→1"]
    station.is_leader = True
    await reconciler(shared, station, 1).reconcile()
    # Two remain, of which one votes.
    assert station.steps == ["→1", "-0", "-2"]


async def test_a_node_without_a_leader_is_told_by_any_other_that_it_was_forgotten(autojump_clock: MockClock) -> None:
    shared, station = await town(2), PollingStation({IDS[1]}, is_leader=False)
    members = reconciler(shared, station)
    shared.up.clear()
    shared.refusals["members.heard"] = Conflict("You were forgotten.", code=NODE_GONE)
    await members.reconcile()
    assert station.gone_why == []
    await trio.sleep(4)
    await members.reconcile()
    assert station.gone_why == ["You were forgotten."]


@pytest.mark.parametrize(
    ("others", "former", "voices", "believed"),
    [
        ((1, 2, 3), (), (1, 2), True),
        ((1, 2, 3), (), (1,), False),  # it may itself be gone, and this node not know it
        ((1, 2, 3), (1,), (1,), False),  # it is gone
        ((1, 2, 3), (1,), (2,), True),  # of only two others nobody may be left to ask but one
        ((1,), (), (1,), True),
    ],
)
async def test_one_voice_of_many_sends_nobody_away(
    others: tuple[int, ...], former: tuple[int, ...], voices: tuple[int, ...], believed: bool
) -> None:
    shared, station = await town(4), PollingStation(set())
    for number in voices:
        shared.refusals_of[IDS[number], "members.heard"] = Conflict("You were forgotten.", code=NODE_GONE)
    for _ in range(3):  # to say so again is no second voice
        await ask_whether_member(
            shared.cluster(IDS[0]), station, [IDS[each] for each in others], {IDS[each] for each in former}
        )
        if believed:
            break
    assert station.gone_why == (["You were forgotten."] if believed else [])


async def test_only_a_node_that_was_asked_to_leave_goes_when_it_is_told() -> None:
    shared, station = await town(2), PollingStation(set(IDS[:2]))
    drivers = Drivers()
    drivers.add(Exit, station)
    context = PeerContext(cluster=shared.cluster(IDS[1]), drivers=drivers)
    with pytest.raises(Conflict, match="Nobody asked"):
        await PEER_CALLS["members.gone"](context, b"")
    assert station.gone_why == []
    await shared.cluster(IDS[0]).propose(DrainNode(node_id=IDS[1], draining=True, leaving=True))
    await PEER_CALLS["members.gone"](context, b"")
    assert station.gone_why == ["it left the cluster, as it was asked to"]


async def test_words_of_operators_are_checked_and_kept() -> None:
    shared = await town(2)
    cluster = shared.cluster(IDS[0])
    for wrong in ("", "x" * 65, "a\nb", "n1"):
        with pytest.raises(Refused):
            await cluster.propose(RenameNode(node_id=IDS[0], name=wrong))
    await cluster.propose(RenameNode(node_id=IDS[0], name="[/]"))
    await cluster.propose(LabelNode(node_id=IDS[0], labels={"zone": "a", "rack": "1"}))
    await cluster.propose(LabelNode(node_id=IDS[0], labels={"rack": None}))
    with pytest.raises(Refused):
        await cluster.propose(LabelNode(node_id=IDS[0], labels={"": "a"}))
    own = cluster.view().need(Node, IDS[0])
    assert (own.name, own.labels) == ("[/]", {"zone": "a"})
    with pytest.raises(Refused, match="only one"):
        await cluster.propose(
            RemoveNode(node_id=IDS[0], left=True, now_ms=1), RemoveNode(node_id=IDS[1], left=True, now_ms=1)
        )
    assert cluster.view().count(Node) == 2
