"""Images for the clients that people have: every verb of the `openstack` command, and the SDK."""

import hashlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openstack
import pytest
import trio

from noded.reconcile.loop import keep_reconciling
from tests.acceptance.openstack_images import ABSENT, lines, table, verb_of, verbs
from tests.api.stores import found_working_stores
from tests.house.source import ROOT
from tests.twins.cloud import ADMIN_PASSWORD, api_certificate, serving


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """A cloud by HTTPS whose reconcilers work, and its authority."""
    cloud, working = await found_working_stores(tmp_path)
    context, ca = api_certificate(tmp_path)
    async with serving(cloud, context) as url, trio.open_nursery() as nursery:
        for reconciler, cluster in working:
            nursery.start_soon(keep_reconciling, reconciler, cluster)
        yield url, ca
        nursery.cancel_scope.cancel()


def test_the_conversation_says_every_verb_and_the_page_of_images_tells_so() -> None:
    assert {verb for line in lines() if (verb := verb_of(line))} | set(ABSENT) == verbs()
    page = (ROOT / "docs" / "images.md").read_text()
    assert table() in page, "write it anew: python -m tests.acceptance.openstack_images --write-table"


async def test_every_image_verb_of_the_openstack_command_works(served: tuple[str, Path]) -> None:
    words = [sys.executable, "-m", "tests.acceptance.openstack_images", "--url", served[0], "--ca", str(served[1])]
    done = await trio.run_process(words, check=False, capture_stdout=True, stderr=subprocess.STDOUT, cwd=ROOT)
    assert done.returncode == 0, done.stdout.decode()


async def test_the_sdk_keeps_images(served: tuple[str, Path]) -> None:
    await trio.to_thread.run_sync(_by_sdk, *served)


def _by_sdk(url: str, ca: Path) -> None:
    cloud: Any = openstack.connect(
        auth_url=f"{url}/identity/v3",
        username="admin",
        password=ADMIN_PASSWORD,
        project_name="admin",
        user_domain_id="default",
        project_domain_id="default",
        region_name="RegionOne",
        cacert=str(ca),
    )
    images, content = cloud.image, os.urandom(300_000)
    image = images.create_image("disk", data=content, disk_format="raw", container_format="bare")
    image = images.get_image(image)
    assert (image.status, image.hash_value) == ("active", hashlib.sha512(content).hexdigest())
    assert [each.name for each in images.images(status="active")] == ["disk"]
    assert images.update_image(image, name="renamed", colour="red").properties["colour"] == "red"
    images.add_tag(image, "warm")
    assert images.find_image("renamed").tags == ["warm"]
    member = images.add_member(image, member_id="f" * 32)
    assert [each.status for each in images.members(image)] == ["pending"]
    images.remove_member(member, image)
    assert images.download_image(image).content == content
    images.deactivate_image(image)
    images.reactivate_image(image)
    staged = images.create_image("staged", disk_format="raw", container_format="bare")
    images.stage_image(staged, data=content)
    images.import_image(staged, method="glance-direct")
    assert images.get_image(staged).status == "active"
    assert [each.id for each in images.stores()] == ["pool"]
    assert "web-download" in images.get_import_info().import_methods["value"]
    assert len(list(images.tasks())) == 1
    for each in (image, staged):
        images.delete_image(each)
    assert list(images.images()) == []
