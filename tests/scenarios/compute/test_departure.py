"""A node goes for good, and nothing names it any more: its servers run elsewhere, volumes do without its replicas."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

import consensus.members
from compute.servers.model import Server
from consensus.members.commands import AdmitNode, DrainNode, RemoveNode
from consensus.members.model import GoneNode
from net.ports.model import Port
from noded.core.departure import Departure, Leaver, departure_of
from noded.core.errors import NoRoom, Refused
from noded.core.ids import NodeId, VolumeId
from noded.core.store import View
from storage.pools.model import Disk
from storage.volumes.commands import choose_layout
from storage.volumes.model import Volume, disks_of
from tests.scenarios.compute.stage import Stage, open_stage

NODES = tuple(NodeId(f"node{number}") for number in (1, 2, 3))


@asynccontextmanager
async def town(memory_mib: int = 1024) -> AsyncIterator[Stage]:
    async with open_stage(memory_mib=memory_mib, more=(consensus.members.SERVICE,)) as stage:
        for number, node in enumerate(NODES):
            admit = AdmitNode(
                node_id=node, name=f"host{number}", addresses=(f"10.77.0.{number}",),
                fingerprint=node.ljust(64, "0"), release="1", now_ms=1,
            )  # fmt: skip
            await stage.cloud.shared.cluster("node1").propose(admit)
        yield stage


def view_of(stage: Stage) -> View:
    return stage.cloud.shared.machine.picture


def departure(stage: Stage, node: NodeId, *, answers: bool = False, forced: bool = False) -> Departure:
    shared = stage.cloud.shared
    hooks = [service.departure for service in shared.services if service.departure is not None]
    others = frozenset(NodeId(other) for other in shared.up if other != node)
    return departure_of(hooks, view_of(stage), Leaver(node_id=node, reachable=others, answers=answers, forced=forced))


async def forget(stage: Stage, node: NodeId, *, forced: bool = False) -> Departure:
    stage.cloud.shared.up.discard(node)
    found = departure(stage, node, forced=forced)
    asked = next(other for other in NODES if other != node)
    await stage.cloud.shared.cluster(asked).propose(*found.commands, RemoveNode(node_id=node, left=False, now_ms=9))
    return found


def naming(stage: Stage, node: NodeId) -> list[str]:
    """The records that name the node anywhere, but for who owned a volume's newest claim and the note of its going."""
    found = []
    for record in stage.cloud.shared.machine.picture.records():
        told = msgspec.structs.replace(record, owner_id=None) if isinstance(record, Volume) else record
        if f'"{node}"' in msgspec.json.encode(told).decode() and not isinstance(record, GoneNode):
            found.append(f"{type(record).__name__} {record.id}")
    return found


async def test_what_hung_on_a_dead_node_goes_on_elsewhere_and_nothing_names_the_node() -> None:
    async with town() as stage:
        servers = [await stage.create(f"s{number}") for number in range(6)]
        await stage.settle()
        node = view_of(stage).need(Server, servers[0]).node_id
        stopped = next(each for each in servers[1:] if view_of(stage).need(Server, each).node_id == node)
        await stage.act(stopped, "os-stop")
        await stage.settle()
        assert naming(stage, node)
        disk = view_of(stage).find(Disk, "node_id", node)[0]
        found = await forget(stage, node)
        assert {hold.noun for hold in found.holds} >= {"server", "disk", "replica", "port"}
        assert naming(stage, node) == []
        for volume in view_of(stage).all(Volume):
            assert disk.disk_id not in disks_of(volume.layout)
            assert len(volume.in_sync) == 2
        await stage.settle()
        for server_id in servers:
            wanted = "SHUTOFF" if server_id == stopped else "ACTIVE"
            assert await stage.status(server_id) == wanted
            server = view_of(stage).need(Server, server_id)
            ports = [view_of(stage).need(Port, port_id) for port_id in server.ports]
            assert {port.node_id for port in ports} == {server.node_id}
        assert sum(stage.memory_used().values()) == 6 * 128


async def test_a_tombstone_on_a_dead_node_is_settled_and_a_volume_of_it_too() -> None:
    async with town() as stage:
        server_id = await stage.create()
        await stage.settle()
        node = stage.record(server_id).node_id
        root = stage.record(server_id).attachments[0].volume_id
        await stage.compute("DELETE", f"/servers/{server_id}", status=204)
        await forget(stage, node)
        assert view_of(stage).get(Server, server_id) is None
        volume = view_of(stage).need(Volume, root)
        assert volume.deleting
        assert {view_of(stage).need(Disk, disk).node_id for disk in volume.disk_ids} == set(NODES) - {node}


async def test_servers_without_room_elsewhere_keep_their_node_from_going() -> None:
    async with town(memory_mib=256) as stage:
        servers = [await stage.create(f"s{number}") for number in range(5)]
        await stage.settle()
        node = view_of(stage).need(Server, servers[0]).node_id
        found = departure(stage, node)
        assert any("no other node has room for server" in each for each in found.obstacles)
        with pytest.raises(Refused):
            await forget(stage, node)


async def test_a_node_that_runs_servers_goes_only_by_force_and_the_last_replica_only_so_too() -> None:
    async with town() as stage:
        server_id = await stage.create()
        await stage.settle()
        node = stage.record(server_id).node_id
        assert departure(stage, node).losses == ()
        assert any("would be started anew" in loss for loss in departure(stage, node, answers=True).losses)
        others = [other for other in NODES if other != node]
        await forget(stage, node)
        await forget(stage, others[0])
        last = departure(stage, others[1])
        assert any("no other up-to-date replica" in loss for loss in last.losses)


async def test_forced_a_lost_volume_still_names_the_disk_that_alone_has_its_data() -> None:
    async with town() as stage:
        server_id = await stage.create()
        await stage.settle()
        root = stage.record(server_id).attachments[0].volume_id
        for node in NODES[:2]:
            await forget(stage, node, forced=True)
        disk = view_of(stage).find(Disk, "node_id", NODES[2])[0]
        found = departure(stage, NODES[2], forced=True)
        drop = [command for command in found.commands if "DropReplicas" in type(command).__name__]
        await stage.cloud.shared.cluster(NODES[2]).propose(*drop)
        assert disks_of(view_of(stage).need(Volume, root).layout) == (disk.disk_id,)
        kept = departure(stage, NODES[2])
        assert kept.losses
        refused = [command for command in kept.commands if "DropReplicas" in type(command).__name__]
        with pytest.raises(Refused, match="last up-to-date replica"):
            await stage.cloud.shared.cluster(NODES[2]).propose(*refused)


async def test_a_draining_node_gets_no_server_and_no_replica() -> None:
    async with town() as stage:
        await stage.cloud.shared.cluster("node1").propose(DrainNode(node_id=NODES[0], draining=True))
        servers = [await stage.create(f"s{number}") for number in range(4)]
        assert NODES[0] not in {stage.record(server_id).node_id for server_id in servers}
        layout = choose_layout(view_of(stage), set(NODES), VolumeId("v"), range(1))
        assert {view_of(stage).need(Disk, disk).node_id for disk in disks_of(layout)} == set(NODES[1:])
        for node in NODES[1:]:
            await stage.cloud.shared.cluster("node1").propose(DrainNode(node_id=node, draining=True))
        refused = await stage.compute("POST", "/servers", stage.server_body(), status=409)
        assert "drained" in str(refused)
        with pytest.raises(NoRoom, match="is being drained"):
            choose_layout(view_of(stage), set(NODES), VolumeId("v"), range(1))


async def test_volumes_go_with_their_server_and_what_it_was_giving_back_is_free() -> None:
    async with town() as stage:
        server_id = await stage.create()
        kept, going = await stage.new_volume(), await stage.new_volume()
        await stage.settle()
        await stage.attach(server_id, kept)
        await stage.attach(server_id, going)
        await stage.settle()
        node = stage.record(server_id).node_id
        stage.machine_of(server_id).hypervisor.lets_go = False
        await stage.detach(server_id, going)
        await stage.settle()
        await forget(stage, node)
        assert naming(stage, node) == []
        await stage.settle()
        assert await stage.status(server_id) == "ACTIVE"
        assert await stage.volume_status(kept) == "in-use"
        assert kept in stage.machine_of(server_id).hypervisor.plugged(stage.record(server_id).id)
        volume = view_of(stage).need(Volume, kept)
        assert [each.host for each in volume.attachments] == [stage.record(server_id).node_id]
        assert await stage.volume_status(going) == "available"
