"""Backups and lives through the gateway, and what root asks on a node: for the administrator alone, and sealed."""

import json
from base64 import b64encode
from pathlib import Path

import msgspec
import pytest

from consensus.codec import Codec
from consensus.incarnation import Incarnation
from consensus.members import SERVICE as MEMBERS
from consensus.members.commands import RemoveNode
from consensus.members.model import Node
from consensus.recovery import SERVICE
from consensus.recovery.commands import BeginLife
from consensus.recovery.host.backups import LiveBackups
from consensus.recovery.host.reading import read_backup
from consensus.recovery.links import Backups, LogFacts, Rebirth
from consensus.recovery.model import (
    BeginAgainCall,
    Beginning,
    Known,
    Life,
    LogStanding,
    OpenBackupCall,
    OpenedBackup,
)
from consensus.recovery.sealing import Passphrase, new_recipient
from noded.core.errors import Conflict, Invalid, NotFound, Unavailable
from noded.core.ids import NodeId
from noded.core.service import PeerContext
from tests.scenarios.test_members import IDS, admission, founding
from tests.twins.cloud import IDENTITY_SERVICES, Cloud, found_cloud

WORDS = "a passphrase for a test"
SERVICES = (*IDENTITY_SERVICES, MEMBERS, SERVICE)
CODEC = Codec([each for one in SERVICES for each in one.commands], [each for one in SERVICES for each in one.records])


class StillLog:
    """A node's end of a log that stands still, as far as recovery looks at it."""

    node_id = "node1"
    incarnation = Incarnation(3, "cc")
    cluster_name = cluster_id = "town"

    def __init__(self) -> None:
        self.left_behind: tuple[str, ...] | None = None

    def standing(self) -> LogStanding:
        return LogStanding(
            node_id=NodeId("node1"), incarnation=self.incarnation, last_term=2, last_index=9, committed_index=9,
            voters=(NodeId("node1"), NodeId("lost")), leader_id=None,
        )  # fmt: skip

    def peers(self) -> dict[NodeId, tuple[str, ...]]:
        return {NodeId("lost"): ("10.0.0.9",)}

    def begin_again(self, left_behind: tuple[str, ...]) -> None:
        self.left_behind = left_behind


class Scene:
    """A founded cloud whose first node can be backed up and recovered."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.log = StillLog()
        self.machine = cloud.shared.machine
        self.drivers = cloud.shared.drivers["node1"]
        self.drivers.add(LogFacts, self.log)
        self.drivers.add(Rebirth, self.log)
        self.drivers.add(Backups, LiveBackups(self.log, self.machine, self.log, "0.1.0"))  # type: ignore[arg-type]

    async def ask(self, method: str, payload: object = None) -> bytes:
        """As root on the node does."""
        context = PeerContext(cluster=self.cloud.shared.cluster("node1"), drivers=self.drivers)
        content = payload if isinstance(payload, bytes) else msgspec.msgpack.encode(payload)
        return await (SERVICE.local_calls | SERVICE.peer_calls)[method](context, content)


@pytest.fixture
async def scene() -> Scene:
    cloud = await found_cloud(SERVICES)
    await cloud.shared.cluster("node1").propose(founding())
    return Scene(cloud)


async def test_the_administrator_gets_a_sealed_backup_and_strangers_get_none(scene: Scene, tmp_path: Path) -> None:
    private, public = new_recipient()
    async with scene.cloud.client() as client:
        assert (await client.post("/noded/v1/backup", json={"passphrase": WORDS})).status_code == 401
        admin = await scene.cloud.admin(client)
        path = tmp_path / "town.nbk"
        for form, secret in (
            ({"passphrase": WORDS}, Passphrase(WORDS)),
            ({"recipient": b64encode(public.public_key).decode()}, private),
        ):
            answer = await client.post("/noded/v1/backup", headers=admin, json=form)
            assert answer.status_code == 200
            assert "attachment" in answer.headers["content-disposition"]
            assert b"PRIVATE" not in answer.content
            path.write_bytes(answer.content)
            header, machine = read_backup(path, secret, CODEC, 1)
            assert machine.digest() == scene.machine.digest()
            assert (header.cluster_name, header.incarnation) == ("town", Incarnation(3, "cc"))


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"passphrase": "tiny"},
        {"passphrase": WORDS, "recipient": "AAAA"},
        {"recipient": "AAAA"},
        {"recipient": "\u2603"},
        {"passphrase": 7},
        {"passphrase": WORDS, "else": 1},
    ],
)
async def test_a_backup_without_a_good_secret_is_refused(scene: Scene, form: dict[str, object]) -> None:
    async with scene.cloud.client() as client:
        answer = await client.post("/noded/v1/backup", headers=await scene.cloud.admin(client), json=form)
        assert answer.status_code == 400
        assert WORDS not in answer.text


async def test_root_fetches_a_backup_piece_by_piece_once(scene: Scene, tmp_path: Path) -> None:
    opened = msgspec.msgpack.decode(
        await scene.ask("recovery.open_backup", OpenBackupCall(passphrase=WORDS)), type=OpenedBackup
    )
    assert (opened.cluster, opened.revision) == ("town", scene.machine.picture.revision)
    content = b""
    while piece := await scene.ask("recovery.backup_piece", opened.id.encode()):
        content += piece
    (tmp_path / "town.nbk").write_bytes(content)
    assert read_backup(tmp_path / "town.nbk", Passphrase(WORDS), CODEC, 1)[1].digest() == scene.machine.digest()
    with pytest.raises(NotFound):
        await scene.ask("recovery.backup_piece", opened.id.encode())
    assert WORDS not in repr(OpenBackupCall(passphrase=WORDS))


async def test_backups_that_nobody_fetches_are_bounded(scene: Scene) -> None:
    _, public = new_recipient()
    call = OpenBackupCall(recipient=public.public_key)
    for _ in range(4):
        await scene.ask("recovery.open_backup", call)
    with pytest.raises(Unavailable, match="being fetched already"):
        await scene.ask("recovery.open_backup", call)
    with pytest.raises(Invalid):
        await scene.ask("recovery.open_backup", OpenBackupCall())


async def test_a_node_says_whom_it_knows_and_begins_anew_for_the_right_cluster_alone(scene: Scene) -> None:
    known = msgspec.msgpack.decode(await scene.ask("recovery.known"), type=Known)
    assert known.cluster == "town"
    assert ("lost", ("10.0.0.9",)) in {(member.node_id, member.addresses) for member in known.others}
    await scene.cloud.shared.cluster("node1").propose(admission(1), RemoveNode(node_id=IDS[1], left=True, now_ms=1))
    scene.log.peers = lambda: {NodeId("lost"): ("10.0.0.9",), IDS[1]: ("10.0.0.1",)}  # type: ignore[method-assign]
    later = msgspec.msgpack.decode(await scene.ask("recovery.known"), type=Known)
    assert later.others == known.others, "a former node has no say, wherever it was last"
    assert msgspec.msgpack.decode(await scene.ask("recovery.standing"), type=LogStanding) == scene.log.standing()
    with pytest.raises(Conflict, match="Nothing was changed"):
        await scene.ask("recovery.begin_again", BeginAgainCall(cluster="twon", left_behind=("lost",)))
    assert scene.log.left_behind is None
    await scene.ask("recovery.begin_again", BeginAgainCall(cluster="town", left_behind=("lost",)))
    assert scene.log.left_behind == ("lost",)
    assert "recovery.begin_again" not in SERVICE.peer_calls, "no other node may ask for it"


async def test_lives_are_listed_in_their_order_and_a_beginning_told_twice_is_one(scene: Scene) -> None:
    node = scene.machine.picture.all(Node)[0]
    for number, beginning in ((3, Beginning.RESTORED), (2, Beginning.RECOVERED), (2, Beginning.RECOVERED)):
        life = Life(
            id=f"life{number}", count=number, beginning=beginning, began_at_ms=1, node_id=NodeId(node.id), revision=9,
            backup_taken_at_ms=1 if beginning is Beginning.RESTORED else None,
        )  # fmt: skip
        await scene.cloud.shared.cluster("node1").propose(BeginLife(life=life, node=node))
    async with scene.cloud.client() as client:
        answer = await client.get("/noded/v1/lives", headers=await scene.cloud.admin(client))
    assert [(life["number"], life["beginning"]) for life in answer.json()["lives"]] == [
        (2, "recovered"),
        (3, "restored"),
    ]
    assert msgspec.msgpack.decode(await scene.ask("recovery.lives")) == json.loads(answer.text)["lives"]
