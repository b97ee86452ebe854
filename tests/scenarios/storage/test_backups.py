"""Backups are made, build on one another, are restored, and survive the nodes that work on them."""

from base64 import b64decode, b64encode
from json import dumps, loads
from pathlib import Path

import pytest

from noded.core.dice import new_uuid
from noded.core.ids import NodeId, VolumeId
from noded.core.units import MIB
from storage.backups.model import Backup, Work
from storage.backups.work import FinishBackup, TakeBackup
from storage.volume_actions.commands import ResetStatus
from storage.volumes.commands import ask_for_cut, attach_volume, delete_volume
from storage.volumes.layers import give_up_cut
from storage.volumes.model import Cut, CutPart, Volume
from tests.scenarios.storage.backup_stage import Stage

KEY = "0f" * 32


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    await stage.settle()
    return stage


@pytest.fixture(params=["pool", "directory", "sealed"])
async def placed(stage: Stage, tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    """With each kind of place for backups."""
    if request.param != "pool":
        (tmp_path / "nas").mkdir()
        key = KEY if request.param == "sealed" else ""
        await stage.target("add", name="nas", path=str(tmp_path / "nas"), default=True, shared=True, seal_key=key)
    return stage


async def test_a_backup_brings_back_what_the_volume_was(placed: Stage) -> None:
    volume_id = await placed.volume(b"first" * 100_000)
    backup_id = await placed.back_up(volume_id, name="b", description="d", metadata={"a": "b"})
    assert (await placed.show(backup_id))["status"] == "creating"
    assert placed.volume_record(volume_id).status == "backing-up"
    await placed.settle()
    shown = await placed.show(backup_id)
    assert (shown["status"], shown["size"], shown["object_count"]) == ("available", 1, 2)
    assert (shown["name"], shown["metadata"], shown["is_incremental"]) == ("b", {"a": "b"}, False)
    assert placed.volume_record(volume_id).status == "available"
    placed.write(volume_id, 0, b"later" * 100_000)
    restored = await placed.restore(backup_id, name="again")
    assert (await placed.show(backup_id))["status"] == "restoring"
    assert placed.volume_record(restored).status == "restoring-backup"
    await placed.settle()
    assert (await placed.show(backup_id))["status"] == "available"
    volume = placed.volume_record(restored)
    assert (volume.status, volume.name, volume.metadata) == ("available", "again", {"kept": "yes"})
    assert placed.read(restored).rstrip(b"\0") == b"first" * 100_000
    await placed.restore(backup_id, volume_id=volume_id)
    await placed.settle()
    assert placed.read(volume_id).rstrip(b"\0") == b"first" * 100_000


async def test_increments_hold_what_changed_and_keep_what_they_build_on(placed: Stage) -> None:
    volume_id = await placed.volume(b"first" * 400_000)
    full = await placed.back_up(volume_id)
    await placed.settle()
    placed.write(volume_id, 50, b"second")
    second = await placed.back_up(volume_id, incremental=True)
    await placed.settle()
    assert 0 < placed.record(second).stored_bytes < placed.record(full).stored_bytes + 20_000
    shown = await placed.show(full)
    assert (shown["is_incremental"], shown["has_dependent_backups"]) == (False, True)
    assert (await placed.show(second))["is_incremental"]
    assert "Incremental backups exist" in await placed.refusal("DELETE", "/v3/backups/{backup_id}", backup_id=full)
    expected = bytearray(b"first" * 400_000)
    expected[50:56] = b"second"
    restored = await placed.restore(second)
    await placed.settle()
    assert placed.read(restored).rstrip(b"\0") == expected
    for backup_id in (second, full):
        await placed.delete(backup_id)
        await placed.settle()
    assert placed.shared.machine.picture.count(Backup) == 0
    assert placed.files() == []


async def test_another_node_goes_on_when_the_one_that_works_is_gone(placed: Stage) -> None:
    volume_id = await placed.volume(b"data" * 1_000)
    backup_id = await placed.back_up(volume_id)
    await placed.shared.cluster("node3").propose(TakeBackup(backup_id=backup_id, node_id="node3", turn=0))  # type: ignore[arg-type]
    assert placed.volume_record(volume_id).node_id == "node3"
    placed.shared.up.discard("node3")
    await placed.settle()
    assert (await placed.show(backup_id))["status"] == "available"
    assert placed.record(backup_id).turn > 1
    restored = await placed.restore(backup_id)
    await placed.settle()
    assert placed.read(restored).rstrip(b"\0") == b"data" * 1_000


async def test_a_backup_that_can_not_be_made_says_why_and_gives_the_volume_back(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    await stage.target("add", name="nas", path=str(tmp_path / "nas"), default=True, shared=True)
    volume_id = await stage.volume(b"data")
    (tmp_path / "nas" / ".noded-backup-target").write_text("another\n")
    backup_id = await stage.back_up(volume_id)
    await stage.settle()
    shown = await stage.show(backup_id)
    assert (shown["status"], "another" in shown["fail_reason"]) == ("error", True)
    assert stage.volume_record(volume_id).status == "available"


async def test_a_restore_that_fails_leaves_the_backup_and_marks_the_volume(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    await stage.target("add", name="nas", path=str(tmp_path / "nas"), default=True, shared=True)
    volume_id = await stage.volume(b"data" * 10)
    backup_id = await stage.back_up(volume_id)
    await stage.settle()
    [stored] = (tmp_path / "nas").glob("*/*/00000001")
    stored.write_bytes(stored.read_bytes()[:-1] + b"?")
    restored = await stage.restore(backup_id)
    await stage.settle()
    shown = await stage.show(backup_id)
    assert (shown["status"], "damaged" in shown["fail_reason"]) == ("available", True)
    assert stage.volume_record(restored).status == "error_restoring"


async def test_a_deleted_volume_ends_its_backup(stage: Stage) -> None:
    volume_id = await stage.volume(b"data")
    backup_id = await stage.back_up(volume_id)
    refusal = await stage.refusal("DELETE", "/v3/volumes/{volume_id}", volume_id=volume_id)
    assert "backing-up" in refusal
    with stage.change() as change:
        delete_volume(change, volume_id)
    await stage.settle()
    assert (await stage.show(backup_id))["status"] == "error"
    assert stage.files() == []


@pytest.mark.parametrize("when", ["before it is taken", "while it is copied", "while it is restored"])
async def test_a_volume_whose_status_an_administrator_sets_is_nobodys_in_the_end(stage: Stage, when: str) -> None:
    volume_id = await stage.volume(b"data")
    backup_id = await stage.back_up(volume_id)
    node = stage.shared.cluster("node1")
    if when == "while it is restored":
        await stage.settle()
        await stage.restore(backup_id, volume_id=volume_id)
    if when != "before it is taken":
        turn = stage.record(backup_id).turn
        await node.propose(TakeBackup(backup_id=backup_id, node_id=node.node_id, turn=turn))
        assert stage.volume_record(volume_id).node_id == node.node_id
    await node.propose(ResetStatus(volume_id=volume_id, phase="available"))
    await stage.settle()
    volume = stage.volume_record(volume_id)
    assert (volume.status, volume.node_id) == ("available", None)
    assert stage.record(backup_id).work is None


async def test_what_cinder_refuses_is_refused(stage: Stage) -> None:
    volume_id = await stage.volume(b"data")
    create = ("POST", "/v3/backups")
    assert "No backups available" in await stage.refusal(
        *create, {"backup": {"volume_id": volume_id, "incremental": True}}
    )
    assert "uuid" in await stage.refusal(*create, {"backup": {"volume_id": "x"}})
    assert "could not be found" in await stage.refusal(
        *create, {"backup": {"volume_id": "00000000-0000-4000-8000-000000000000"}}
    )
    for body in (
        {"name": "n" * 256}, {"container": "../etc"}, {"container": "a/b"}, {"force": "maybe"}, {"unknown": 1},
        {"metadata": {"k": "v" * 256}},
    ):  # fmt: skip
        await stage.refusal(*create, {"backup": {"volume_id": volume_id, **body}})
    backup_id = await stage.back_up(volume_id)
    one = {"backup_id": backup_id}
    assert "backing-up" in await stage.refusal(*create, {"backup": {"volume_id": volume_id}})
    assert "must be available or error" in await stage.refusal("DELETE", "/v3/backups/{backup_id}", **one)
    assert "must be available" in await stage.refusal("POST", "/v3/backups/{backup_id}/restore", {"restore": {}}, **one)
    assert "must be available" in await stage.refusal("GET", "/v3/backups/{backup_id}/export_record", **one)
    await stage.refusal("POST", "/v3/backups/{backup_id}/action", {"os-reset_status": {"status": "creating"}}, **one)
    await stage.refusal("POST", "/v3/backups/{backup_id}/action", {"os-dance": {}}, **one)
    await stage.refusal("PUT", "/v3/backups/{backup_id}", {"backup": {}}, **one)
    await stage.settle()
    assert (await stage.show(backup_id))["status"] == "available"


async def test_an_administrator_ends_whatever_hangs(stage: Stage) -> None:
    volume_id = await stage.volume(b"data")
    backup_id = await stage.back_up(volume_id)
    await stage.act(backup_id, os_reset_status={"status": "error"})
    assert (await stage.show(backup_id))["status"] == "error"
    assert stage.volume_record(volume_id).status == "available"
    assert "not complete" in await stage.refusal(
        "POST", "/v3/backups/{backup_id}/action", {"os-reset_status": {"status": "available"}}, backup_id=backup_id
    )
    second = await stage.back_up(volume_id)
    await stage.act(second, os_force_delete={})
    await stage.delete(backup_id)
    await stage.settle()
    assert (stage.shared.machine.picture.count(Backup), stage.files()) == (0, [])
    assert stage.volume_record(volume_id).status == "available"


async def test_a_record_is_exported_and_imported(placed: Stage) -> None:
    volume_id = await placed.volume(b"data" * 1_000)
    backup_id = await placed.back_up(volume_id, name="kept")
    await placed.settle()
    record = (await placed.ask("GET", "/v3/backups/{backup_id}/export_record", backup_id=backup_id))["backup-record"]
    again = await placed.refusal("POST", "/v3/backups/import_record", {"backup-record": record})
    assert "exists already" in again
    new_id = "11111111-2222-4333-8444-555555555555"
    url = b64encode(dumps(loads(b64decode(record["backup_url"])) | {"id": new_id}).encode()).decode()
    body = {"backup-record": {**record, "backup_url": url}}
    assert (await placed.ask("POST", "/v3/backups/import_record", body))["backup"]["id"] == new_id
    await placed.settle()
    assert (await placed.show(new_id))["status"] == "available"
    await placed.delete(backup_id)
    await placed.settle()
    restored = await placed.restore(new_id)
    await placed.settle()
    assert placed.read(restored).rstrip(b"\0") == b"data" * 1_000
    await placed.delete(new_id)
    await placed.settle()
    assert placed.files() == []


@pytest.mark.parametrize("url", ["", "%%%", b64encode(b"{}").decode(), b64encode(b"[1]").decode()])
async def test_what_is_no_record_is_not_imported(stage: Stage, url: str) -> None:
    for service in ("cinder.backup.drivers.noded.pool", "other"):
        body = {"backup-record": {"backup_service": service, "backup_url": url}}
        await stage.refusal("POST", "/v3/backups/import_record", body)
    assert stage.shared.machine.picture.count(Backup) == 0


async def test_a_place_that_does_not_answer_is_waited_for(stage: Stage, tmp_path: Path, autojump_clock: object) -> None:
    (tmp_path / "nas").mkdir()
    await stage.target("add", name="nas", path=str(tmp_path / "nas"), default=True, shared=True)
    volume_id = await stage.volume(b"data")
    (tmp_path / "nas" / ".noded-backup-target").unlink()
    backup_id = await stage.back_up(volume_id)
    await stage.settle()
    shown = await stage.show(backup_id)
    assert (shown["status"], "not mounted" in shown["fail_reason"]) == ("error", True)
    assert stage.volume_record(volume_id).status == "available"


async def test_a_target_with_backups_stays(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    await stage.target("add", name="nas", path=str(tmp_path / "nas"), default=True)
    volume_id = await stage.volume(b"data")
    await stage.back_up(volume_id)
    await stage.settle()
    with pytest.raises(Exception, match="delete them first"):
        await stage.target("forget", name="nas")
    with pytest.raises(Exception, match="stays where it is"):
        await stage.target("add", name="nas", path=str(tmp_path / "nas"), seal_key=KEY)
    await stage.target("choose", name="pool")
    second = await stage.back_up(volume_id, incremental=True)
    await stage.settle()
    assert stage.record(second).file_id is not None
    restored = await stage.restore(second)
    await stage.settle()
    assert stage.read(restored, MIB).rstrip(b"\0") == b"data"


async def test_what_an_earlier_worker_reports_does_not_count(stage: Stage) -> None:
    volume_id = await stage.volume(b"data")
    backup_id = await stage.back_up(volume_id)
    first, second = stage.shared.cluster("node1"), stage.shared.cluster("node2")
    await first.propose(TakeBackup(backup_id=backup_id, node_id=first.node_id, turn=0))
    await second.propose(TakeBackup(backup_id=backup_id, node_id=second.node_id, turn=1))
    with pytest.raises(Exception, match="Another node"):
        await first.propose(FinishBackup(backup_id=backup_id, turn=1, object_count=1, stored_bytes=1, now_ms=0))
    assert stage.record(backup_id).work is Work.COPY


async def test_a_volume_in_use_is_backed_up_by_a_snapshot_of_its_own(stage: Stage, tmp_path: Path) -> None:
    volume_id = await stage.volume(b"guest" * 1_000)
    with stage.change() as change:
        attach_volume(change, volume_id, server_id="s", node_id=NodeId("node2"))
    await stage.settle()
    body = {"backup": {"volume_id": volume_id}}
    assert "force" in await stage.refusal("POST", "/v3/backups", body)
    backup_id = await stage.back_up(volume_id, force=True)
    frozen_id = stage.record(backup_id).source_id
    assert frozen_id not in (None, volume_id)
    assert stage.volume_record(volume_id).status == "in-use"
    await stage.settle()
    assert (await stage.show(backup_id))["status"] == "available"
    volume = stage.volume_record(volume_id)
    assert (volume.status, volume.server_id) == ("in-use", "s")
    snapshot = stage.shared.machine.picture.get(Volume, str(frozen_id))
    assert snapshot is None or snapshot.deleting, "the snapshot was made for the backup alone"
    restored = await stage.restore(backup_id)
    await stage.settle()
    assert stage.read(restored).rstrip(b"\0") == b"guest" * 1_000


async def test_a_volume_in_use_that_can_not_stand_still_fails_its_backup(stage: Stage) -> None:
    volume_id = await stage.volume(b"guest")
    with stage.change() as change:
        attach_volume(change, volume_id, server_id="s", node_id=NodeId("node2"))
    backup_id = await stage.back_up(volume_id, force=True)
    with stage.change() as change:
        give_up_cut(change, change.need(Cut, backup_id))
    await stage.settle()
    shown = await stage.show(backup_id)
    assert (shown["status"], "snapshot" in shown["fail_reason"]) == ("error", True)
    assert (stage.volume_record(volume_id).status, stage.files()) == ("in-use", [])


async def test_a_snapshot_is_backed_up_and_stays(stage: Stage) -> None:
    volume_id, snapshot_id = await stage.volume(b"then" * 1_000), VolumeId(new_uuid())
    with stage.change() as change:
        part = CutPart(volume_id=volume_id, frozen_id=snapshot_id)
        ask_for_cut(change, "cut", [part], hidden=False, now_ms=0)
    await stage.settle()
    stage.write(volume_id, 0, b"now" * 1_000)
    backup_id = await stage.back_up(volume_id, snapshot_id=snapshot_id)
    assert stage.volume_record(volume_id).status == "available"
    await stage.settle()
    assert (await stage.show(backup_id))["snapshot_id"] == snapshot_id
    assert not stage.volume_record(snapshot_id).deleting
    restored = await stage.restore(backup_id)
    await stage.settle()
    assert stage.read(restored).rstrip(b"\0") == b"then" * 1_000
    body = {"backup": {"volume_id": await stage.volume(b""), "snapshot_id": snapshot_id}}
    assert "could not be found" in await stage.refusal("POST", "/v3/backups", body)
