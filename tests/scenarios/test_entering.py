"""Real doors on 127.9.x.x for nodes without a seed: words, claim codes, tokens, and what is tried before any."""

import itertools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from consensus.admission import MTU_MIN, PROBE_NONCE_BYTES, AskAdmission, EntryConfig, Greet
from consensus.authority import authority_hash, found_authority
from consensus.certificates import SERVICE as CERTIFICATES
from consensus.certificates.commands import BeginRotation, NoteRotation
from consensus.certificates.model import Stage
from consensus.door import DoorClosed, claim_key
from consensus.doors import SERVICE as DOORS
from consensus.doors.api import _create
from consensus.doors.commands import CreateToken
from consensus.doors.model import JoinRequest, JoinToken, LetIn, TokenWanted
from consensus.doors.token import Token, read_token, secret_hash, token_text
from consensus.entering import Offered, plain_code
from consensus.host.door import STRANGERS_PER_ADDRESS_MAX, ask_to_be_let_in, knock
from consensus.host.doorkeeper import Doorkeeper
from consensus.host.entry import Entry
from consensus.host.identity import NodeIdentity
from consensus.host.membership import Membership, founding_command, read_membership, settle_founding
from consensus.host.preflight import LARGE_BYTES, PortTaken, probes, unreachable_ports
from consensus.host.refusals import RefusalBook
from consensus.host.tls import door_server
from consensus.members import SERVICE as MEMBERS
from consensus.members.links import authority_in
from consensus.members.model import CLUSTER, ClusterFacts, Node
from consensus.refusals import RefusalKind
from noded.core.clock import now_ms
from noded.core.errors import Conflict, Forbidden, Invalid, NotFound, Refused, Unavailable
from noded.core.ids import NodeId
from tests.twins.cluster import SharedCluster
from tests.twins.segment import Segment, SegmentDiscovery

_hosts = itertools.count(1)


def fresh_address() -> str:
    number = next(_hosts)
    return f"127.9.{number // 200}.{number % 200 + 1}"


def free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Machine:
    """One host without a seed. `entry` while it is unclaimed, `keeper` once it is a member."""

    directory: Path
    segment: Segment
    clusters: dict[str, SharedCluster]
    name: str
    address: str = field(default_factory=fresh_address)
    skew_ms: int = 0
    membership: Membership | None = None
    keeper: Doorkeeper | None = None

    def __post_init__(self) -> None:
        self.identity = NodeIdentity.load_or_create(self.directory)
        self.config = EntryConfig(
            seed=None,
            name=self.name,
            addresses=(self.address,),
            release="0.1.0",
            door_port=free_port(self.address),
            ports_to_come=(free_port(self.address), free_port(self.address)),
        )
        self.discovery: SegmentDiscovery = self.segment.discovery()
        self.refusals = RefusalBook()
        self.entry = Entry(self.config, self.identity, self.directory, self.discovery, self.refusals)

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    async def live(self) -> None:
        self.membership = await self.entry.run()
        cluster_id = self.membership.cluster_id
        shared = self.clusters.setdefault(
            cluster_id, SharedCluster([MEMBERS, DOORS, CERTIFICATES], [f"{number}" for number in range(8)])
        )
        cluster = shared.cluster(str(len(self.clusters)))
        if self.membership.founder:
            await cluster.propose(founding_command(self.membership, self.config, self.identity, now_ms()))
            settle_founding(self.directory)
        keeper = Doorkeeper(
            self.config, self.membership, self.identity, self.directory, self.discovery, cluster, self.refusals
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(keeper.run)
            self.keeper = keeper

    @property
    def house(self) -> Doorkeeper:
        assert self.keeper is not None
        return self.keeper

    def request_of(self, other: "Machine") -> JoinRequest | None:
        found = self.house.waiting().requests
        return next((each for each in found if each.node_id == other.node_id), None)

    def offer_of(self, member: "Machine") -> Offered | None:
        return next((each for each in self.entry.status("").offers if each.member == member.node_id), None)

    def kinds(self) -> set[RefusalKind]:
        return {line.kind for line in self.refusals.lines()}


@dataclass
class Street:
    """Machines on one segment."""

    directory: Path
    nursery: trio.Nursery
    segment: Segment = field(default_factory=Segment)
    clusters: dict[str, SharedCluster] = field(default_factory=dict)

    def machine(self, name: str) -> Machine:
        machine = Machine(self.directory / f"{name}{next(_hosts)}", self.segment, self.clusters, name)
        self.nursery.start_soon(machine.live)
        return machine

    async def founder(self, name: str = "one", cluster: str = "town") -> Machine:
        machine = self.machine(name)
        machine.entry.create(cluster)
        await until(lambda: machine.keeper is not None)
        return machine

    def members_of(self, machine: Machine) -> set[str]:
        assert machine.membership is not None
        return {node.name for node in self.clusters[machine.membership.cluster_id].machine.picture.all(Node)}

    async def token(self, member: Machine, secret: bytes = b"s" * 24, *, life_ms: int = 60_000) -> Token:
        cluster = member.house.cluster
        view = cluster.view()
        authority = authority_in(view)
        assert authority is not None
        made_ms = now_ms() if life_ms > 0 else now_ms() - 120_000
        token_id = f"t{next(_hosts)}"
        await cluster.propose(
            CreateToken(
                token_id=token_id,
                secret_hash=secret_hash(secret),
                uses=1,
                expires_at_ms=made_ms + abs(life_ms),
                addresses=(),
                created_by="ann",
                now_ms=made_ms,
            )
        )
        return Token(
            cluster_id=view.need(ClusterFacts, CLUSTER).cluster_id,
            cluster_name="town",
            authority_hash=authority_hash(authority.certificate_pem),
            addresses=member.config.addresses,
            port=member.config.door_port,
            token_id=token_id,
            secret=secret,
            expires_at_ms=made_ms + abs(life_ms),
        )


@asynccontextmanager
async def living(directory: Path) -> AsyncIterator[Street]:
    async with trio.open_nursery() as nursery:
        yield Street(directory, nursery)
        nursery.cancel_scope.cancel()


async def until(condition: Callable[[], object], limit_s: float = 20.0) -> None:
    with trio.fail_after(limit_s):
        while not condition():
            await trio.sleep(0.01)


async def why(call: Callable[[], Awaitable[object]], kind: type[Refused]) -> str:
    with pytest.raises(kind) as refused:
        await call()
    return refused.value.message


async def test_words_let_a_node_in_when_both_sides_say_yes(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, two = await street.founder(), street.machine("two")
        await until(lambda: one.request_of(two))
        request, offer = one.request_of(two), two.offer_of(one)
        assert request is not None
        assert offer is not None
        assert request.words == offer.words
        assert (offer.cluster_name, request.name, request.agreed, request.misfit) == ("town", "two", False, "")
        with pytest.raises(Forbidden, match="stands between"):
            one.house.approve(two.node_id, "other-words")
        with pytest.raises(NotFound):
            two.entry.agree("other-words")
        one.house.approve(two.node_id, request.words)
        await until(lambda: (offer := two.offer_of(one)) and offer.approved)
        assert street.members_of(one) == {"one"}
        two.entry.agree(request.words.upper().replace("-", " "))
        await until(lambda: two.keeper)
        assert street.members_of(one) == {"one", "two"}
        assert two.membership is not None
        assert one.membership is not None
        assert two.membership.cluster_id == one.membership.cluster_id


async def test_the_nodes_own_yes_is_not_enough_and_a_no_ends_its_request(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, two = await street.founder(), street.machine("two")
        await until(lambda: two.offer_of(one))
        offer = two.offer_of(one)
        assert offer is not None
        two.entry.agree(offer.words)
        await until(lambda: (request := one.request_of(two)) and request.agreed)
        assert street.members_of(one) == {"one"}
        one.house.turn_away(two.node_id)
        with pytest.raises(NotFound):
            one.house.turn_away(two.node_id)
        await until(lambda: "turned it away" in (two.offer_of(one) or offer).misfit)
        assert one.request_of(two) is None
        assert RefusalKind.NOT_ADMITTED in one.kinds()


async def test_a_node_says_yes_to_one_of_two_clusters_of_one_name(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, other = await street.founder("one"), await street.founder("other")
        two = street.machine("two")
        await until(lambda: one.request_of(two) and other.request_of(two))
        ours, theirs = two.offer_of(one), two.offer_of(other)
        assert ours is not None
        assert theirs is not None
        assert ours.cluster_name == theirs.cluster_name == "town"
        assert ours.cluster_id != theirs.cluster_id
        two.entry.agree(ours.words)
        with pytest.raises(Conflict, match="another cluster"):
            two.entry.agree(theirs.words)
        other.house.approve(two.node_id, theirs.words)
        one.house.approve(two.node_id, ours.words)
        await until(lambda: two.keeper)
        assert (street.members_of(one), street.members_of(other)) == ({"one", "two"}, {"other"})


async def test_two_nodes_of_one_name_are_told_so_before_anybody_says_yes(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, namesake = await street.founder("one"), street.machine("one")
        await until(lambda: (offer := namesake.offer_of(one)) and "already called one" in offer.misfit)
        request = one.request_of(namesake)
        assert request is not None
        assert one.node_id in request.misfit
        with pytest.raises(Conflict, match="already called one"):
            one.house.approve(namesake.node_id, request.words)
        assert street.members_of(one) == {"one"}


async def test_a_claim_code_fetches_a_node_in_one_step(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, two = await street.founder(), street.machine("two")
        await until(lambda: one.house.waiting().unclaimed)
        code = two.entry.claim_code
        wrong = LetIn(node="two", claim_code="BBBBB-BBBBB")
        assert "claim code" in await why(lambda: one.house.claim(wrong), Conflict)
        assert RefusalKind.WRONG_SECRET in two.kinds()
        assert "can be seen" in await why(lambda: one.house.claim(LetIn(node="three", claim_code=code)), NotFound)
        assert street.members_of(one) == {"one"}
        assert await one.house.claim(LetIn(node="two", claim_code=code.lower())) == two.node_id
        await until(lambda: two.keeper)
        assert street.members_of(one) == {"one", "two"}


async def test_claim_codes_cannot_be_guessed_at_the_page_or_at_the_door(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        two = street.machine("two")
        two.entry.check_code(two.entry.claim_code, "10.0.0.1", 443)
        for _ in range(10):
            with pytest.raises(Forbidden):
                two.entry.check_code("BBBBB-BBBBB", "10.0.0.9", 443)
        with pytest.raises(Unavailable, match="Too many"):
            two.entry.check_code(two.entry.claim_code, "10.0.0.9", 443)
        for number in range(60):
            with pytest.raises((Forbidden, Unavailable)):
                two.entry.check_code("BBBBB-BBBBB", f"10.0.1.{number}", 443)
        with pytest.raises(Unavailable):
            two.entry.check_code(two.entry.claim_code, "10.0.2.1", 443)
        assert {RefusalKind.WRONG_SECRET, RefusalKind.TOO_MANY} <= two.kinds()


async def test_a_cluster_needs_a_name_and_is_created_once(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        two = street.machine("two")
        for wrong in ("", "  ", "n" * 65, "a\nb"):
            with pytest.raises(Invalid):
                two.entry.create(wrong)
        assert read_membership(two.directory, two.identity) is None
        two.entry.create("town")
        with pytest.raises(Conflict):
            two.entry.create("city")


async def test_a_token_lets_in_without_any_announcement_and_once(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one = await street.founder()
        two, three = street.machine("two"), street.machine("three")
        street.segment.cut({one.node_id}, {two.node_id}, {three.node_id})
        token = await street.token(one)
        assert await two.entry.join(token_text(token)) == "town"
        await until(lambda: two.keeper)
        said = await why(lambda: three.entry.join(token_text(token)), Forbidden)
        assert "used 1 of 1" in said
        assert street.members_of(one) == {"one", "two"}
        assert [fault.door for fault in three.entry.status("").faults] == ["token"]
        assert RefusalKind.NOT_ADMITTED in one.kinds()
        assert read_membership(three.directory, three.identity) is None


async def test_a_token_of_another_secret_cluster_time_or_authority_opens_nothing(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, other, two = await street.founder("one"), await street.founder("other"), street.machine("two")
        token = await street.token(one)

        def join(changed: Token) -> Callable[[], Awaitable[str]]:
            return partial(two.entry.join, token_text(changed))

        assert "not know the same secret" in await why(join(replace(token, secret=b"x" * 24)), Conflict)
        assert "not know the same secret" in await why(join(replace(token, token_id="t0")), Conflict)
        assert "not know the same secret" in await why(join(replace(token, cluster_id="f" * 32)), Conflict)
        astray = replace(await street.token(other), addresses=token.addresses, port=token.port)
        assert "not know the same secret" in await why(join(astray), Conflict)
        expired = await street.token(one, b"e" * 24, life_ms=-1000)
        assert "expired at" in await why(join(expired), Forbidden)
        assert "authority" in await why(join(replace(token, authority_hash=bytes(32))), Forbidden)
        assert RefusalKind.WRONG_SECRET in one.kinds()
        assert two.membership is None
        assert street.members_of(other) == {"other"}


async def test_a_token_that_opens_nothing_admits_nobody_and_makes_no_member_try_ports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with living(tmp_path) as street:
        one, two = await street.founder(), street.machine("two")
        before = await street.token(one, life_ms=60_000_000)
        cluster, new = one.house.cluster, found_authority("town", datetime.now(UTC))
        await trio.sleep(0.01)
        rotated = BeginRotation(
            certificate_pem=new.certificate_pem.decode(), key_pem=new.key_pem.decode(), now_ms=now_ms()
        )
        await cluster.propose(rotated)
        meanwhile = (await _create(cluster, TokenWanted(), "ann"))["token"]
        for stage in (Stage.TRUST, Stage.SIGN, Stage.DROP):
            await cluster.propose(NoteRotation(node_id=one.node_id, number=1, stage=stage, now_ms=now_ms()))
        assert "before the cluster's authority was rotated" in await why(
            partial(two.entry.join, token_text(before)), Forbidden
        )
        assert isinstance(meanwhile, dict)
        assert read_token(meanwhile["text"]).authority_hash == authority_hash(new.certificate_pem)
        tried: list[AskAdmission] = []
        monkeypatch.setattr("consensus.host.doorkeeper.unreachable_ports", lambda asked, _key: tried.append(asked))
        expired = await street.token(one, b"e" * 24, life_ms=-1000)
        said = await why(partial(two.entry.join, token_text(expired)), Forbidden)
        assert "expired at" in said
        assert (street.members_of(one), tried) == ({"one"}, [])


async def test_a_stolen_hash_is_no_token(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, two = await street.founder(), street.machine("two")
        token = await street.token(one)
        record = one.house.cluster.view().need(JoinToken, token.token_id)
        key = one.house._key_of(f"token:{token.token_id}")
        assert key is not None
        async with knock(key, two.identity, one.config.addresses, port=one.config.door_port) as session:
            answer = await two.entry._newcomer.ask(session, secret=record.secret_hash.encode())
        assert "secret is not the right one" in repr(answer)
        assert street.members_of(one) == {"one"}


async def test_few_strangers_of_one_address_may_wait(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one = await street.founder()

        async def stand(number: int) -> None:
            identity = NodeIdentity.load_or_create(tmp_path / f"stranger{number}")
            async with ask_to_be_let_in(identity, one.config.addresses, port=one.config.door_port) as (session, _):
                await session.ask(Greet())
                standing.append(number)
                await trio.sleep_forever()

        standing: list[int] = []
        for number in range(STRANGERS_PER_ADDRESS_MAX):
            street.nursery.start_soon(stand, number)
        await until(lambda: len(standing) == STRANGERS_PER_ADDRESS_MAX)
        with pytest.raises((DoorClosed, OSError)):
            await stand(99)
        assert RefusalKind.TOO_MANY in one.kinds()


async def test_a_claim_code_of_one_node_opens_no_other(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, two = await street.founder(), street.machine("two")
        await until(lambda: two.discovery.announced is not None)
        key = claim_key(plain_code(two.entry.claim_code), "f" * 64)
        with pytest.raises(DoorClosed):
            async with knock(key, one.identity, two.config.addresses, port=two.config.door_port):
                raise AssertionError("the door opened")


# -- what is tried before


@dataclass
class Asking:
    """A node that asks, as far as its ports go."""

    directory: Path
    address: str = field(default_factory=fresh_address)
    nonce: bytes = b"n" * PROBE_NONCE_BYTES

    def __post_init__(self) -> None:
        self.identity = NodeIdentity.load_or_create(self.directory)
        self.ports = (free_port(self.address), free_port(self.address))

    def asked(self, *, shown: tuple[int, ...] = ()) -> AskAdmission:
        return AskAdmission(
            name="n",
            addresses=(self.address,),
            release="0.1.0",
            now_ms=0,
            ports_to_come=self.ports,
            ports_shown=shown,
            nonce=self.nonce,
        )

    async def fault(self, *, shown: tuple[int, ...] = ()) -> str | None:
        return await unreachable_ports(self.asked(shown=shown), self.identity.public_key)


async def test_open_ports_are_found_open_also_for_large_packets(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    async with probes(asking.address, asking.ports, asking.nonce):
        assert await asking.fault() is None
        assert await asking.fault() is None


async def test_a_closed_port_is_named(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    async with probes(asking.address, asking.ports[:1], asking.nonce):
        fault = await asking.fault()
    assert fault is not None
    assert f"TCP port {asking.ports[1]} refuses" in fault
    assert f"port {asking.ports[0]}" not in fault


async def test_a_port_that_another_program_has_is_named_on_both_sides(tmp_path: Path) -> None:
    asking = Asking(tmp_path)
    with socket.create_server((asking.address, asking.ports[0])), pytest.raises(PortTaken, match=str(asking.ports[0])):
        async with probes(asking.address, asking.ports, asking.nonce):
            raise AssertionError("the port was had twice")
    async with probes(asking.address, asking.ports, b"other" + bytes(PROBE_NONCE_BYTES - 5)):
        fault = await asking.fault()
    assert fault is not None
    assert "another program" in fault


async def test_a_path_that_swallows_large_packets_is_told_from_a_firewall(tmp_path: Path) -> None:
    asking = Asking(tmp_path)

    async def small_only(stream: trio.SocketStream) -> None:
        await stream.send_all(asking.nonce)
        taken = 0
        while taken < LARGE_BYTES and (piece := await stream.receive_some(LARGE_BYTES)):
            taken += len(piece)
        await trio.sleep_forever()

    async def silent(_stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for port, answer in zip(asking.ports, (small_only, silent), strict=True):
            await nursery.start(partial(trio.serve_tcp, answer, port, host=asking.address))
        fault = await asking.fault()
        nursery.cancel_scope.cancel()
    assert fault is not None
    assert f"port {asking.ports[0]} answers, but large packets are lost" in fault
    assert str(MTU_MIN) in fault
    assert f"port {asking.ports[1]} does not answer" in fault


async def test_a_port_that_shows_another_nodes_key_is_named(tmp_path: Path) -> None:
    asking, neighbour = Asking(tmp_path / "a"), NodeIdentity.load_or_create(tmp_path / "b")
    tls = door_server(tmp_path / "b")
    assert neighbour.node_id != asking.identity.node_id

    async def answer(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, tls, server_side=True)
        try:
            await secure.do_handshake()
            await secure.receive_some(1)
        except (trio.BrokenResourceError, ssl.SSLError):
            return

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, answer, 0, host=asking.address))
        port = listeners[0].socket.getsockname()[1]
        async with probes(asking.address, asking.ports, asking.nonce):
            fault = await asking.fault(shown=(port,))
        nursery.cancel_scope.cancel()
    assert fault is not None
    assert f"port {port} is answered by another node" in fault


async def test_a_join_that_fails_leaves_nothing_and_can_be_tried_again(tmp_path: Path) -> None:
    async with living(tmp_path) as street:
        one, two = await street.founder(), street.machine("two")
        namesake = street.machine("one")
        token, again = await street.token(one), await street.token(one, b"a" * 24)
        assert "already called one" in await why(partial(namesake.entry.join, token_text(token)), Forbidden)
        taken = two.config.ports_to_come[1]
        with socket.create_server((two.address, taken)):
            assert str(taken) in await why(partial(two.entry.join, token_text(again)), Conflict)
        assert street.members_of(one) == {"one"}
        assert one.house.cluster.view().need(JoinToken, again.token_id).used_by == ()
        assert await two.entry.join(token_text(again)) == "town"
        await until(lambda: two.keeper)
        assert one.house.cluster.view().need(JoinToken, again.token_id).used_by == (two.node_id,)
