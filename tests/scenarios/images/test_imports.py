"""An import ends well or badly, whatever becomes of the server, the image, the daemon or the node."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from images.catalog.commands import boot_source
from images.catalog.model import Image
from images.import_rules.commands import SetImportRules
from images.import_rules.model import RulesForm
from images.tasks.model import KEPT_MS, Task
from images.tasks.views import status
from noded.core.errors import Conflict, Forbidden, Invalid, Unavailable
from noded.core.ids import ImageId, ProjectId
from tests.scenarios.images.stage import Stage
from tests.twins.request import content_of
from tests.unit.images.builders import ADMIN, caller, qcow2

IMAGE = "/v2/images/{image_id}"
URL = "http://images.example/disk.img"


@pytest.fixture
async def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    await stage.settle()
    return stage


async def download(stage: Stage, image_id: str, *, node: str = "node1", url: str = URL) -> None:
    body = {"method": {"name": "web-download", "uri": url}}
    await stage.ask("POST", IMAGE + "/import", node=node, body=body, image_id=image_id)


def shown(stage: Stage, image_id: str) -> Image:
    return stage.shared.machine.picture.need(Image, image_id)


def only_task(stage: Stage) -> Task:
    [task] = stage.shared.machine.picture.all(Task)
    return task


async def test_what_is_at_a_url_becomes_the_image(stage: Stage) -> None:
    content = stage.web.pages[URL] = os.urandom(3_000_001)
    image_id = await stage.new_image()
    await download(stage, image_id)
    assert stage.status(image_id) == "importing"
    with pytest.raises(Conflict):
        await stage.upload(image_id, [b"something else"])
    await stage.settle()
    answer = await stage.ask("GET", IMAGE + "/file", node="node3", image_id=image_id)
    assert await content_of(answer) == content
    contents = shown(stage, image_id).contents
    assert (stage.status(image_id), contents and contents.sha512) == ("active", hashlib.sha512(content).hexdigest())
    assert (status(only_task(stage)), shown(stage, image_id).task_id) == ("success", None)


async def test_a_disk_is_made_of_what_was_fetched(stage: Stage) -> None:
    stage.web.pages[URL] = qcow2(size_bytes=5 << 30)
    image_id = await stage.new_image("qcow2")
    await download(stage, image_id)
    await stage.settle()
    assert boot_source(stage.shared.machine.picture, caller(), image_id).size_bytes == 5 << 30


async def test_a_file_that_lies_is_refused_and_leaves_nothing(stage: Stage) -> None:
    stage.web.pages[URL] = bytes(100_000)
    image_id = await stage.new_image("qcow2")
    await download(stage, image_id)
    await stage.settle()
    assert (stage.status(image_id), stage.all_volumes(), shown(stage, image_id).import_failed) == ("queued", [], True)
    assert (status(only_task(stage)), "is not a qcow2 image" in only_task(stage).fault) == ("failure", True)
    stage.web.pages[URL] = qcow2()
    await download(stage, image_id)
    await stage.settle()
    assert (stage.status(image_id), shown(stage, image_id).import_failed) == ("active", False)


async def test_a_server_that_breaks_off_is_asked_again_a_few_times(stage: Stage, autojump_clock: MockClock) -> None:
    stage.web.pages[URL], stage.web.faults = b"disk", [Unavailable("It broke off.")]
    image_id = await stage.new_image()
    await download(stage, image_id)
    await stage.settle()
    assert (stage.status(image_id), len(stage.web.asked)) == ("active", 2)
    stage.web.asked.clear()
    stage.web.faults = [Unavailable("It broke off.")] * 9
    image_id = await stage.new_image()
    await download(stage, image_id)
    await stage.settle()
    assert (stage.status(image_id), len(stage.web.asked)) == ("queued", 3)


async def test_an_import_is_begun_anew_by_the_next_daemon_and_by_the_leader_for_a_node_that_is_gone(
    stage: Stage, autojump_clock: MockClock
) -> None:
    stage.web.pages[URL] = b"disk"
    image_id = await stage.new_image()
    await download(stage, image_id, node="node3")
    stage.shared.up.discard("node3")
    await stage.settle()
    assert stage.status(image_id) == "importing"
    for _ in range(8):
        await trio.sleep(10)
        await stage.settle()
    assert (stage.status(image_id), only_task(stage).node_id, only_task(stage).turn) == ("active", "node1", 1)


async def test_deleting_the_image_cuts_its_import_off(stage: Stage) -> None:
    stage.web.pages[URL] = bytes(100_000)
    image_id = await stage.new_image()
    await download(stage, image_id)

    async def deleted() -> None:
        await stage.ask("DELETE", IMAGE, image_id=image_id)

    async with trio.open_nursery() as nursery:
        stage.web.while_sending = lambda: nursery.start_soon(deleted)
        await stage.settle()
    await stage.settle()
    assert (stage.all_volumes(), status(only_task(stage))) == ([], "failure")


async def test_data_that_does_not_add_up_is_refused(stage: Stage) -> None:
    content = stage.web.pages[URL] = os.urandom(10_000)

    async def add(value: str, algorithm: str = "sha256") -> str:
        image_id = await stage.new_image()
        data = {"os_hash_algo": algorithm, "os_hash_value": value}
        body = {"url": URL, "validation_data": data}
        await stage.ask("POST", IMAGE + "/locations", body=body, image_id=image_id)
        await stage.settle()
        return image_id

    wrong, right = await add("0" * 64), await add(hashlib.sha256(content).hexdigest())
    assert (stage.status(wrong), stage.status(right)) == ("queued", "active")
    seen: Any = (await stage.ask("GET", IMAGE, image_id=right)).body
    assert (seen["os_hash_algo"], seen["os_hash_value"]) == ("sha256", hashlib.sha256(content).hexdigest())
    for value, algorithm in (("0" * 64, "sha512"), ("0" * 64, "sha1"), ("x" * 64, "sha256"), ("", "sha256")):
        with pytest.raises(Invalid):
            await add(value, algorithm)


async def test_what_the_operator_forbids_is_refused_at_once_and_when_it_is_fetched(stage: Stage) -> None:
    image_id = await stage.new_image()
    with pytest.raises(Invalid, match="filtering"):
        await download(stage, image_id, url="http://169.254.169.254/latest")
    await download(stage, image_id)
    rules = RulesForm(disallowed_hosts=("images.example",))
    await stage.shared.cluster("node1").propose(SetImportRules(rules=rules))
    await stage.settle()
    assert "filtering" in only_task(stage).fault


async def test_an_administrators_task_makes_an_image_and_takes_it_back_if_it_fails(
    stage: Stage, autojump_clock: MockClock
) -> None:
    stage.web.pages[URL] = b"disk"

    async def task(url: str) -> Task:
        keys = {"name": "made", "disk_format": "raw", "container_format": "bare"}
        body = {"type": "import", "input": {"import_from": url, "import_from_format": "raw", "image_properties": keys}}
        answer: Any = await stage.ask("POST", "/v2/tasks", who=ADMIN, body=body)
        await stage.settle()
        return stage.shared.machine.picture.need(Task, answer.body["id"])

    made, failed = await task(URL), await task("http://nowhere.example/")
    assert (status(made), stage.status(made.image_id)) == ("success", "active")
    assert status(failed) == "failure"
    assert stage.shared.machine.picture.get(Image, failed.image_id) is None


async def test_only_the_owner_imports_and_sees_what_was_done(stage: Stage) -> None:
    image_id = await stage.new_image(visibility="community")
    other = caller(ProjectId("other"))
    for verb, path, body in (
        ("POST", IMAGE + "/import", {"method": {"name": "web-download", "uri": URL}}),
        ("POST", IMAGE + "/locations", {"url": URL}),
        ("GET", IMAGE + "/tasks", None),
    ):
        with pytest.raises(Forbidden):
            await stage.ask(verb, path, who=other, body=body, image_id=image_id)


async def test_tasks_that_ended_long_ago_are_forgotten(stage: Stage) -> None:
    image_id = await stage.new_image()
    await stage.upload(image_id, [b"disk"])
    await stage.ask("POST", IMAGE + "/import", body={"method": {"name": "copy-image"}}, image_id=image_id)
    old = only_task(stage)
    with stage.change() as change:
        change.put(_aged(old))
    await stage.settle()
    assert stage.shared.machine.picture.count(Task) == 0


def _aged(task: Task) -> Task:
    assert task.ended_at_ms is not None
    return Task(
        id=task.id,
        kind=task.kind,
        method=task.method,
        image_id=ImageId(task.image_id),
        project_id=task.project_id,
        user_id=task.user_id,
        request_id=task.request_id,
        node_id=task.node_id,
        created_at_ms=0,
        updated_at_ms=0,
        ended_at_ms=task.ended_at_ms - KEPT_MS - 1,
    )
