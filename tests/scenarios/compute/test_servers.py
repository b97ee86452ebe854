"""What becomes of a request for a server: from 202 to ACTIVE, through everything that can happen, to nothing left."""

import re

import pytest
import trio
from trio.testing import MockClock

from compute.hypervisor import POOL_FULL, GuestState
from compute.servers.model import Server
from net.ports.model import Port
from storage.volumes.model import Volume
from tests.scenarios.compute.stage import IMAGE_ID, Stage, open_stage


async def test_a_created_server_becomes_active_with_an_address_and_a_disk() -> None:
    async with open_stage() as stage:
        server_id = await stage.create("Web 1", metadata={"role": "web"})
        assert await stage.status(server_id) == "BUILD"
        await stage.settle()
        server = await stage.show(server_id)
        assert server["status"] == "ACTIVE"
        assert server["addresses"]["net"][0]["addr"].startswith("192.168.5.")
        assert server["OS-EXT-STS:power_state"] == 1
        spec = stage.machine_of(server_id).hypervisor.spec(server_id)
        assert spec.memory_mib == 128
        assert [card.mac for card in spec.cards] == [server["addresses"]["net"][0]["OS-EXT-IPS-MAC:mac_addr"]]
        assert spec.disks[0].socket.endswith(f"{spec.disks[0].volume_id}.sock")
        root = stage.cloud.shared.machine.picture.need(Volume, spec.disks[0].volume_id)
        assert root.size_bytes == 1 << 30
        assert root.server_id == server_id


async def test_settling_again_changes_nothing() -> None:
    async with open_stage() as stage:
        await stage.create()
        await stage.settle()
        before = stage.cloud.shared.machine.picture.revision
        await stage.settle()
        assert stage.cloud.shared.machine.picture.revision == before


async def test_stop_start_and_both_reboots() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        hypervisor = stage.machine_of(server_id).hypervisor
        await stage.act(server_id, "os-stop")
        assert (await stage.show(server_id))["OS-EXT-STS:task_state"] == "powering-off"
        await stage.settle()
        assert await stage.status(server_id) == "SHUTOFF"
        await stage.act(server_id, "os-stop", status=409)
        await stage.act(server_id, "os-start")
        await stage.settle()
        assert await stage.status(server_id) == "ACTIVE"
        await stage.act(server_id, "os-start", status=409)
        for kind, word in (("SOFT", "REBOOT"), ("HARD", "HARD_REBOOT")):
            starts = len(hypervisor.started)
            await stage.act(server_id, "reboot", {"type": kind})
            assert await stage.status(server_id) == word
            await stage.settle()
            assert await stage.status(server_id) == "ACTIVE"
            assert len(hypervisor.started) == starts + 1


async def test_a_guest_that_ignores_its_button_loses_its_power(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        machine = stage.machine_of(server_id)
        machine.hypervisor.obeys_button = False
        await stage.act(server_id, "os-stop")
        await stage.settle()
        assert await stage.status(server_id) == "ACTIVE"
        assert 0 < machine.reconciler.period_s <= 10
        await trio.sleep(61)
        await stage.settle()
        assert await stage.status(server_id) == "SHUTOFF"
        await stage.act(server_id, "os-start")
        await stage.settle()
        assert await stage.status(server_id) == "ACTIVE"


async def test_a_guest_that_powers_itself_off_stays_off() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        stage.machine_of(server_id).hypervisor.end_itself(server_id)
        await stage.settle()
        assert await stage.status(server_id) == "SHUTOFF"
        await stage.settle()
        assert await stage.status(server_id) == "SHUTOFF"
        await stage.act(server_id, "os-start")
        await stage.settle()
        assert await stage.status(server_id) == "ACTIVE"


async def test_a_rebooted_host_starts_again_what_shall_run_and_nothing_else() -> None:
    async with open_stage() as stage:
        running, stopped = await stage.create("a"), await stage.create("b")
        await stage.settle()
        await stage.act(stopped, "os-stop")
        await stage.settle()
        for machine in stage.machines.values():
            machine.hypervisor.lose_power()
            machine.hypervisor.started.clear()
        for node in stage.machines:
            stage.restart_daemon(node)
        assert await stage.status(running) == "ACTIVE"
        await stage.settle()
        assert [each for machine in stage.machines.values() for each in machine.hypervisor.started] == [running]
        assert await stage.status(running) == "ACTIVE"
        assert await stage.status(stopped) == "SHUTOFF"


async def test_a_restarted_daemon_finds_its_guests_and_touches_none() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        machine = stage.machine_of(server_id)
        machine.hypervisor.started.clear()
        before = stage.cloud.shared.machine.picture.revision
        stage.restart_daemon(stage.record(server_id).node_id)
        await stage.settle()
        assert machine.hypervisor.started == []
        assert stage.cloud.shared.machine.picture.revision == before


async def test_a_guest_paused_by_its_disk_goes_on_when_the_disk_does(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        machine = stage.machine_of(server_id)
        machine.hypervisor.fail_disk(server_id, POOL_FULL.format(disks="vda"))
        for _ in range(3):
            await machine.reconciler.reconcile()
            await trio.sleep(machine.reconciler.period_s)
        assert (await machine.hypervisor.guests())[server_id].state is GuestState.PAUSED
        shown = await stage.show(server_id)
        assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("ACTIVE", 3)
        assert "its vda can't be written, because a disk of the pool is full" in shown["fault"]["message"]
        machine.hypervisor.disk_works = True
        with trio.fail_after(20):
            while (await machine.hypervisor.guests())[server_id].state is not GuestState.RUNNING:
                await trio.sleep(machine.reconciler.period_s)
                await machine.reconciler.reconcile()
        await stage.settle()
        shown = await stage.show(server_id)
        assert shown["OS-EXT-STS:power_state"] == 1
        assert "fault" not in shown


async def test_a_deleted_server_is_gone_at_once_and_leaves_nothing() -> None:
    async with open_stage() as stage:
        before = stage.volume_ids()
        server_id = await stage.create()
        await stage.settle()
        machine, port_id = stage.machine_of(server_id), stage.record(server_id).ports[0]
        root_id = stage.record(server_id).attachments[0].volume_id
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await stage.compute("GET", f"/servers/{server_id}", status=404)
        assert (await stage.compute("GET", "/servers", status=200))["servers"] == []
        await stage.settle()
        picture = stage.cloud.shared.machine.picture
        assert picture.get(Server, server_id) is None
        assert picture.get(Port, port_id) is None
        assert picture.need(Volume, root_id).deleting
        assert await machine.hypervisor.guests() == {}
        assert machine.wiring.plugged == set()
        assert machine.volumes.served == set()
        assert set(stage.memory_used().values()) == {0}
        assert before == stage.volume_ids() - {root_id}


async def test_a_server_deleted_while_its_node_is_away_is_removed_when_the_node_returns() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        node, machine = stage.record(server_id).node_id, stage.machine_of(server_id)
        stage.cloud.shared.up.discard(node)
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await stage.settle()
        assert server_id in await machine.hypervisor.guests()
        assert stage.memory_used()[node] == 128
        stage.cloud.shared.up.add(node)
        machine.hypervisor.lose_power()
        machine.hypervisor.started.clear()
        stage.restart_daemon(node)
        await stage.settle()
        assert machine.hypervisor.started == []
        assert await machine.hypervisor.guests() == {}
        assert stage.memory_used()[node] == 0


async def test_a_guest_that_no_record_mentions_is_left_alone() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        hypervisor = stage.machine_of(server_id).hypervisor
        machine = stage.cloud.shared.machine
        change = machine.picture.begin(type(machine.picture.revision)(machine.picture.revision + 1))
        change.delete(Server, server_id)
        machine._picture = change.commit()
        await stage.settle()
        assert (await hypervisor.guests())[server_id].state is GuestState.RUNNING


async def test_many_servers_at_once_have_names_addresses_and_nodes_of_their_own() -> None:
    async with open_stage() as stage:
        await stage.create("many", min_count=6, max_count=6)
        await stage.settle()
        servers = (await stage.compute("GET", "/servers/detail", status=200))["servers"]
        assert {server["name"] for server in servers} == {f"many-{number}" for number in range(1, 7)}
        assert {server["status"] for server in servers} == {"ACTIVE"}
        assert len({server["addresses"]["net"][0]["addr"] for server in servers}) == 6
        assert {server["OS-EXT-SRV-ATTR:host"] for server in servers} == {"node1", "node2", "node3"}


async def test_twenty_requests_through_three_nodes_never_take_more_memory_than_there_is() -> None:
    async with open_stage(memory_mib=128 * 7) as stage:
        refused: list[str] = []

        async def create(number: int) -> None:
            node = f"node{number % 3 + 1}"
            async with stage.cloud.client(node) as client:
                body = stage.server_body(f"s{number}")
                answer = await client.post("/compute/v2.1/servers", json=body, headers=stage.headers)
                if answer.status_code != 202:
                    refused.append(answer.text)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(create, number)
        assert refused == []
        assert sum(stage.memory_used().values()) == 20 * 128
        assert max(stage.memory_used().values()) <= 7 * 128
        await stage.create("s20")
        before = stage.cloud.shared.machine.picture.revision
        answer = await stage.compute("POST", "/servers", stage.server_body("s21"), status=409)
        message = answer["conflictingRequest"]["message"]
        for node in ("node1", "node2", "node3"):
            assert f"{node}: 0 MiB of memory free of 896, 128 needed" in message
        assert stage.cloud.shared.machine.picture.revision == before
        await stage.settle()
        servers = (await stage.compute("GET", "/servers/detail", status=200))["servers"]
        assert len({server["addresses"]["net"][0]["addr"] for server in servers}) == 21


async def test_a_node_that_is_away_gets_no_server_and_the_refusal_says_so() -> None:
    async with open_stage(memory_mib=128) as stage:
        stage.cloud.shared.up.discard("node3")
        await stage.create("a", min_count=2, max_count=2)
        answer = await stage.compute("POST", "/servers", stage.server_body(), status=409)
        message = answer["conflictingRequest"]["message"]
        assert "node3: not heard from within the last seconds" in message


async def test_what_cannot_be_started_says_why_and_is_tried_again(autojump_clock: MockClock) -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        machine = stage.machine_of(server_id)
        machine.wiring.fault = "the kernel has no VXLAN"
        with trio.fail_after(60):
            while await stage.status(server_id) == "BUILD":
                await machine.reconciler.reconcile()
                await trio.sleep(machine.reconciler.period_s)
        server = await stage.show(server_id)
        assert server["status"] == "ERROR"
        assert server["fault"]["message"] == "the kernel has no VXLAN"
        machine.wiring.fault = None
        await trio.sleep(20)
        await stage.settle()
        server = await stage.show(server_id)
        assert server["status"] == "ACTIVE"
        assert "fault" not in server


async def test_the_console_is_read_through_any_node() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        stage.machine_of(server_id).hypervisor.write_console(server_id, b"one\ntwo\nthree\n")
        for node in ("node1", "node2", "node3"):
            async with stage.cloud.client(node) as client:
                body = {"os-getConsoleOutput": {"length": 2}}
                path = f"/compute/v2.1/servers/{server_id}/action"
                answer = await client.post(path, json=body, headers=stage.headers)
                assert (answer.status_code, answer.json()) == (200, {"output": "two\nthree\n"})


async def test_an_unreachable_hypervisor_is_told_plainly() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        machine = stage.machine_of(server_id)
        machine.hypervisor.is_down = True
        with pytest.raises(Exception, match="does not answer"):
            await machine.reconciler.reconcile()
        assert await stage.status(server_id) == "BUILD"
        machine.hypervisor.is_down = False
        await stage.settle()
        assert await stage.status(server_id) == "ACTIVE"


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"name": "x" * 256}, 400, "255 characters"),
        ({"name": ""}, 400, "255 characters"),
        ({"colour": "red"}, 400, "unknown field `colour`"),
        ({"flavorRef": "99"}, 400, "Flavor 99 could not be found"),
        ({"imageRef": "no-such"}, 400, "no-such"),
        ({"networks": [{"uuid": "no-net"}]}, 400, "Network no-net could not be found"),
        ({"networks": [{"port": "no-port"}]}, 400, "Port no-port could not be found"),
        ({"key_name": "nobody"}, 400, "Invalid key_name"),
        ({"security_groups": [{"name": "none"}]}, 400, "Security group none not found"),
        ({"user_data": "%%%"}, 400, "base64"),
        ({"metadata": {"k" * 256: "v"}}, 400, "255"),
        ({"min_count": 3, "max_count": 2}, 400, "min_count"),
        ({"availability_zone": "mars"}, 400, "availability zone"),
        ({"description": "new"}, 400, "description"),
        ({"flavorRef": "6"}, 409, "MiB of memory free"),
        ({"networks": [{"uuid": "NET", "fixed_ip": "10.0.0.1"}]}, 400, "10.0.0.1"),
    ],
)
async def test_what_cannot_be_made_is_refused_and_nothing_is_half_made(
    change: dict[str, object], status: int, words: str
) -> None:
    async with open_stage() as stage:
        before = stage.cloud.shared.machine.digest()
        text = re.sub("NET", stage.network_id, str(change))
        body = stage.server_body(**eval(text))
        answer = await stage.compute("POST", "/servers", body, status=status)
        (fault,) = answer.values()
        assert words in fault["message"]
        assert stage.cloud.shared.machine.digest() == before


async def test_a_stranger_sees_no_server_and_may_not_touch_it() -> None:
    async with open_stage() as stage:
        server_id = await stage.create()
        await stage.settle()
        stranger = Stage(stage.cloud, stage.client, await stage.cloud.token_with(stage.client, "member"))
        await stranger.compute("GET", f"/servers/{server_id}", status=404)
        await stranger.compute("DELETE", f"/servers/{server_id}", status=404)
        await stranger.act(server_id, "os-stop", status=404)
        await stranger.act(server_id, "os-getConsoleOutput", {}, status=404)
        assert (await stranger.compute("GET", "/servers?all_tenants=1", status=200))["servers"] == []
        stranger.network_id = stage.network_id
        await stranger.compute("POST", "/servers", stranger.server_body(), status=400)
        reader = Stage(stage.cloud, stage.client, await stage.cloud.token_with(stage.client, "reader"))
        await reader.compute("POST", "/servers", reader.server_body(), status=403)


async def test_a_locked_server_is_held_for_its_owner_but_not_for_an_administrator() -> None:
    async with open_stage() as stage:
        member = Stage(stage.cloud, stage.client, await stage.cloud.token_with(stage.client, "member"))
        await stage.settle()
        body = {"server": {"name": "m", "imageRef": IMAGE_ID, "flavorRef": "1"}}
        server_id = (await member.compute("POST", "/servers", body, status=202))["server"]["id"]
        await stage.settle()
        await member.act(server_id, "lock")
        await member.act(server_id, "os-stop", status=409)
        await member.compute("DELETE", f"/servers/{server_id}", status=409)
        assert (await member.show(server_id, "2.9"))["locked"] is True
        await stage.act(server_id, "os-stop")
        await stage.settle()
        await member.act(server_id, "unlock")
        await member.compute("DELETE", f"/servers/{server_id}", status=204)
