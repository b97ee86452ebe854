"""The storage page, a volume's page and the doctor's, as a browser gets them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from msgspec.structs import replace

import consensus.members
from consensus.members.model import Node
from images.contents.live import LiveUploads
from noded import dashboard, doctor, inspection
from noded.core.ids import DiskId, NodeId
from noded.core.units import GIB
from noded.dashboard.links import LocalApi
from noded.dashboard.storage_views import forecast_words
from noded.doctor.model import FirstSeen
from noded.gateway.local import InProcessApi
from noded.inspection.links import Registry
from storage.disks.links import CapacityBook
from storage.disks.reconcile import CapacityReconciler
from storage.pools.links import DiskHardware, Smart
from storage.pools.model import Disk
from storage.volumes.model import Joining, Volume
from tests.scenarios.compute.stage import Stage, open_stage
from tests.scenarios.test_doctor import StageRegistry, put
from tests.twins.cloud import ADMIN_PASSWORD
from tests.twins.storage import SimulatedHardware


@asynccontextmanager
async def pages() -> AsyncIterator[tuple[Stage, httpx.AsyncClient]]:
    """A cloud with a server and a volume, and an administrator at a browser."""
    more = (consensus.members.SERVICE, inspection.SERVICE, doctor.SERVICE, dashboard.SERVICE)
    async with open_stage(more=more) as stage:
        put(
            stage,
            *(
                Node(id=NodeId(name), name=name, addresses=(), fingerprint=name, admitted_at_ms=1, release="1")
                for name in stage.machines
            ),
        )
        for node, drivers in stage.cloud.shared.drivers.items():
            drivers.add(LocalApi, InProcessApi(stage.cloud.gateways[node]))
            drivers.add(Registry, StageRegistry(stage))
            drivers.add(FirstSeen, FirstSeen())
            drivers.add(LiveUploads, LiveUploads())
        async with stage.cloud.client() as browser:
            form = {"user": "admin", "password": ADMIN_PASSWORD}
            assert (await browser.post("/sign-in", data=form)).status_code == 303
            yield stage, browser


def hardware(stage: Stage, node: str) -> SimulatedHardware:
    found = stage.cloud.shared.drivers[node].get(DiskHardware)
    assert isinstance(found, SimulatedHardware)
    return found


def disk_of(stage: Stage, node: str) -> Disk:
    [disk] = stage.cloud.shared.machine.picture.find(Disk, "node_id", node)
    return disk


async def said(browser: httpx.AsyncClient, path: str) -> str:
    answer = await browser.get(path)
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


async def test_the_page_shows_disks_their_drives_and_what_they_warn_of() -> None:
    async with pages() as (stage, browser):
        hardware(stage, "node2").smart["one"] = Smart(passed=True, temperature_c=71, warnings=("<8> sectors",))
        text = await said(browser, "/storage")
        assert text.count("data-disk=") == 3
        assert "&lt;8&gt; sectors" in text
        assert "71 °C" in text
        assert "100 GiB" in text
        assert "5 GiB are kept free" in text
        assert "it takes 6 hours of watching to tell" in text
        assert "Every replica is where it should be" in text


async def test_what_is_behind_or_moves_is_shown_with_how_far_it_is() -> None:
    async with pages() as (stage, browser):
        volume_id = await stage.new_volume(2)
        volume = stage.cloud.shared.machine.picture.need(Volume, volume_id)
        behind, here = volume.layout[0][0], disk_of(stage, "node1").disk_id
        moving = replace(volume, name="<data>", in_sync=volume.in_sync[1:], joining=(Joining(extent=1, disk_id=here),))
        put(stage, moving)
        text = await said(browser, "/storage")
        assert "&lt;data&gt;" in text
        names = {disk.id: f"{disk.node_id}:{disk.name}" for disk in stage.cloud.shared.machine.picture.all(Disk)}
        assert names[behind] in text
        assert f"extent 1 on {names[here]}" in text
        assert "1 volumes have replicas that are behind; 1 replicas are being made" in text
        page = await said(browser, f"/storage/volumes/{volume_id}")
        assert "2 GiB, 3 replicas" in page
        assert f"bring disk {behind} up to date" in page
        assert "nobody has served it yet" in page
        assert page.count("in sync") >= 2


async def test_a_volume_that_is_served_shows_how_fast_each_replica_answers() -> None:
    async with pages() as (stage, browser):
        server_id = await stage.create()
        await stage.settle()
        root = stage.record(server_id).attachments[0].volume_id
        page = await said(browser, f"/storage/volumes/{root}")
        assert page.count("0.5 ms") == 3
        assert f'<a href="/servers/{server_id}">' in page
        assert "Reads through to" in page
        assert (await browser.get("/storage/volumes/nobody")).status_code == 404


async def test_a_disk_is_drained_and_located_from_the_page() -> None:
    async with pages() as (stage, browser):
        disk = disk_of(stage, "node3")
        answer = await browser.post(f"/storage/disks/{disk.id}/drain")
        assert answer.status_code == 303
        assert disk_of(stage, "node3").draining
        assert "is being emptied" in await said(browser, answer.headers["location"])
        await browser.post(f"/storage/disks/{disk.id}/undrain")
        assert not disk_of(stage, "node3").draining
        answer = await browser.post(f"/storage/disks/{disk.id}/locate")
        assert hardware(stage, "node3").shining == {"one"}
        assert "Its light shines: /dev/simulated serial S1 slot 3" in await said(browser, answer.headers["location"])
        assert (await browser.post(f"/storage/disks/{disk.id}/melt")).status_code == 404
        answer = await browser.post(f"/storage/disks/{DiskId('f' * 32)}/drain")
        assert "No disk" in await said(browser, answer.headers["location"])
        hostile = await browser.post(f"/storage/disks/{disk.id}/drain", headers={"origin": "https://evil.test"})
        assert hostile.status_code == 403
        assert not disk_of(stage, "node3").draining


async def test_the_doctor_is_asked_from_the_page(autojump_clock: object) -> None:
    async with pages() as (stage, browser):
        assert "Everything is as the records say." in await said(browser, "/storage/doctor")
        hardware(stage, "node2").smart["one"] = Smart(passed=False, warnings=("it fails",))
        page = await said(browser, "/storage/doctor")
        assert "worn drive" in page
        assert "noded disk replace" in page


async def test_samples_are_taken_of_the_pool() -> None:
    async with pages() as (stage, _):
        shared = stage.cloud.shared
        await CapacityReconciler(shared.cluster("node1"), shared.drivers["node1"]).reconcile()
        [sample] = shared.drivers["node1"].get(CapacityBook).samples()
        assert (sample.used_bytes, sample.size_bytes) == (0, 3 * 95 * GIB)


def test_the_forecast_is_a_sentence() -> None:
    told = {"bytes_a_day": 3 * GIB, "full_in_days": 12.5, "why": ""}
    assert forecast_words(told) == "It fills by 3 GiB a day: at that rate it is full in 12.5 days."
    assert forecast_words({}) == ""
