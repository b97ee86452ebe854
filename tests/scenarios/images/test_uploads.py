"""An image is filled completely or not at all, whatever happens to the client, the file, the daemon or the node."""

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from images.catalog.commands import boot_source
from images.catalog.model import Image
from images.contents.model import Upload
from noded.core.errors import Conflict, Invalid, Refused, TooLarge
from noded.core.ids import VolumeId
from noded.core.route import Done
from storage.volumes.commands import clone_volume, delete_volume
from storage.volumes.model import Purpose, Volume
from tests.scenarios.images.stage import Stage
from tests.twins.request import content_of
from tests.unit.images.builders import MINE, caller, qcow2


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    await stage.settle()
    return stage


async def test_a_raw_image_is_stored_once_and_handed_out_as_it_came(stage: Stage) -> None:
    data = os.urandom(3_000_001)
    image_id = await stage.new_image()
    await stage.upload(image_id, [data[start : start + 70_000] for start in range(0, len(data), 70_000)])
    assert stage.status(image_id) == "active"
    image = stage.shared.machine.picture.need(Image, image_id)
    assert image.contents is not None
    assert image.contents.md5 == hashlib.md5(data).hexdigest()
    assert image.contents.sha512 == hashlib.sha512(data).hexdigest()
    [volume] = stage.all_volumes()
    assert (volume.immutable, volume.size_bytes, volume.purpose) == (True, 3_002_368, Purpose.IMAGE)
    answer = await stage.ask("GET", "/v2/images/{image_id}/file", node="node3", image_id=image_id)
    assert await content_of(answer) == data
    assert answer.headers["Content-MD5"] == image.contents.md5


async def test_a_range_is_handed_out_alone(stage: Stage) -> None:
    image_id = await stage.new_image()
    await stage.upload(image_id, [b"0123456789"], **{"content-length": "10"})
    for header, content in (
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=4-99", b"456789"),
    ):
        answer = await stage.ask("GET", "/v2/images/{image_id}/file", image_id=image_id, headers={"range": header})
        assert (await content_of(answer), answer.done) == (content, Done.PARTIAL)
    with pytest.raises(Refused, match="nothing is at"):
        await stage.ask("GET", "/v2/images/{image_id}/file", image_id=image_id, headers={"range": "bytes=10-"})


async def test_of_a_qcow2_image_servers_are_cloned_from_the_disk_inside(stage: Stage) -> None:
    image_id = await stage.new_image("qcow2")
    await stage.upload(image_id, [qcow2(size_bytes=5 << 30)])
    source = boot_source(stage.shared.machine.picture, caller(), image_id)
    assert source.size_bytes == 5 << 30
    assert len(stage.all_volumes()) == 2
    assert all(volume.immutable for volume in stage.all_volumes())


@pytest.mark.parametrize(
    ("disk_format", "content"),
    [("qcow2", bytes(5000)), ("raw", qcow2()), ("qcow2", qcow2(backing_offset=4096)), ("qcow2", qcow2(padding=104))],
)
async def test_a_file_that_lies_leaves_nothing_behind(stage: Stage, disk_format: str, content: bytes) -> None:
    image_id = await stage.new_image(disk_format)
    with pytest.raises(Invalid):
        await stage.upload(image_id, [content])
    await stage.settle()
    assert stage.status(image_id) == "queued"
    assert stage.all_volumes() == []


async def test_a_file_that_is_broken_inside_leaves_nothing_behind(stage: Stage) -> None:
    stage.bytes["node1"].broken = True
    image_id = await stage.new_image("qcow2")
    with pytest.raises(Invalid, match="broken inside"):
        await stage.upload(image_id, [qcow2()])
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes()) == ("queued", [])


async def test_a_client_that_goes_away_leaves_nothing_behind_and_may_try_again(stage: Stage) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield bytes(2_000_000)
        raise ConnectionResetError("the client is gone")

    image_id = await stage.new_image()
    with pytest.raises(ConnectionResetError):
        await stage.upload(image_id, breaks())
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes()) == ("queued", [])
    await stage.upload(image_id, [b"second try"])
    assert stage.status(image_id) == "active"


async def test_more_bytes_than_announced_are_refused(stage: Stage) -> None:
    image_id = await stage.new_image()
    with pytest.raises(TooLarge):
        await stage.upload(image_id, [os.urandom(5000)], **{"content-length": "4000"})
    assert stage.status(image_id) == "queued"


async def test_two_uploads_of_one_image_do_not_mix(stage: Stage) -> None:
    image_id = await stage.new_image()

    async def slow() -> AsyncIterator[bytes]:
        yield b"first"
        with pytest.raises(Conflict):
            await stage.upload(image_id, [b"second"], node="node2")
        yield b" still"

    await stage.upload(image_id, slow())
    answer = await stage.ask("GET", "/v2/images/{image_id}/file", image_id=image_id)
    assert await content_of(answer) == b"first still"


async def test_an_upload_dies_with_its_daemon(stage: Stage) -> None:
    image_id = await stage.new_image()

    async def daemon_stops() -> AsyncIterator[bytes]:
        yield bytes(100)
        stage.forget_uploads("node2")
        await stage.settle()
        assert (stage.status(image_id), stage.shared.machine.picture.count(Upload)) == ("queued", 0)

    with pytest.raises(Conflict, match="was ended"):
        await stage.upload(image_id, daemon_stops(), node="node2")
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes()) == ("queued", [])


async def test_deleting_an_image_ends_its_upload(stage: Stage) -> None:
    image_id = await stage.new_image()

    async def deleted() -> AsyncIterator[bytes]:
        yield bytes(100)
        await stage.ask("DELETE", "/v2/images/{image_id}", image_id=image_id)

    with pytest.raises(Refused):
        await stage.upload(image_id, deleted())
    await stage.settle()
    assert stage.all_volumes() == []


async def test_a_deleted_images_bytes_stay_until_the_last_server_made_from_it_is_gone(stage: Stage) -> None:
    image_id = await stage.new_image()
    await stage.upload(image_id, [b"disk"])
    source = boot_source(stage.shared.machine.picture, caller(), image_id)
    root = VolumeId("root")
    with stage.change() as change:
        clone_volume(
            change,
            volume_id=root,
            parent_id=source.volume_id,
            project_id=MINE,
            name="root",
            size_bytes=1 << 30,
            tail=(),
            purpose=Purpose.ROOT,
            now_ms=0,
        )
    await stage.ask("DELETE", "/v2/images/{image_id}", image_id=image_id)
    await stage.settle()
    assert {volume.id for volume in stage.all_volumes()} == {source.volume_id, root}
    with stage.change() as change:
        delete_volume(change, root)
    await stage.settle()
    assert stage.shared.machine.picture.count(Volume) == 0


async def test_what_was_uploaded_while_a_node_was_away_is_made_whole_when_it_returns(stage: Stage) -> None:
    image_id = await stage.new_image()
    await stage.upload(image_id, [b"disk"])
    [volume] = stage.all_volumes()
    with stage.change() as change:
        change.put(stage.behind(volume, volume.disk_ids[1]))
    stage.shared.up.discard(stage.node_of(volume.disk_ids[1]))
    await stage.settle()
    assert stage.all_volumes()[0].out_of_sync == volume.disk_ids[1:2]
    stage.shared.up.add(stage.node_of(volume.disk_ids[1]))
    await stage.settle()
    assert stage.all_volumes()[0].out_of_sync == ()
    assert sum(len(each.repaired) for each in stage.volumes.values()) == 1
