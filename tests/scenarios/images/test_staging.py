"""What is staged outlives the daemon and the node that received it, until its image is imported or deleted."""

import os
from pathlib import Path

import pytest

from images.catalog.commands import boot_source
from images.contents.commands import AbortUpload
from images.contents.departure import departure
from images.contents.model import Upload
from noded.core.departure import Leaver
from noded.core.errors import Conflict, Forbidden, Invalid
from noded.core.ids import NodeId, ProjectId
from tests.scenarios.images.stage import Stage
from tests.twins.request import content_of
from tests.unit.images.builders import caller, qcow2

IMAGE = "/v2/images/{image_id}"
OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    await stage.settle()
    return stage


async def put(stage: Stage, image_id: str, data: bytes, node: str = "node2") -> None:
    await stage.ask("PUT", IMAGE + "/stage", node=node, pieces=[data], headers=OCTETS, image_id=image_id)


async def take(stage: Stage, image_id: str, node: str = "node1") -> None:
    await stage.ask("POST", IMAGE + "/import", node=node, body={"method": {"name": "glance-direct"}}, image_id=image_id)


async def test_another_node_imports_what_a_node_that_is_gone_received(stage: Stage) -> None:
    data, image_id = os.urandom(3_000_001), await stage.new_image()
    await put(stage, image_id, data)
    stage.forget_uploads("node2")
    await stage.settle()
    stage.shared.up.discard("node2")
    await stage.settle()
    assert stage.status(image_id) == "uploading"
    await take(stage, image_id, node="node3")
    assert (stage.status(image_id), stage.shared.machine.picture.count(Upload)) == ("active", 0)
    answer = await stage.ask("GET", IMAGE + "/file", image_id=image_id)
    assert await content_of(answer) == data


async def test_the_disk_is_made_when_the_file_is_staged(stage: Stage) -> None:
    image_id = await stage.new_image("qcow2")
    await put(stage, image_id, qcow2(size_bytes=5 << 30))
    assert len(stage.all_volumes()) == 2
    assert all(volume.immutable for volume in stage.all_volumes())
    await take(stage, image_id)
    assert boot_source(stage.shared.machine.picture, caller(), image_id).size_bytes == 5 << 30


async def test_no_server_is_made_from_what_is_only_staged(stage: Stage) -> None:
    image_id = await stage.new_image()
    await put(stage, image_id, b"disk")
    with pytest.raises((Conflict, Invalid)):
        boot_source(stage.shared.machine.picture, caller(), image_id)


async def test_deleting_the_image_frees_what_was_staged(stage: Stage) -> None:
    image_id = await stage.new_image()
    await put(stage, image_id, b"disk")
    await stage.ask("DELETE", IMAGE, image_id=image_id)
    await stage.settle()
    assert (stage.all_volumes(), stage.shared.machine.picture.count(Upload)) == ([], 0)


async def test_a_file_that_lies_is_refused_when_it_is_staged(stage: Stage) -> None:
    image_id = await stage.new_image("qcow2")
    with pytest.raises(Invalid):
        await put(stage, image_id, bytes(5000))
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes()) == ("queued", [])


async def test_an_upload_is_not_imported_before_it_is_staged(stage: Stage) -> None:
    image_id = await stage.new_image()
    with pytest.raises(Conflict, match="needs to be staged"):
        await take(stage, image_id)
    with pytest.raises(Forbidden):
        await stage.ask(
            "POST",
            IMAGE + "/import",
            who=caller(ProjectId("other")),
            body={"method": {"name": "glance-direct"}},
            image_id=await stage.new_image(visibility="community"),
        )


async def test_a_node_that_leaves_does_not_end_what_it_staged(stage: Stage) -> None:
    image_id = await stage.new_image()
    await put(stage, image_id, b"disk")
    [upload] = stage.shared.machine.picture.all(Upload)
    told = departure(stage.shared.machine.picture, Leaver(node_id=NodeId("node2"), reachable=frozenset()))
    assert (told.holds, told.commands) == ((), ())
    await stage.shared.cluster("node1").propose(AbortUpload(upload_id=upload.id))
    await take(stage, image_id)
    assert stage.status(image_id) == "active"
