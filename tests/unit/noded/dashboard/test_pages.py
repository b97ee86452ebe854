"""The pages as a browser gets them: from the gateway, which asks itself, of a cloud with simulated machines."""

import hashlib
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from consensus import history, members
from images.contents.links import ImageBytes
from images.contents.live import LiveUploads
from noded import dashboard, inspection
from noded.dashboard.links import LocalApi
from noded.dashboard.session import COOKIE
from noded.gateway.local import InProcessApi
from noded.inspection.links import Registry, VitalsReader
from noded.inspection.model import Space, StoreDigest, Vitals
from storage.backups.reconcile import BackupsReconciler
from tests.scenarios.compute.stage import SERVICES, Stage, open_stage
from tests.scenarios.images.stage import SimulatedBytes
from tests.twins.cloud import ADMIN_PASSWORD, BASE, api_certificate, serving

MORE = (members.SERVICE, history.SERVICE, inspection.SERVICE, dashboard.SERVICE)
PATIENCE_S = 10.0
SPACE = Space(total_bytes=8 << 30, used_bytes=1 << 30)
PAGES = ("/", "/servers", "/servers/new", "/images", "/images/new", "/networks", "/volumes", "/nodes", "/history")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2eB4pI3k1bW3p0bW3p0bW3p0bW3p0bW3p0bW3p0bW3 me"


class AllServices:
    """Implements `Registry`."""

    services = (*SERVICES, *MORE)

    def digest(self) -> StoreDigest:
        raise AssertionError("no page shows it")


class Idle:
    """Implements `VitalsReader`."""

    def read(self) -> Vitals:
        return Vitals(cpus=4, cpu_percent=1.0, load_1min=0.1, memory=SPACE, disks={"/d": SPACE}, uptime_s=1.0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_stage(more=MORE) as stage:
        for node, drivers in stage.cloud.shared.drivers.items():
            drivers.add(LocalApi, InProcessApi(stage.cloud.gateways[node]))
            drivers.add(Registry, AllServices())
            drivers.add(VitalsReader, Idle())
            drivers.add(ImageBytes, SimulatedBytes())
            drivers.add(LiveUploads, LiveUploads())
        yield stage


async def sign_in(browser: httpx.AsyncClient, password: str = ADMIN_PASSWORD, **more: str) -> httpx.Response:
    return await browser.post("/sign-in", data={"user": "admin", "password": password} | more)


@asynccontextmanager
async def signed_in(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with stage.cloud.client() as browser:
        assert (await sign_in(browser)).status_code == 303
        yield browser


async def test_a_stranger_is_led_to_the_door_and_from_there_where_they_wanted(stage: Stage) -> None:
    async with stage.cloud.client() as browser:
        away = await browser.get("/servers")
        assert (away.status_code, away.headers["location"]) == (303, "/sign-in?next=/servers")
        assert 'value="/servers"' in (await browser.get(away.headers["location"])).text
        back = await sign_in(browser, next="/servers")
        assert (back.status_code, back.headers["location"]) == (303, "/servers")
        assert (await browser.get("/servers")).status_code == 200


async def test_what_a_page_changes_is_said_to_come_from_the_browser(stage: Stage) -> None:
    async with signed_in(stage) as browser:
        assert (await browser.post("/sign-out")).status_code == 303
    shared = stage.cloud.shared
    origin = shared.codec.decode_entry(shared.entries[-1]).origin
    assert (origin.name, origin.address) == ("admin", "10.77.0.9")


async def test_the_timeline_shows_what_was_done_and_can_be_narrowed(stage: Stage) -> None:
    async with signed_in(stage) as browser:
        everything = await browser.get("/history")
        assert (everything.status_code, "created the user" in everything.text) == (200, True)
        assert "Head <code>" in everything.text
        narrow = await browser.get("/history", params={"user": "nobody of that name", "since": "2h"})
        assert "Nothing fits." in narrow.text
        assert 'value="nobody of that name"' in narrow.text
        assert "is no time" in (await browser.get("/history?since=yesterday")).text
        assert "Nothing fits." in (await browser.get("/history?before=1")).text


async def test_a_wrong_password_project_or_address_opens_nothing(stage: Stage) -> None:
    async with stage.cloud.client() as browser:
        wrong = await sign_in(browser, "guess")
        assert "Name or password is wrong." in wrong.text
        assert "You have no role on project none." in (await sign_in(browser, project="none")).text
        assert not browser.cookies
        # Browsers throw tabs and line ends out of an address before they read it.
        for elsewhere in (
            "//evil.test/",
            "/\\evil.test/",
            "/\t/evil.test/",
            "/\r\n/evil.test/",
            "/a\r\nx: y",
            "/\u20ac",
        ):
            assert (await sign_in(browser, next=elsewhere)).headers["location"] == "/"


async def test_a_volume_is_backed_up_restored_and_its_backup_deleted_by_forms(stage: Stage) -> None:
    async with signed_in(stage) as browser:
        shared = stage.cloud.shared
        work = [BackupsReconciler(shared.cluster(node), drivers) for node, drivers in sorted(shared.drivers.items())]
        token = await stage.cloud.admin(browser)
        body = {"volume": {"size": 1, "name": "data"}}
        volume = (await browser.post("/volume/v3/volumes", json=body, headers=token)).json()["volume"]["id"]
        assert "No backups yet." in (await browser.get("/volumes")).text
        assert (await browser.post(f"/volumes/{volume}/backup")).status_code == 303
        await shared.settle(*work)
        [backup] = (await browser.get("/volume/v3/backups", headers=token)).json()["backups"]
        assert backup["id"] in (await browser.get("/volumes")).text
        for action in ("restore", "delete"):
            assert (await browser.post(f"/volumes/backups/{backup['id']}/{action}")).status_code == 303
            await shared.settle(*work)
        page = (await browser.get("/volumes")).text
        assert ("No backups yet." in page, f"restore_backup_{backup['id']}" in page) == (True, True)
        assert (await browser.post(f"/volumes/backups/{backup['id']}/dance")).status_code == 404


async def test_an_image_is_made_filled_in_parts_changed_and_deleted_from_its_page(stage: Stage) -> None:
    async with signed_in(stage) as browser:
        made = await browser.post("/images", data={"name": "disk", "disk_format": "raw", "visibility": "shared"})
        page = made.headers["location"].split("?")[0]
        assert 'id="upload"' in (await browser.get(page)).text
        assert "script" in (await browser.get("/static/upload.js")).headers["content-type"]
        content = os.urandom((1 << 20) + 5)
        octets = {"content-type": "application/octet-stream"}
        for first, last, kept, status in ((0, (1 << 20) - 1, 1 << 20, "saving"), (1 << 20, (1 << 20) + 4, 0, "active")):
            said = {"content-range": f"bytes {first}-{last}/{len(content)}", **octets}
            told = (await browser.put(f"{page}/file", content=content[first : last + 1], headers=said)).json()
            assert told == {"offset": kept, "status": status, "fault": ""}
            assert (await browser.get(f"{page}/progress")).json() == told
            shown = (await browser.get(page)).text
            assert (("Go on with the same file" in shown), (hashlib.sha512(content).hexdigest() in shown)) == (
                status == "saving",
                status == "active",
            )
        for action, form in (
            ("change", {"property": "hw/bus", "value": "virtio"}),
            ("change", {"name": "renamed", "min_disk": "3", "visibility": "shared"}),
            ("share", {"member": "b" * 32}),
        ):
            assert (await browser.post(f"{page}/{action}", data=form)).headers["location"].endswith("?notice=Done.")
        shown = (await browser.get(page)).text
        assert all(word in shown for word in ("hw/bus", "virtio", "renamed", "3 GiB of disk", "b" * 32))
        for action, form in (
            ("unshare", {"member": "b" * 32}),
            ("change", {"property": "hw/bus", "remove": "1"}),
            ("deactivate", {}),
            ("reactivate", {}),
        ):
            assert (await browser.post(f"{page}/{action}", data=form)).headers["location"].endswith("?notice=Done.")
        shown = (await browser.get(page)).text
        assert ("hw/bus" in shown, "b" * 32 in shown) == (False, False)
        assert (await browser.post(f"{page}/dance")).status_code == 404
        assert (await browser.post(f"{page}/delete")).headers["location"].startswith("/images?")
        assert (await browser.get(page)).status_code == 404


async def test_what_the_api_refuses_is_said_on_the_images_page(stage: Stage) -> None:
    async with signed_in(stage) as browser:
        refused = await browser.post("/images", data={"name": "x", "disk_format": "floppy"})
        assert "floppy" in refused.text
        form = {"name": "x", "disk_format": "raw", "uri": "http://127.0.0.1/"}
        inwards = await browser.post("/images", data=form)
        assert "filtering" in inwards.headers["location"]
        page = inwards.headers["location"].split("?")[0]
        said = {"content-range": "bytes 5-9/10", "content-type": "application/octet-stream"}
        told = (await browser.put(f"{page}/file", content=b"01234", headers=said)).json()
        assert (told["offset"], "begins at byte 0" in told["fault"]) == (0, True)
        elsewhere = {**said, "origin": "https://evil.test"}
        assert (await browser.put(f"{page}/file", content=b"01234", headers=elsewhere)).status_code == 403


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_shown_whole_and_in_part(stage: Stage, path: str) -> None:
    async with signed_in(stage) as browser:
        for made in (False, True):
            if made:
                await stage.create("web")
                await stage.settle()
            page, part = await browser.get(path), await browser.get(path, params={"part": ""})
            assert (page.status_code, part.status_code) == (200, 200), page.text
            assert "</html>" in page.text
            assert "<html" not in part.text
            assert "default-src 'self'" in page.headers["content-security-policy"]


async def test_a_server_is_made_watched_stopped_and_deleted_by_forms(stage: Stage) -> None:
    async with signed_in(stage) as browser:
        form = {"name": "web", "image": "11111111-2222-4333-8444-555555555555", "flavor": "1"}
        made = await browser.post("/servers", data=form | {"network": stage.network_id, "key": "", "count": "1"})
        assert (made.status_code, made.headers["location"][:9]) == (303, "/servers?"), made.text
        await stage.settle()
        assert "Server web is being made." in (await browser.get(made.headers["location"])).text
        [server_id] = [each["id"] for each in (await stage.compute("GET", "/servers", status=200))["servers"]]
        stage.machine_of(server_id).hypervisor.write_console(server_id, b"login: <b>")
        page = (await browser.get(f"/servers/{server_id}")).text
        assert "ACTIVE" in page
        assert "login: &lt;b&gt;" in page
        for action, status in (("stop", "SHUTOFF"), ("start", "ACTIVE")):
            assert (await browser.post(f"/servers/{server_id}/{action}")).status_code == 303
            await stage.settle()
            assert status in (await browser.get(f"/servers/{server_id}")).text
        await browser.post(f"/servers/{server_id}/delete")
        await stage.settle()
        assert (await browser.get(f"/servers/{server_id}")).status_code == 404
        assert (await browser.post(f"/servers/{server_id}/explode")).status_code == 404


async def test_a_volume_is_attached_and_detached_with_two_forms(stage: Stage) -> None:
    server_id, volume_id = await stage.create("web"), await stage.new_volume()
    await stage.settle()
    path = f"/servers/{server_id}"
    async with signed_in(stage) as browser:
        assert f'value="{volume_id}"' in (await browser.get(path)).text
        answer = await browser.post(f"{path}/volumes", data={"volume_id": volume_id})
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, path)
        await stage.settle()
        page = (await browser.get(path)).text
        assert "/dev/vdb" in page
        assert f'value="{volume_id}"' not in page
        assert f'href="{path}"' in (await browser.get("/volumes")).text
        refused = await browser.post(f"{path}/volumes", data={"volume_id": volume_id})
        assert "Invalid%20volume" in refused.headers["location"]
        await browser.post(f"{path}/volumes/{volume_id}")
        await stage.settle()
        assert "/dev/vdb" not in (await browser.get(path)).text


async def test_a_refused_form_comes_back_filled_in_with_the_reason(stage: Stage) -> None:
    async with signed_in(stage) as browser:
        for wrong in ({"count": "²"}, {"image": "none"}, {}):
            page = await browser.post("/servers", data={"name": "my web", "flavor": "1"} | wrong)
            assert page.status_code == 200, page.text
            assert 'role="alert"' in page.text
            assert 'value="my web"' in page.text


async def test_whoever_has_one_key_finds_it_chosen(stage: Stage) -> None:
    await stage.compute("POST", "/os-keypairs", {"keypair": {"name": "mine", "public_key": KEY}}, status=200)
    async with signed_in(stage) as browser:
        assert "selected>mine<" in (await browser.get("/servers/new")).text


async def test_signing_out_kills_the_token(stage: Stage) -> None:
    async with signed_in(stage) as browser:
        token = browser.cookies[COOKIE]
        assert (await browser.get("/servers")).status_code == 200
        assert (await browser.post("/sign-out")).headers["location"] == "/sign-in"
        assert not browser.cookies
        answer = await browser.get("/compute/v2.1/servers", headers={"X-Auth-Token": token})
        assert answer.status_code == 401
        browser.cookies.set(COOKIE, token)
        assert (await browser.get("/servers")).status_code == 303


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/servers", "/servers/x/delete"])
async def test_a_form_of_another_site_is_refused(stage: Stage, path: str) -> None:
    async with signed_in(stage) as browser:
        form = {"user": "admin", "password": ADMIN_PASSWORD}
        answer = await browser.post(path, data=form, headers={"origin": "https://evil.test"})
        assert answer.status_code == 403
        assert "another site" in answer.text
        assert (await browser.get("/servers")).status_code == 200, "still signed in"
        own = await browser.post(path, data=form, headers={"origin": BASE})
        assert own.status_code != 403


async def test_who_only_reads_sees_no_nodes_and_makes_no_servers(stage: Stage) -> None:
    async with stage.cloud.client() as client, stage.cloud.client() as browser:
        headers = await stage.cloud.token_with(client, "reader")
        browser.cookies.set(COOKIE, headers["X-Auth-Token"])
        overview = (await browser.get("/")).text
        assert "nodes up" not in overview
        assert 'href="/nodes"' not in overview
        assert (await browser.get("/nodes")).status_code == 403
        assert (await browser.post("/servers", data={"name": "x"})).status_code == 403


async def test_what_is_no_file_of_ours_is_not_found(stage: Stage) -> None:
    async with stage.cloud.client() as browser:
        assert (await browser.get("/static/live.js")).headers["content-type"].startswith("text/javascript")
        for name in ("none", "..%2Fapi.py", "%2Fetc%2Fpasswd"):
            assert (await browser.get(f"/static/{name}")).status_code == 404


async def test_an_event_comes_after_a_change(stage: Stage, tmp_path: Path) -> None:
    context, ca = api_certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(ca))
    async with signed_in(stage) as browser, serving(stage.cloud, context) as base:
        stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", int(base.rpartition(":")[2]), ssl_context=trusted)
        async with stream:
            cookie = f"{COOKIE}={browser.cookies[COOKIE]}"
            await stream.send_all(f"GET /events HTTP/1.1\r\nhost: h\r\ncookie: {cookie}\r\n\r\n".encode())
            quiet = await until(stream, b"retry: 2000")
            assert b"content-type: text/event-stream" in quiet
            assert b"event: changed" not in quiet
            await stage.create("web")
            await until(stream, b"event: changed")


async def until(stream: trio.SSLStream[trio.SocketStream], words: bytes) -> bytes:
    received = b""
    with trio.fail_after(PATIENCE_S):
        while words not in received:
            received += await stream.receive_some(65536)
    return received
