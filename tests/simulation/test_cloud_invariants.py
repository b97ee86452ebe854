"""Does the end of a simulated cloud's life notice what is wrong? Each test makes one thing wrong in a cloud at rest."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from compute.hypervisor import Guest, GuestDisk, GuestState
from compute.placement.model import Allocation
from compute.servers.model import Server
from consensus.store import Change
from net.ports.model import Port
from noded.core.ids import AttachmentId, PortId, Revision, ServerId
from storage.volumes.model import Attachment, Volume
from tests.simulation.cloud.invariants import check_cloud
from tests.simulation.cloud.world import CloudWorld
from tests.simulation.log.registers import Violation

SEEDS = range(11, 31)


@pytest.fixture(scope="module")
def at_rest() -> Iterator[CloudWorld]:
    """One in which some server runs, and was not touched since it was made."""
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as directory:
            world = CloudWorld(seed, Path(directory), seconds=12.0, faults=())
            world.run()
            if running_servers(world) and world.ledger.must_be("server"):
                yield world
                return
    raise AssertionError("users of all seeds made no server that runs")


@pytest.fixture
def world(at_rest: CloudWorld) -> Iterator[CloudWorld]:
    """The cloud, which is as it was after each test."""
    pictures = {node_id: daemon.machine._picture for node_id, daemon in at_rest.daemons.items()}
    guests = {node_id: dict(host.hypervisor.held) for node_id, host in at_rest.hosts.items()}
    taps = {node_id: host.dataplane.observed for node_id, host in at_rest.hosts.items()}
    ledger, bugs = at_rest.ledger, list(at_rest.bugs)
    yield at_rest
    for node_id, daemon in at_rest.daemons.items():
        daemon.machine._picture = pictures[node_id]
        at_rest.hosts[node_id].hypervisor._machine.guests = guests[node_id]
        at_rest.hosts[node_id].dataplane.observed = taps[node_id]
    at_rest.ledger, at_rest.bugs = ledger, bugs


def change(world: CloudWorld, act: Callable[[Change], None], nodes: int | None = None) -> None:
    """As a wrong command on so many nodes would."""
    for daemon in list(world.daemons.values())[:nodes]:
        machine = daemon.machine
        transaction = machine.picture.begin(Revision(machine.picture.revision + 1))
        act(transaction)
        machine._picture = transaction.commit()


def running_servers(world: CloudWorld) -> list[Server]:
    picture = next(iter(world.daemons.values())).machine.picture
    running = {
        server_id
        for host in world.hosts.values()
        for server_id, guest in host.hypervisor.held.items()
        if guest.state is GuestState.RUNNING
    }
    return [server for server in picture.all(Server) if server.id in running]


def some_server(world: CloudWorld) -> Server:
    return running_servers(world)[0]


def must_notice(world: CloudWorld, why: str) -> None:
    with pytest.raises(Violation, match=why):
        check_cloud(world)


def test_a_cloud_at_rest_is_right(world: CloudWorld) -> None:
    check_cloud(world)


def test_states_that_differ_are_noticed(world: CloudWorld) -> None:
    change(world, lambda tx: tx.delete(Server, some_server(world).id), nodes=1)
    must_notice(world, "different states")


def test_a_server_that_was_acknowledged_and_is_gone_is_noticed(world: CloudWorld) -> None:
    gone = next(iter(world.ledger.must_be("server")))
    change(world, lambda tx: tx.delete(Server, gone))
    must_notice(world, "acknowledged servers are lost")


def test_a_server_without_its_port_is_noticed(world: CloudWorld) -> None:
    change(world, lambda tx: tx.delete(Port, some_server(world).ports[0]))
    must_notice(world, "lacks its port")


def test_a_server_without_its_disk_is_noticed(world: CloudWorld) -> None:
    change(world, lambda tx: tx.delete(Volume, some_server(world).attachments[0].volume_id))
    must_notice(world, "lacks its volume")


def test_a_volume_that_is_still_on_its_way_is_noticed(world: CloudWorld) -> None:
    server = some_server(world)
    root = msgspec.structs.replace(server.attachments[0], attached=False)
    change(world, lambda tx: tx.put(msgspec.structs.replace(server, attachments=(root,))))
    must_notice(world, "still on its way")


def test_an_attachment_that_only_the_volume_knows_is_noticed(world: CloudWorld) -> None:
    server = some_server(world)
    volume = next(iter(world.daemons.values())).machine.picture.need(Volume, server.attachments[0].volume_id)
    stray = Attachment(id=AttachmentId("stray"), server_id=server.id, attached_ms=1)
    change(world, lambda tx: tx.put(msgspec.structs.replace(volume, attachments=(stray,))))
    must_notice(world, "does not have it")


async def test_a_volume_with_two_writers_is_noticed(world: CloudWorld) -> None:
    server = some_server(world)
    node_id = next(node_id for node_id in world.hosts if node_id != server.node_id)
    twin, root = ServerId("twin"), server.attachments[0].volume_id
    machine = world.hosts[node_id].hypervisor
    machine.held[twin] = Guest(server_id=twin, state=GuestState.RUNNING, run=1)
    await machine.plug(twin, GuestDisk(volume_id=root, socket="s"))
    must_notice(world, "two writers")


def test_an_allocation_without_an_owner_is_noticed(world: CloudWorld) -> None:
    node_id = next(iter(world.hosts))
    nobodys = Allocation(id="nobody's", node_id=node_id, vcpus=1, memory_mib=1)
    change(world, lambda tx: tx.put(nobodys))
    must_notice(world, "has no owner")


def test_memory_that_was_given_twice_is_noticed(world: CloudWorld) -> None:
    server = some_server(world)
    allocation = next(iter(world.daemons.values())).machine.picture.need(Allocation, server.id)
    change(world, lambda tx: tx.put(msgspec.structs.replace(allocation, memory_mib=1 << 20)))
    must_notice(world, "was given twice")


def test_an_address_that_was_handed_out_twice_is_noticed(world: CloudWorld) -> None:
    picture = next(iter(world.daemons.values())).machine.picture
    one = picture.need(Port, some_server(world).ports[0])
    twin = msgspec.structs.replace(one, id=PortId("twin"), device_id="", device_owner="", node_id=None)
    change(world, lambda tx: tx.put(twin))
    must_notice(world, "handed out twice")


def test_a_guest_of_no_server_is_noticed(world: CloudWorld) -> None:
    host = next(iter(world.hosts.values()))
    stranger = ServerId("stranger")
    host.hypervisor.held[stranger] = Guest(server_id=stranger, state=GuestState.RUNNING, run=1)
    must_notice(world, "runs guests of no server")


def test_a_guest_that_does_not_run_is_noticed(world: CloudWorld) -> None:
    server = some_server(world)
    held = world.hosts[server.node_id].hypervisor.held
    held[ServerId(server.id)] = replace(held[ServerId(server.id)], state=GuestState.OFF)
    must_notice(world, "should run")


def test_what_the_product_calls_unexpected_is_noticed(world: CloudWorld) -> None:
    world.bugs.append("pass failed")
    must_notice(world, "does not expect")
