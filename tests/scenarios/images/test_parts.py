"""An upload in parts is carried on from where it was kept, by whichever node is asked, or goes when nobody does."""

import hashlib
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from msgspec.structs import replace

from images.catalog.model import Image
from images.contents.commands import KeepUpload
from images.contents.departure import departure
from images.contents.model import Upload
from images.contents.reconcile.uploads import RESUMABLE_MS_MAX
from noded.core.departure import Leaver
from noded.core.errors import Conflict, Invalid, NotFound, TooLarge
from noded.core.ids import NodeId, ProjectId
from noded.core.route import Done, Response
from tests.scenarios.images.stage import Stage
from tests.twins.request import content_of
from tests.unit.images.builders import caller, qcow2

FILE = "/v2/images/{image_id}/file"
MIB = 1 << 20


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    await stage.settle()
    return stage


async def put(
    stage: Stage,
    image_id: str,
    said: str,
    pieces: bytes | Iterable[bytes] | AsyncIterator[bytes],
    *,
    node: str = "node1",
    verb: str = "file",
) -> Response:
    return await stage.ask(
        "PUT",
        f"/v2/images/{{image_id}}/{verb}",
        node=node,
        pieces=[pieces] if isinstance(pieces, bytes) else pieces,
        headers={"content-type": "application/octet-stream", "content-range": f"bytes {said}"},
        image_id=image_id,
    )


async def offset(stage: Stage, image_id: str, node: str = "node1") -> int:
    answer = await stage.ask("HEAD", FILE, node=node, image_id=image_id)
    return int(answer.headers["Upload-Offset"])


async def expect_whole(stage: Stage, image_id: str, content: bytes) -> None:
    contents = stage.shared.machine.picture.need(Image, image_id).contents
    assert contents is not None
    assert (contents.md5, contents.sha512) == (hashlib.md5(content).hexdigest(), hashlib.sha512(content).hexdigest())
    assert await content_of(await stage.ask("GET", FILE, image_id=image_id)) == content


async def test_parts_make_the_file_and_each_says_how_much_is_kept(stage: Stage) -> None:
    content, image_id = os.urandom(5 * MIB + 77), await stage.new_image()
    assert await offset(stage, image_id) == 0
    total = len(content)
    answer = await put(stage, image_id, f"0-{2 * MIB - 1}/{total}", content[: 2 * MIB])
    assert (answer.done, answer.headers["Upload-Offset"]) == (Done.ACCEPTED, str(2 * MIB))
    assert (stage.status(image_id), await offset(stage, image_id, "node3")) == ("saving", 2 * MIB)
    # What does not fill a mebibyte is sent again.
    answer = await put(stage, image_id, f"{2 * MIB}-{3 * MIB + 4}/{total}", content[2 * MIB : 3 * MIB + 5])
    assert answer.headers["Upload-Offset"] == str(3 * MIB)
    await put(stage, image_id, f"{3 * MIB}-{total - 1}/{total}", content[3 * MIB :])
    assert stage.status(image_id) == "active"
    await expect_whole(stage, image_id, content)


async def test_another_node_carries_on_what_a_node_that_is_gone_received(stage: Stage) -> None:
    content, image_id = os.urandom(3 * MIB), await stage.new_image()
    await put(stage, image_id, f"0-{2 * MIB - 1}/*", content[: 2 * MIB], node="node2")
    stage.forget_uploads("node2")
    stage.shared.up.discard("node2")
    await stage.settle()
    assert stage.status(image_id) == "saving"
    await put(stage, image_id, f"{2 * MIB}-{3 * MIB - 1}/{3 * MIB}", content[2 * MIB :], node="node3")
    await expect_whole(stage, image_id, content)


async def test_what_a_client_sent_before_it_went_is_kept(stage: Stage) -> None:
    content, image_id = os.urandom(4 * MIB), await stage.new_image()

    async def half() -> AsyncIterator[bytes]:
        yield content[: 2 * MIB + 500]
        raise ConnectionResetError("the client is gone")

    with pytest.raises(ConnectionResetError):
        await put(stage, image_id, f"0-{4 * MIB - 1}/{4 * MIB}", half())
    await stage.settle()
    assert (stage.status(image_id), await offset(stage, image_id)) == ("saving", 2 * MIB)
    await put(stage, image_id, f"{2 * MIB}-{4 * MIB - 1}/{4 * MIB}", content[2 * MIB :])
    await expect_whole(stage, image_id, content)


async def test_zeroes_replace_what_was_written_and_not_kept(stage: Stage) -> None:
    content, image_id = os.urandom(MIB) + bytes(2 * MIB), await stage.new_image()
    await put(stage, image_id, f"0-{3 * MIB - 1}/*", content[:MIB] + os.urandom(2 * MIB))
    [upload] = stage.shared.machine.picture.all(Upload)
    with stage.change() as change:  # as a node that dies before it has said so leaves it
        change.put(replace(upload, kept_bytes=MIB))
    await put(stage, image_id, f"{MIB}-{3 * MIB - 1}/{3 * MIB}", content[MIB:])
    await expect_whole(stage, image_id, content)


async def test_a_part_that_is_not_the_next_one_is_refused_and_ends_nothing(stage: Stage) -> None:
    image_id, part = await stage.new_image(), os.urandom(MIB)
    with pytest.raises(Conflict, match="begins at byte 0"):
        await put(stage, image_id, f"{MIB}-{2 * MIB - 1}/*", part)
    await put(stage, image_id, f"0-{MIB - 1}/{3 * MIB}", part)
    for said, body in ((f"0-{MIB - 1}/*", part), (f"{2 * MIB}-{3 * MIB - 1}/*", part)):
        with pytest.raises(Conflict, match=f"goes on at byte {MIB}"):
            await put(stage, image_id, said, body)
    with pytest.raises(Conflict, match="was said to have"):
        await put(stage, image_id, f"{MIB}-{2 * MIB - 1}/{2 * MIB}", part)
    for last, body in ((3 * MIB - 1, part[:-1]), (2 * MIB - 1, part + b"x")):
        with pytest.raises(Invalid, match="The body"):
            await put(stage, image_id, f"{MIB}-{last}/{3 * MIB}", body)
        assert stage.status(image_id) == "saving"
    with pytest.raises(Conflict):
        await stage.upload(image_id, [b"all at once"])
    with pytest.raises(Conflict):
        await put(stage, image_id, f"{MIB}-{2 * MIB - 1}/{3 * MIB}", part, verb="stage")


@pytest.mark.parametrize("said", ["0-0", "5-4/9", "0-9/9", "*/*", "0-1/x", "", f"0-{1 << 41}/*", f"0-0/{1 << 41}"])
async def test_a_part_that_can_not_be_is_refused(stage: Stage, said: str) -> None:
    image_id = await stage.new_image()
    with pytest.raises((Invalid, TooLarge)):
        await put(stage, image_id, said, b"x")
    assert stage.status(image_id) == "queued"


async def test_two_senders_of_parts_do_not_mix(stage: Stage) -> None:
    image_id, part = await stage.new_image(), os.urandom(MIB)

    async def slow() -> AsyncIterator[bytes]:
        yield part[:10]
        with pytest.raises(Conflict, match="right now"):
            await put(stage, image_id, f"0-{MIB - 1}/*", part)
        yield part[10:]

    await put(stage, image_id, f"0-{MIB - 1}/*", b"")
    await put(stage, image_id, f"0-{MIB - 1}/{MIB}", slow())
    await expect_whole(stage, image_id, part)


async def test_a_node_that_lost_the_upload_to_another_says_nothing_of_it(stage: Stage) -> None:
    image_id, part = await stage.new_image(), os.urandom(MIB)
    await put(stage, image_id, f"0-{MIB - 1}/*", part)
    [upload] = stage.shared.machine.picture.all(Upload)
    late = KeepUpload(upload_id=upload.id, node_id=NodeId("node2"), kept_bytes=9 * MIB, release=False, now_ms=0)
    with pytest.raises(Conflict):
        await stage.shared.cluster("node2").propose(late)


async def test_a_file_that_lies_ends_its_upload_whenever_that_is_seen(stage: Stage) -> None:
    image_id = await stage.new_image("qcow2")
    with pytest.raises(Invalid, match="is not a qcow2"):
        await put(stage, image_id, f"0-{MIB - 1}/*", bytes(MIB))
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes()) == ("queued", [])
    stage.bytes["node1"].broken = True
    with pytest.raises(Invalid, match="broken inside"):
        await put(stage, image_id, "0-4095/4096", qcow2())
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes()) == ("queued", [])


async def test_a_disk_is_made_when_the_last_part_came_and_again_after_a_fault(stage: Stage) -> None:
    content, image_id = qcow2(size_bytes=5 << 30).ljust(2 * MIB, b"\0"), await stage.new_image("qcow2")
    await put(stage, image_id, f"0-{MIB - 1}/*", content[:MIB])
    await put(stage, image_id, f"{MIB}-{2 * MIB - 1}/*", content[MIB:])
    await put(stage, image_id, f"*/{2 * MIB}", [])
    assert (stage.status(image_id), len(stage.all_volumes())) == ("active", 2)


async def test_parts_are_staged_too(stage: Stage) -> None:
    content, image_id = os.urandom(2 * MIB), await stage.new_image()
    await put(stage, image_id, f"0-{MIB - 1}/*", content[:MIB], verb="stage")
    assert stage.status(image_id) == "uploading"
    await put(stage, image_id, f"{MIB}-{2 * MIB - 1}/{2 * MIB}", content[MIB:], verb="stage")
    await stage.ask(
        "POST", "/v2/images/{image_id}/import", body={"method": {"name": "glance-direct"}}, image_id=image_id
    )
    await expect_whole(stage, image_id, content)


async def test_an_upload_is_given_up_by_its_owner_or_forgotten_after_a_day(stage: Stage) -> None:
    image_id, part = await stage.new_image(), os.urandom(MIB)
    with pytest.raises(Conflict):
        await stage.ask("DELETE", FILE, image_id=image_id)
    await put(stage, image_id, f"0-{MIB - 1}/*", part)
    with pytest.raises(NotFound):
        await stage.ask("DELETE", FILE, image_id=image_id, who=caller(ProjectId("other")))
    await stage.ask("DELETE", FILE, image_id=image_id)
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes()) == ("queued", [])
    await put(stage, image_id, f"0-{MIB - 1}/*", part)
    [upload] = stage.shared.machine.picture.all(Upload)
    with stage.change() as change:
        change.put(replace(upload, kept_at_ms=upload.kept_at_ms - RESUMABLE_MS_MAX - 60_000))
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes()) == ("queued", [])


async def test_deleting_the_image_frees_what_was_kept(stage: Stage) -> None:
    image_id = await stage.new_image()
    await put(stage, image_id, f"0-{MIB - 1}/*", os.urandom(MIB))
    await stage.ask("DELETE", "/v2/images/{image_id}", image_id=image_id)
    await stage.settle()
    assert (stage.all_volumes(), stage.shared.machine.picture.count(Upload)) == ([], 0)


async def test_a_node_that_leaves_lets_go_of_what_it_keeps(stage: Stage) -> None:
    image_id, part = await stage.new_image(), os.urandom(2 * MIB)
    await put(stage, image_id, f"0-{MIB - 1}/*", part[:MIB], node="node2")
    [upload] = stage.shared.machine.picture.all(Upload)
    [volume] = stage.all_volumes()
    with stage.change() as change:  # as a daemon that died in the middle of a part leaves it
        change.put(replace(volume, node_id=NodeId("node2")))
    told = departure(stage.shared.machine.picture, Leaver(node_id=NodeId("node2"), reachable=frozenset()))
    assert told.holds == ()
    await stage.shared.cluster("node1").propose(*told.commands)
    assert stage.all_volumes()[0].node_id is None
    await put(stage, image_id, f"{MIB}-{2 * MIB - 1}/{2 * MIB}", part[MIB:])
    await expect_whole(stage, image_id, part)
    assert upload.kept_bytes == MIB
