"""Servers, flavors and keys by the unmodified `openstack` client: every word it needs is understood and answered."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from noded.reconcile.loop import keep_reconciling
from tests.api.stores import openstack
from tests.scenarios.compute.stage import Stage, open_stage
from tests.twins.cloud import api_certificate, serving


@asynccontextmanager
async def cloud_at_work(directory: Path) -> AsyncIterator[tuple[Stage, Any]]:
    """A cloud whose nodes reconcile by themselves, and the client: it returns what was printed, as JSON."""
    async with open_stage() as stage, trio.open_nursery() as nursery:
        for node, machine in stage.machines.items():
            nursery.start_soon(keep_reconciling, machine.reconciler, stage.cloud.shared.cluster(node))
        context, ca = api_certificate(directory)
        async with serving(stage.cloud, context) as base:

            async def client(*words: str, raw: bool = False) -> Any:
                printed = await openstack(base, ca, *words, *(() if raw else ("-f", "json")))
                return printed if raw else json.loads(printed)

            yield stage, client
        nursery.cancel_scope.cancel()


async def test_the_whole_life_of_a_server(tmp_path: Path) -> None:
    async with cloud_at_work(tmp_path) as (stage, client):
        public_key = tmp_path / "key.pub"
        public_key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2eB4pI3k1bW3p0bW3p0bW3p0bW3p0bW3p0bW3p0bW3 me\n")
        await client("keypair", "create", "--public-key", str(public_key), "mine")
        made = await client(
            *("server", "create", "--image", "tiny", "--flavor", "m1.nano", "--network", "net", "--key-name", "mine"),
            *("--property", "role=web", "--wait", "web"),
        )
        assert made["status"] == "ACTIVE"
        assert made["addresses"]["net"][0].startswith("192.168.5.")
        listed = await client("server", "list", "--long")
        assert [(each["Name"], each["Status"], each["Flavor"]) for each in listed] == [("web", "ACTIVE", "m1.nano")]
        stage.machine_of(made["id"]).hypervisor.write_console(made["id"], b"login: ")
        assert "login:" in await client("console", "log", "show", "web", raw=True)
        await client("server", "stop", "web", raw=True)
        await _until(stage, made["id"], "SHUTOFF")
        await client("server", "start", "web", raw=True)
        await _until(stage, made["id"], "ACTIVE")
        for how in ("--soft", "--hard"):
            await client("server", "reboot", how, "--wait", "web", raw=True)
            assert await stage.status(made["id"]) == "ACTIVE"
        await client("server", "set", "--name", "api", "--property", "tier=1", "web", raw=True)
        shown = await client("server", "show", "api")
        assert shown["properties"] == {"role": "web", "tier": "1"}
        assert shown["key_name"] == "mine"
        events = await client("server", "event", "list", "api")
        assert [each["Action"] for each in events] == ["reboot", "reboot", "start", "stop", "create"]
        await client("server", "delete", "--wait", "api", raw=True)
        assert await client("server", "list") == []


async def _until(stage: Stage, server_id: str, status: str) -> None:
    with trio.fail_after(10):
        while await stage.status(server_id) != status:
            await trio.sleep(0.01)


async def test_what_surrounds_servers(tmp_path: Path) -> None:
    async with cloud_at_work(tmp_path) as (_, client):
        assert "m1.nano" in {each["Name"] for each in await client("flavor", "list")}
        made = await client(
            "flavor", "create", "--ram", "64", "--vcpus", "1", "--disk", "1", "tiny", "--property", "a=b"
        )
        assert made["properties"] == {"a": "b"}
        assert (await client("flavor", "show", "tiny"))["ram"] == 64
        await client("flavor", "delete", "tiny", raw=True)
        assert {each["Hypervisor Hostname"] for each in await client("hypervisor", "list")} == {
            "node1",
            "node2",
            "node3",
        }
        assert (await client("hypervisor", "show", "node1"))["state"] == "up"
        assert {each["Binary"] for each in await client("compute", "service", "list")} == {"nova-compute"}
        assert (await client("availability", "zone", "list", "--compute"))[0]["Zone Name"] == "nova"
        await client("limits", "show", "--absolute")
        private = await client("keypair", "create", "made", raw=True)
        assert "PRIVATE KEY" in private
        assert [each["Name"] for each in await client("keypair", "list")] == ["made"]
        await client("keypair", "show", "made")
        await client("keypair", "delete", "made", raw=True)


async def test_what_does_not_fit_is_told_per_node(tmp_path: Path) -> None:
    async with cloud_at_work(tmp_path) as (_, client):
        create = ("server", "create", "--image", "tiny", "--flavor", "m1.small", "--network", "net", "big")
        try:
            await client(*create)
        except AssertionError as refused:
            told = str(refused)
        assert "node2: 1024 MiB of memory free of 1024, 2048 needed" in told


async def test_many_servers_by_one_command(tmp_path: Path) -> None:
    async with cloud_at_work(tmp_path) as (_, client):
        create = ("server", "create", "--image", "tiny", "--flavor", "m1.nano", "--max", "3", "--min", "3", "--wait")
        await client(*create, "many")
        names = {each["Name"] for each in await client("server", "list")}
        assert names == {"many-1", "many-2", "many-3"}
