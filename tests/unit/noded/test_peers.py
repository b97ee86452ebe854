"""Which way a call takes: to this node's own handler, or to another node."""

import pytest

from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import ReportNode
from consensus.members.model import Node
from noded.core.errors import NotFound, Unavailable
from noded.core.ids import NodeId, Revision
from noded.core.reconciler import Drivers
from noded.core.service import PeerContext, Service
from noded.peers import AddressBook, PeerCalls
from tests.twins.cluster import SharedCluster

HERE, THERE = NodeId("node1"), NodeId("node2")


class Elsewhere:
    """The other nodes: they say what they were asked."""

    async def call(self, node_id: NodeId, method: str, payload: bytes) -> bytes:
        if node_id != THERE:
            raise Unavailable("nobody there")
        return b"there: " + method.encode() + payload


async def _shout(context: PeerContext, payload: bytes) -> bytes:
    return context.cluster.node_id.encode() + payload.upper()


async def _refuse(context: PeerContext, payload: bytes) -> bytes:
    raise NotFound.of("thing", payload.decode())


async def _move(context: PeerContext, payload: bytes) -> bytes:
    await context.cluster.propose(ReportNode(node_id=HERE, addresses=(payload.decode(),), release="1"))
    return b""


def peer_calls(shared: SharedCluster | None = None) -> PeerCalls:
    local = {"x.move": _move}
    service = Service(name="x", peer_calls={"x.shout": _shout, "x.refuse": _refuse}, local_calls=local)
    calls = PeerCalls(HERE, (service,), Elsewhere())
    calls.ready(PeerContext(cluster=(shared or SharedCluster((MEMBERS,))).cluster(HERE), drivers=Drivers()))
    return calls


async def test_a_call_to_this_node_is_answered_here_and_another_over_there() -> None:
    calls = peer_calls()
    assert await calls.call(HERE, "x.shout", b"a") == b"node1A"
    assert await calls.call(THERE, "x.shout", b"a") == b"there: x.shouta"
    with pytest.raises(Unavailable):
        await calls.call(NodeId("node3"), "x.shout", b"a")


async def test_what_is_served_to_others_is_what_is_served_here() -> None:
    served = peer_calls().served()
    assert served.keys() == {"x.shout", "x.refuse"}
    assert await served["x.shout"](THERE, b"b") == b"node1B"
    with pytest.raises(NotFound, match="thing"):
        await served["x.refuse"](THERE, b"b")


async def test_what_root_does_here_is_done_in_roots_name_and_nobody_else_can_ask_for_it() -> None:
    shared = SharedCluster((MEMBERS,))
    calls = peer_calls(shared)
    assert calls.served_locally().keys() - calls.served().keys() == {"x.move"}
    with pytest.raises(NotFound, match=r"x\.move"):
        await calls.call(HERE, "x.move", b"10.0.0.7")
    with pytest.raises(NotFound, match="node1"):
        await calls.served_locally()["x.move"](HERE, b"10.0.0.7")
    origin = shared.codec.decode_entry(shared.entries[-1]).origin
    assert (origin.who, origin.name, origin.request_id[:4]) == ("console:node1", "root", "req-")


async def test_a_method_that_nobody_serves_is_refused() -> None:
    with pytest.raises(NotFound, match=r"x\.none"):
        await peer_calls().call(HERE, "x.none", b"")


def test_two_services_cannot_serve_one_method() -> None:
    service = Service(name="x", peer_calls={"x.shout": _shout})
    with pytest.raises(AssertionError, match=r"x\.shout"):
        PeerCalls(HERE, (service, service), Elsewhere())


def test_a_node_is_where_its_record_says_and_before_that_where_it_was_admitted() -> None:
    shared = SharedCluster((MEMBERS,))
    book = AddressBook(shared.machine, {THERE: ("10.0.0.2",)})
    assert list(book.addresses_of(THERE)) == ["10.0.0.2"]
    assert list(book.addresses_of(NodeId("stranger"))) == []
    change = shared.machine.picture.begin(Revision(1))
    change.put(Node(id=THERE, name="two", addresses=("10.0.0.9",), fingerprint="f", admitted_at_ms=1, release="1"))
    shared.machine._picture = change.commit()
    assert list(book.addresses_of(THERE)) == ["10.0.0.9"]


async def test_a_node_that_waits_for_the_state_answers_what_needs_the_log_alone() -> None:
    service = Service(
        name="x",
        peer_calls={"x.shout": _shout},
        local_calls={"x.move": _move, "x.last_resort": _shout},
        early_calls=frozenset({"x.last_resort"}),
    )
    calls = PeerCalls(HERE, (service,), Elsewhere())
    context = PeerContext(cluster=SharedCluster((MEMBERS,)).cluster(HERE), drivers=Drivers())
    calls.waiting(context)
    local = calls.served_locally()
    assert await local["x.last_resort"](HERE, b"a") == b"node1A"
    for method in ("x.shout", "x.move"):
        with pytest.raises(Unavailable, match="waits for the cluster's state"):
            await local[method](HERE, b"a")
    calls.ready(context)
    assert await local["x.shout"](HERE, b"a") == b"node1A"
