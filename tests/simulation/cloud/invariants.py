"""What must be true of a cloud at rest: one state, all that was acknowledged, nothing half made, hosts as told."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from compute.hypervisor import GuestState
from compute.keypairs.model import Keypair
from compute.placement.model import Allocation, ComputeNode
from compute.servers.model import Power, Server
from images.catalog.model import Image
from net.dataplane.model import tap_name
from net.networks.model import Network
from net.ports.model import COMPUTE_OWNER, Port
from noded.core.store import View
from noded.doctor.views import of_records
from noded.services import SERVICES
from storage.volumes.model import Purpose, Volume
from tests.simulation.cloud.users import Ledger
from tests.simulation.log.registers import Violation

if TYPE_CHECKING:
    from tests.simulation.cloud.host import Host
    from tests.simulation.cloud.world import CloudWorld


def check_cloud(world: "CloudWorld") -> None:
    """Raises Violation with the first thing that is wrong."""
    if world.bugs:
        raise Violation(f"the product met what it does not expect: {world.bugs[0]}")
    digests = {node_id: daemon.machine.digest() for node_id, daemon in world.daemons.items()}
    _must(len(set(digests.values())) == 1, f"nodes hold different states: {digests}")
    chains = {daemon.machine.link for daemon in world.daemons.values()}
    _must(len(chains) == 1, f"nodes tell different histories: {chains}")
    view = next(iter(world.daemons.values())).cluster.view()
    _check_ledger(view, world.ledger)
    _check_servers(view)
    _check_attachments(view)
    _check_writers(world.hosts.values())
    _check_leftovers(view)
    _check_addresses(view)
    _check_as_the_doctor_does(view)
    _check_capacity(view)
    for host in world.hosts.values():
        _check_host(view, host)


def _check_as_the_doctor_does(view: View) -> None:
    found = of_records(SERVICES, view)
    _must(not found, f"noded doctor finds: {found[:1]}")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


def _check_ledger(view: View, ledger: Ledger) -> None:
    there = {
        "network": {one.id for one in view.all(Network)},
        "port": {one.id for one in view.all(Port)},
        "volume": {one.id for one in view.all(Volume)},
        "server": {one.id for one in view.all(Server)},
        "image": {one.id for one in view.all(Image)},
        "keypair": {one.name for one in view.all(Keypair)},
    }
    for kind, found in there.items():
        lost = ledger.must_be(kind) - found
        _must(not lost, f"acknowledged {kind}s are lost: {sorted(lost)}")
        risen = ledger.must_not_be(kind) & found
        _must(not risen, f"deleted {kind}s are still there: {sorted(risen)}")


def _check_servers(view: View) -> None:
    for server in view.all(Server):
        for port_id in server.ports:
            port = view.get(Port, port_id)
            _must(port is not None, f"server {server.id} lacks its port {port_id}")
            assert port is not None
            _must(port.device_id == server.id, f"port {port_id} of server {server.id} belongs to {port.device_id!r}")
            _must(port.node_id == server.node_id, f"port {port_id} is bound elsewhere than its server {server.id}")
        for attachment in server.attachments:
            volume = view.get(Volume, attachment.volume_id)
            _must(volume is not None, f"server {server.id} lacks its volume {attachment.volume_id}")
            assert volume is not None
            _must(volume.server_id == server.id, f"volume {volume.id} of server {server.id} belongs to another")
        allocation = view.get(Allocation, server.id)
        _must(allocation is not None, f"server {server.id} has no allocation")
        assert allocation is not None
        _must(allocation.node_id == server.node_id, f"the allocation of server {server.id} is on another node")


def _check_attachments(view: View) -> None:
    """Servers and volumes say the same of each other, and nothing is on its way any more."""
    servers = {server.id: server for server in view.all(Server)}
    for server in servers.values():
        for ours in server.attachments:
            _must(ours.settled, f"volume {ours.volume_id} of server {server.id} is still on its way")
            if ours.id:
                theirs = view.need(Volume, ours.volume_id).attachments
                _must(ours.id in {each.id for each in theirs}, f"volume {ours.volume_id} knows not server {server.id}")
    for volume in view.all(Volume):
        for each in volume.attachments:
            owner = servers.get(each.server_id)  # type: ignore[call-overload]
            has = owner is not None and each.id in {ours.id for ours in owner.attachments}
            _must(has, f"volume {volume.id} is attached to server {each.server_id}, which does not have it")
            _must(volume.node_id == owner.node_id, f"volume {volume.id} is on another node than server {owner.id}")
            _must(each.attached_ms is not None and not each.detaching, f"volume {volume.id} is still on its way")


def _check_writers(hosts: Iterable["Host"]) -> None:
    holders = Counter(
        volume_id
        for host in hosts
        for server_id in host.hypervisor.held
        for volume_id in host.hypervisor.plugged(server_id)
    )
    shared = [volume_id for volume_id, count in holders.items() if count > 1]
    _must(not shared, f"volumes have two writers: {shared}")


def _check_leftovers(view: View) -> None:
    servers = {server.id: server for server in view.all(Server)}
    for allocation in view.all(Allocation):
        _must(allocation.id in servers, f"allocation {allocation.id} has no owner")
    for port in view.all(Port):
        if port.device_owner == COMPUTE_OWNER:
            owner = servers.get(port.device_id)  # type: ignore[call-overload]
            _must(owner is not None and port.id in owner.ports, f"port {port.id} belongs to no server that has it")
    for volume in view.all(Volume):
        # What others are cloned from stays until the last of them is gone.
        has_clones = bool(view.find(Volume, "parent_id", volume.id))
        _must(not volume.deleting or has_clones, f"volume {volume.id} is still being deleted")
        if volume.purpose is Purpose.ROOT:
            _must(volume.server_id in servers, f"root disk {volume.id} has no server")


def _check_addresses(view: View) -> None:
    given = Counter((ip.subnet_id, ip.ip_address) for port in view.all(Port) for ip in port.fixed_ips)
    twice = [place for place, count in given.items() if count > 1]
    _must(not twice, f"addresses were handed out twice: {twice}")
    macs = Counter((port.network_id, port.mac) for port in view.all(Port))
    _must(all(count == 1 for count in macs.values()), "a MAC address was handed out twice")


def _check_capacity(view: View) -> None:
    for node in view.all(ComputeNode):
        held = view.find(Allocation, "node_id", node.id)
        _must(sum(each.memory_mib for each in held) <= node.memory_mib, f"the memory of {node.name} was given twice")
        _must(sum(each.vcpus for each in held) <= node.vcpus_max, f"the CPUs of {node.name} were given twice")


def _check_host(view: View, host: "Host") -> None:
    servers = {server.id: server for server in view.find(Server, "node_id", host.node_id)}
    guests = host.hypervisor.held
    strangers = guests.keys() - servers.keys()
    _must(not strangers, f"{host.name} runs guests of no server: {sorted(strangers)}")
    taps = host.dataplane.observed.taps.keys()
    bound = {tap_name(port.id) for port in view.find(Port, "node_id", host.node_id)}  # type: ignore[arg-type]
    _must(taps <= bound, f"{host.name} has taps of no port: {sorted(taps - bound)}")
    for server in servers.values():
        guest = guests.get(server.id)
        runs = guest is not None and guest.state is GuestState.RUNNING
        if server.power is Power.OFF or server.observed.fault is not None:
            _must(not runs or server.power is Power.ON, f"server {server.id} runs, but should be off")
            continue
        _must(runs or server.observed.power is Power.OFF, f"server {server.id} should run on {host.name}: {guest}")
        if runs:
            disks, wanted = host.hypervisor.plugged(server.id), {each.volume_id for each in server.attachments}
            _must(disks == wanted, f"server {server.id} runs with the disks {sorted(disks)}, not {sorted(wanted)}")
        missing = {tap_name(port_id) for port_id in server.ports} - taps if runs else set()
        _must(not missing, f"server {server.id} runs without its taps {sorted(missing)}")
