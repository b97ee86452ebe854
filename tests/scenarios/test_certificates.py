"""The authority is rotated under running nodes: at no moment do two of them fail to meet, in whatever order they go."""

import itertools
import random
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consensus.authority import authority_hash, authority_hashes, found_authority, is_signed_by, sign_node
from consensus.certificates import SERVICE as CERTIFICATES
from consensus.certificates.commands import BeginRotation, NoteRotation
from consensus.certificates.links import Certificates
from consensus.certificates.model import ROTATION, Rotation, Stage
from consensus.certificates.reconcile import CertificatesReconciler
from consensus.host.certificates import NodeCertificates, api_server
from consensus.host.files import write_durably
from consensus.host.identity import NodeIdentity
from consensus.host.tls import authority_file, member_contexts, node_certificate_file, peer_node_id
from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import AdmitNode, FoundCluster, RemoveNode
from consensus.members.model import AUTHORITY, ClusterAuthority, Node
from noded.core.errors import Conflict
from noded.core.ids import NodeId
from noded.core.reconciler import Drivers
from tests.twins.cluster import SharedCluster
from tests.unit.consensus.test_authority import connect

NOW = datetime.now(UTC)
OLD = found_authority("town", NOW)
NEW = found_authority("town", NOW)


class Member:
    """A node's files and contexts; `restart` reads all of it anew, as a daemon does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.identity = NodeIdentity.load_or_create(directory)
        write_durably(authority_file(directory), OLD.certificate_pem)
        write_durably(node_certificate_file(directory), sign_node(OLD, self.identity.public_key, NOW))
        self.restart()

    def restart(self) -> None:
        self.tls = member_contexts(self.directory)
        self.api = api_server(self.identity, self.directory, OLD, ["127.0.0.1"])
        self.certificates = NodeCertificates(
            self.identity, self.directory, self.tls, self.api, lambda: ["127.0.0.1", "localhost"]
        )

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    def record(self, number: int) -> Node:
        return Node(
            id=self.node_id,
            name=f"n{number}",
            addresses=("10.0.0.1",),
            fingerprint=self.identity.fingerprint,
            admitted_at_ms=1,
            release="0.1.0",
        )


class Town:
    """Some members over one log."""

    def __init__(self, directory: Path, count: int) -> None:
        self.members = [Member(directory / f"n{number}") for number in range(count)]
        self.shared = SharedCluster([MEMBERS, CERTIFICATES], [member.node_id for member in self.members])

    async def found(self) -> None:
        first, *others = self.members
        founding = FoundCluster(
            cluster_id="c1",
            name="town",
            authority_certificate_pem=OLD.certificate_pem.decode(),
            authority_key_pem=OLD.key_pem.decode(),
            founder=first.record(0),
            now_ms=1,
        )
        await self.shared.cluster(first.node_id).propose(founding)
        for number, member in enumerate(others, start=1):
            node = member.record(number)
            admission = AdmitNode(
                node_id=node.id,
                name=node.name,
                addresses=node.addresses,
                fingerprint=node.fingerprint,
                release=node.release,
                now_ms=1,
            )
            await self.shared.cluster(first.node_id).propose(admission)

    async def begin(self) -> None:
        pem, key = NEW.certificate_pem.decode(), NEW.key_pem.decode()
        order = BeginRotation(certificate_pem=pem, key_pem=key, now_ms=5)
        await self.shared.cluster(self.members[0].node_id).propose(order)

    async def turn(self, member: Member) -> None:
        drivers = Drivers()
        drivers.add(Certificates, member.certificates)
        await CertificatesReconciler(self.shared.cluster(member.node_id), drivers).reconcile()

    @property
    def rotation(self) -> Rotation:
        return self.shared.machine.picture.need(Rotation, ROTATION)

    def expect_all_meet(self, members: list[Member] | None = None) -> None:
        for one, other in itertools.permutations(members or self.members, 2):
            near, far = connect(one.tls.client, other.tls.server)
            assert (peer_node_id(near), peer_node_id(far)) == (other.node_id, one.node_id)


@pytest.fixture
async def town(tmp_path: Path) -> Town:
    made = Town(tmp_path, 3)
    await made.found()
    return made


@pytest.mark.parametrize("seed", range(6))
async def test_nodes_meet_at_every_moment_of_a_rotation_in_whatever_order_they_go(town: Town, seed: int) -> None:
    dice = random.Random(seed)
    await town.begin()
    for _ in range(200):
        if town.rotation.stage is Stage.DONE:
            break
        member = dice.choice(town.members)
        if dice.random() < 0.3:
            member.restart()
        await town.turn(member)
        town.expect_all_meet()
    else:
        raise AssertionError("not done after 200 turns")
    for member in town.members:
        await town.turn(member)
        member.restart()
    town.expect_all_meet()
    for member in town.members:
        assert authority_file(member.directory).read_bytes() == NEW.certificate_pem
        assert is_signed_by(node_certificate_file(member.directory).read_bytes(), NEW.certificate_pem)
    assert town.shared.machine.picture.need(ClusterAuthority, AUTHORITY).key_pem == NEW.key_pem.decode()
    assert town.rotation.new_key_pem is None


async def test_who_stole_the_old_authority_is_shut_out_when_it_is_done(town: Town, tmp_path: Path) -> None:
    thief = Member(tmp_path / "thief")
    connect(thief.tls.client, town.members[0].tls.server)
    await town.begin()
    while town.rotation.stage is not Stage.DONE:
        for member in town.members:
            await town.turn(member)
    for member in town.members:
        await town.turn(member)
        with pytest.raises(ssl.SSLError):
            connect(thief.tls.client, member.tls.server)
        with pytest.raises(ssl.SSLError):
            connect(member.tls.client, thief.tls.server)


async def test_the_api_is_signed_by_the_new_authority_and_clients_find_it_in_the_file(town: Town) -> None:
    await town.begin()
    while town.rotation.stage is not Stage.DONE:
        for member in town.members:
            await town.turn(member)
    for member in town.members:
        await town.turn(member)
        client = ssl.create_default_context(cafile=str(authority_file(member.directory)))
        connect(client, member.api, "127.0.0.1")
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(ssl.create_default_context(cadata=OLD.certificate_pem.decode()), member.api, "127.0.0.1")


async def test_an_absent_node_holds_it_up_until_it_is_back_or_forgotten(town: Town) -> None:
    absent, *present = town.members
    await town.begin()
    for member in present * 3:
        await town.turn(member)
    assert (town.rotation.stage, set(town.rotation.done)) == (Stage.TRUST, {member.node_id for member in present})
    assert town.rotation.new_key_pem is not None
    town.expect_all_meet()
    forget = RemoveNode(node_id=absent.node_id, left=False, now_ms=9)
    await town.shared.cluster(present[0].node_id).propose(forget)
    for member in present * 4:
        await town.turn(member)
    assert town.rotation.stage is Stage.DONE
    town.expect_all_meet(present)


async def test_one_rotation_at_a_time_and_what_is_told_late_changes_nothing(town: Town) -> None:
    await town.begin()
    with pytest.raises(Conflict, match="stage trust"):
        await town.begin()
    late = NoteRotation(node_id=town.members[0].node_id, number=1, stage=Stage.TRUST, now_ms=7)
    while town.rotation.stage is not Stage.DONE:
        for member in town.members:
            await town.turn(member)
    before = town.rotation
    await town.shared.cluster(town.members[0].node_id).propose(late)
    assert town.rotation == before
    await town.begin()
    assert (town.rotation.number, town.rotation.stage, town.rotation.done) == (2, Stage.TRUST, ())


@pytest.mark.parametrize("years", [-40, 40])
async def test_clocks_that_are_years_off_part_nobody(town: Town, years: int) -> None:
    then = NOW + timedelta(days=365 * years)
    for member in town.members[1:]:
        write_durably(node_certificate_file(member.directory), sign_node(OLD, member.identity.public_key, then))
        member.restart()
    town.expect_all_meet()
    for member in town.members:
        await town.turn(member)
    town.expect_all_meet()


def test_a_bundle_is_known_by_each_of_its_authorities() -> None:
    bundle = NEW.certificate_pem + OLD.certificate_pem
    assert authority_hashes(bundle) == {authority_hash(NEW.certificate_pem), authority_hash(OLD.certificate_pem)}
    assert authority_hash(OLD.certificate_pem) not in authority_hashes(NEW.certificate_pem)
