"""What `compute.hypervisor.Hypervisor` promises, asked of libvirt with real guests and of the twin in memory."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
import trio

from compute.host.libvirt import LibvirtHypervisor
from compute.host.simulated import SimulatedHypervisor
from compute.hypervisor import (
    NO_ANSWER,
    Guest,
    GuestCard,
    GuestDisk,
    GuestFault,
    GuestSpec,
    GuestState,
    Hypervisor,
    HypervisorDown,
)
from noded.core.ids import PortId, ServerId, VolumeId
from storage.host.luks import HostLuks, passphrase
from storage.volumes.encrypting import luks_header_bytes
from storage.volumes.model import Encryption
from tests.contract.compute.boot_sector import boot_sector
from tests.contract.compute.private_host import PrivateHost, private_host

WAIT_S_MAX = 30.0
KEY, KEY_ID = bytes(range(32)), "7d6b5c4a-0000-4000-8000-000000000000"


class World(Protocol):
    """A hypervisor and what can be done to its machine."""

    hypervisor: Hypervisor

    def spec(self, number: int, *, run: int = 1, ends_itself: bool = False, lets_go: bool = True) -> GuestSpec: ...
    def disk(self, number: int) -> GuestDisk: ...
    async def end_itself(self, server_id: ServerId) -> None: ...
    async def encrypted_disk(self, number: int) -> GuestDisk: ...
    def grow_disk(self, number: int, size_bytes: int) -> None: ...
    def size_seen(self, server_id: ServerId, number: int) -> int: ...
    async def fail_disk(self, server_id: ServerId) -> None: ...
    async def mend_disk(self, server_id: ServerId) -> None: ...
    async def go_down(self) -> None: ...
    async def come_back(self) -> None: ...


def _server(number: int) -> ServerId:
    return ServerId(f"{number:08x}-0000-4000-8000-000000000000")


def _volume(number: int) -> VolumeId:
    return VolumeId(f"{number:08x}-0000-4000-9000-000000000000")


class TwinWorld:
    def __init__(self) -> None:
        self.hypervisor = SimulatedHypervisor()

    def spec(self, number: int, *, run: int = 1, ends_itself: bool = False, lets_go: bool = True) -> GuestSpec:
        self.hypervisor.lets_go = lets_go
        return GuestSpec(server_id=_server(number), name=f"guest {number}", run=run, vcpus=1, memory_mib=32)

    def disk(self, number: int) -> GuestDisk:
        return GuestDisk(volume_id=_volume(number), socket="s", device="vdb")

    async def encrypted_disk(self, number: int) -> GuestDisk:
        return replace(self.disk(number), key_id=KEY_ID, passphrase=passphrase(KEY))

    def grow_disk(self, number: int, size_bytes: int) -> None:
        """The twin has no bytes."""

    def size_seen(self, server_id: ServerId, number: int) -> int:
        return self.hypervisor.sizes[server_id, _volume(number)]

    async def end_itself(self, server_id: ServerId) -> None:
        self.hypervisor.end_itself(server_id)

    async def fail_disk(self, server_id: ServerId) -> None:
        self.hypervisor.fail_disk(server_id)

    async def mend_disk(self, server_id: ServerId) -> None:
        self.hypervisor.disk_works = True

    async def go_down(self) -> None:
        self.hypervisor.is_down = True

    async def come_back(self) -> None:
        self.hypervisor.is_down = False


class LibvirtWorld:
    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        self.consoles = host.directory / "consoles"
        self.hypervisor = LibvirtHypervisor(
            uri=host.uri,
            name="node1",
            address="10.0.0.1",
            console_dir=self.consoles,
            socket_dir=host.directory / "s",
            kvm=False,
        )

    def spec(self, number: int, *, run: int = 1, ends_itself: bool = False, lets_go: bool = True) -> GuestSpec:
        socket = self.host.serve(_volume(number), boot_sector(ends_itself=ends_itself, lets_go=lets_go))
        tap = f"tap{number}"
        if not Path(f"/proc/{self.host.pid}/root/sys/class/net/{tap}").exists():
            self.host.run("ip", "tuntap", "add", tap, "mode", "tap")
        card = GuestCard(port_id=PortId("p"), mac=f"fa:16:3e:00:00:{number:02x}", mtu=1450, tap=tap)
        return GuestSpec(
            server_id=_server(number),
            name=f"guest <{number}>",
            run=run,
            vcpus=1,
            memory_mib=32,
            cards=(card,),
            disks=(GuestDisk(volume_id=_volume(number), socket=socket, limits=(("total_iops_sec", 5000),)),),
        )

    def disk(self, number: int) -> GuestDisk:
        socket = self.host.serve(_volume(number), bytes(1 << 20))
        return GuestDisk(volume_id=_volume(number), socket=socket, device="vdb")

    async def encrypted_disk(self, number: int) -> GuestDisk:
        path = self.host.directory / _volume(number)
        path.write_bytes(bytes(luks_header_bytes(256) + (1 << 20)))
        header = Encryption(key_id=KEY_ID, cipher="aes-xts-plain64", key_bits=256, header_bytes=luks_header_bytes(256))
        await HostLuks().format(path, header, KEY)
        return replace(self.disk(number), key_id=KEY_ID, passphrase=passphrase(KEY))

    def grow_disk(self, number: int, size_bytes: int) -> None:
        """As the volume server does: it begins anew with the new size."""
        self.host.stop_serving(_volume(number))
        with (self.host.directory / _volume(number)).open("ab") as file:
            file.truncate(size_bytes)
        self.host.serve(_volume(number), b"")

    def size_seen(self, server_id: ServerId, number: int) -> int:
        target = "vda" if _volume(number)[:8] == server_id[:8] else "vdb"
        words = self.host.virsh("domblkinfo", server_id, target).split()
        return int(words[words.index("Capacity:") + 1])

    async def end_itself(self, server_id: ServerId) -> None:
        await until_console(self.hypervisor, server_id, b"up\n.")
        self.host.virsh("shutdown", server_id)

    async def fail_disk(self, server_id: ServerId) -> None:
        self.host.stop_serving(_volume(int(server_id[:8], 16)))

    async def mend_disk(self, server_id: ServerId) -> None:
        self.host.serve(_volume(int(server_id[:8], 16)), b"")

    async def go_down(self) -> None:
        self.host.kill_libvirtd()

    async def come_back(self) -> None:
        self.host.start_libvirtd()


@pytest.fixture(scope="module")
def host() -> Iterator[PrivateHost]:
    with private_host() as started:
        yield started


@pytest.fixture(params=["simulated", pytest.param("libvirt", marks=pytest.mark.root)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "simulated":
        yield TwinWorld()
        return
    libvirt_world = LibvirtWorld(request.getfixturevalue("host"))
    try:
        yield libvirt_world
    finally:
        with trio.CancelScope(shield=True):
            for server_id in await libvirt_world.hypervisor.guests():
                await libvirt_world.hypervisor.remove(server_id)
            await libvirt_world.hypervisor.aclose()


async def until_state(hypervisor: Hypervisor, server_id: ServerId, state: GuestState) -> Guest:
    """The guest once it is in that state; looks again whenever the hypervisor nudges."""
    with trio.fail_after(WAIT_S_MAX):
        while True:
            guest = (await hypervisor.guests()).get(server_id)
            if guest is not None and guest.state is state:
                return guest
            with trio.move_on_after(0.2):
                await hypervisor.nudged()


async def until_console(hypervisor: Hypervisor, server_id: ServerId, text: bytes) -> bytes:
    with trio.fail_after(WAIT_S_MAX):
        while True:
            written = await hypervisor.console(server_id, 65536)
            if text in written:
                return written
            await trio.sleep(0.05)


async def test_capacity_is_measured(world: World) -> None:
    capacity = await world.hypervisor.capacity()
    assert capacity.cpus > 0
    assert capacity.memory_mib > 0
    assert capacity.version >= 7_000_000
    assert await world.hypervisor.capacity() == capacity


async def test_a_started_guest_runs_and_says_which_run_it_is(world: World) -> None:
    await world.hypervisor.start(world.spec(1, run=7))
    assert await world.hypervisor.guests() == {_server(1): Guest(server_id=_server(1), state=GuestState.RUNNING, run=7)}


async def test_a_running_guest_is_not_started_twice(world: World) -> None:
    await world.hypervisor.start(world.spec(1))
    with pytest.raises(GuestFault):
        await world.hypervisor.start(world.spec(1))
    assert (await world.hypervisor.guests())[_server(1)].state is GuestState.RUNNING


async def test_a_guest_without_power_is_off_and_can_be_started_again(world: World) -> None:
    await world.hypervisor.start(world.spec(1))
    await world.hypervisor.power_off(_server(1))
    await until_state(world.hypervisor, _server(1), GuestState.OFF)
    await world.hypervisor.power_off(_server(1))
    await world.hypervisor.start(world.spec(1, run=2))
    assert (await until_state(world.hypervisor, _server(1), GuestState.RUNNING)).run == 2


async def test_a_guest_that_powers_itself_off_is_told_from_one_that_lost_its_power(world: World) -> None:
    await world.hypervisor.start(world.spec(1))
    await world.end_itself(_server(1))
    await until_state(world.hypervisor, _server(1), GuestState.ENDED_ITSELF)


async def test_the_power_button_is_obeyed(world: World) -> None:
    await world.hypervisor.start(world.spec(1))
    if isinstance(world, LibvirtWorld):
        await until_console(world.hypervisor, _server(1), b"up\n.")
    await world.hypervisor.shut_down(_server(1))
    await until_state(world.hypervisor, _server(1), GuestState.ENDED_ITSELF)


async def test_an_unknown_guest_needs_no_power_taken(world: World) -> None:
    await world.hypervisor.power_off(_server(9))
    await world.hypervisor.shut_down(_server(9))
    await world.hypervisor.resume(_server(9))
    await world.hypervisor.remove(_server(9))
    assert await world.hypervisor.console(_server(9), 100) == b""


async def test_a_removed_guest_leaves_nothing(world: World) -> None:
    await world.hypervisor.start(world.spec(1))
    await world.hypervisor.start(world.spec(2))
    await world.hypervisor.remove(_server(1))
    assert set(await world.hypervisor.guests()) == {_server(2)}
    assert await world.hypervisor.console(_server(1), 100) == b""
    await world.hypervisor.remove(_server(1))


async def test_a_guest_whose_disk_failed_waits_and_goes_on_when_it_is_back(world: World) -> None:
    hypervisor = world.hypervisor
    await hypervisor.start(world.spec(1))
    if isinstance(world, LibvirtWorld):
        await until_console(hypervisor, _server(1), b"up\n.")
    await world.fail_disk(_server(1))
    await until_state(hypervisor, _server(1), GuestState.PAUSED)
    await hypervisor.resume(_server(1))
    await until_state(hypervisor, _server(1), GuestState.PAUSED)
    assert (await hypervisor.guests())[_server(1)].trouble == NO_ANSWER.format(disks="vda")
    await world.mend_disk(_server(1))
    with trio.fail_after(WAIT_S_MAX):
        # The first try may only find out that the old connection is gone.
        while (await hypervisor.guests())[_server(1)].state is not GuestState.RUNNING:
            await hypervisor.resume(_server(1))
            await trio.sleep(0.1)
    if isinstance(world, LibvirtWorld):
        before = len(await hypervisor.console(_server(1), 65536))
        with trio.fail_after(WAIT_S_MAX):
            while len(await hypervisor.console(_server(1), 65536)) <= before + 5:
                await trio.sleep(0.05)


async def _up(world: World, spec: GuestSpec) -> None:
    await world.hypervisor.start(spec)
    if isinstance(world, LibvirtWorld):
        await until_console(world.hypervisor, spec.server_id, b"up\n.")


async def test_a_running_guest_gets_a_disk_once_and_lets_go_of_it(world: World) -> None:
    hypervisor, disk = world.hypervisor, world.disk(20)
    spec = world.spec(10)
    await _up(world, spec)
    before = await hypervisor.disks(spec.server_id)
    assert before == {each.volume_id for each in spec.disks}
    await hypervisor.plug(spec.server_id, disk)
    await hypervisor.plug(spec.server_id, disk)
    assert await hypervisor.disks(spec.server_id) == before | {disk.volume_id}
    await hypervisor.unplug(spec.server_id, disk.volume_id)
    with trio.fail_after(WAIT_S_MAX):
        while await hypervisor.disks(spec.server_id) != before:
            await hypervisor.nudged()
    await hypervisor.unplug(spec.server_id, disk.volume_id)
    await hypervisor.plug(spec.server_id, disk)
    assert await hypervisor.disks(spec.server_id) == before | {disk.volume_id}


async def test_a_guest_that_does_not_listen_keeps_its_disk_until_its_power_goes(world: World) -> None:
    hypervisor, disk = world.hypervisor, world.disk(21)
    spec = world.spec(11, lets_go=False)
    await _up(world, spec)
    await hypervisor.plug(spec.server_id, disk)
    await hypervisor.unplug(spec.server_id, disk.volume_id)
    await hypervisor.unplug(spec.server_id, disk.volume_id)
    assert disk.volume_id in await hypervisor.disks(spec.server_id)
    assert (await hypervisor.guests())[spec.server_id].state is GuestState.RUNNING
    await hypervisor.power_off(spec.server_id)
    await until_state(hypervisor, spec.server_id, GuestState.OFF)
    assert await hypervisor.disks(spec.server_id) == frozenset()
    await hypervisor.start(spec)
    assert await hypervisor.disks(spec.server_id) == {each.volume_id for each in spec.disks}


async def test_a_running_guest_sees_that_its_disks_grow(world: World) -> None:
    hypervisor, disk = world.hypervisor, world.disk(23)
    spec = world.spec(12)
    await _up(world, spec)
    await hypervisor.plug(spec.server_id, disk)
    for number, size_bytes in ((23, 3 << 20), (12, 2 << 20)):
        world.grow_disk(number, size_bytes)
        if number == 23 or isinstance(world, LibvirtWorld):  # the twin's guests boot without a disk
            await hypervisor.resize(spec.server_id, _volume(number), size_bytes)
            assert world.size_seen(spec.server_id, number) == size_bytes
    await until_state(hypervisor, spec.server_id, GuestState.RUNNING)
    if isinstance(world, LibvirtWorld):
        world.host.stop_serving(_volume(23))
        with pytest.raises(GuestFault):
            await hypervisor.resize(spec.server_id, _volume(23), 4 << 20)


async def test_an_encrypted_disk_is_opened_by_its_key_alone_and_grows(world: World) -> None:
    hypervisor, disk = world.hypervisor, await world.encrypted_disk(24)
    spec = world.spec(13)
    await _up(world, spec)
    if isinstance(world, LibvirtWorld):
        with pytest.raises(GuestFault):
            await hypervisor.plug(spec.server_id, replace(disk, passphrase=passphrase(bytes(32))))
    await hypervisor.plug(spec.server_id, disk)
    assert disk.volume_id in await hypervisor.disks(spec.server_id)
    world.grow_disk(24, luks_header_bytes(256) + (2 << 20))
    await hypervisor.resize(spec.server_id, disk.volume_id, 2 << 20)
    assert world.size_seen(spec.server_id, 24) == 2 << 20
    await hypervisor.power_off(spec.server_id)
    await until_state(hypervisor, spec.server_id, GuestState.OFF)
    await hypervisor.start(replace(spec, run=2, disks=(*spec.disks, disk)))
    assert disk.volume_id in await hypervisor.disks(spec.server_id)
    if isinstance(world, LibvirtWorld):
        assert world.host.virsh("secret-list").strip() == "", "libvirt forgets keys once QEMU has them"
        assert passphrase(KEY).decode() not in world.host.virsh("dumpxml", "--security-info", spec.server_id)


async def test_a_guest_that_is_off_or_unknown_has_no_disks_and_gets_none(world: World) -> None:
    assert await world.hypervisor.disks(_server(9)) == frozenset()
    await world.hypervisor.plug(_server(9), world.disk(22))
    await world.hypervisor.unplug(_server(9), _volume(22))
    await world.hypervisor.resize(_server(9), _volume(22), 2 << 20)
    assert await world.hypervisor.disks(_server(9)) == frozenset()


async def test_guests_are_found_again_when_the_hypervisor_was_down(world: World) -> None:
    await world.hypervisor.start(world.spec(1, run=3))
    await world.go_down()
    with pytest.raises(HypervisorDown):
        await world.hypervisor.guests()
    await world.come_back()
    assert (await until_state(world.hypervisor, _server(1), GuestState.RUNNING)).run == 3


async def test_the_console_log_is_kept_from_run_to_run_and_cut_to_the_length_asked(world: World) -> None:
    hypervisor = world.hypervisor
    await hypervisor.start(world.spec(1))
    if isinstance(world, LibvirtWorld):
        await until_console(hypervisor, _server(1), b"up\n")
    first = await hypervisor.console(_server(1), 65536)
    await hypervisor.power_off(_server(1))
    await hypervisor.start(world.spec(1, run=2))
    if isinstance(world, LibvirtWorld):
        with trio.fail_after(WAIT_S_MAX):
            while (await hypervisor.console(_server(1), 65536)).count(b"up\n") < 2:
                await trio.sleep(0.05)
    both = await hypervisor.console(_server(1), 65536)
    assert both.startswith(first)
    assert len(both) > len(first)
    assert len(await hypervisor.console(_server(1), 2)) == 2


@pytest.mark.root
async def test_a_domain_without_our_mark_is_a_stranger(host: PrivateHost) -> None:
    stranger = _server(77)
    definition = host.directory / "stranger.xml"
    definition.write_text(
        f"<domain type='qemu'><name>stranger</name><uuid>{stranger}</uuid><memory unit='MiB'>16</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    host.virsh("create", str(definition))
    world = LibvirtWorld(host)
    try:
        assert await world.hypervisor.guests() == {}
        await world.hypervisor.remove(stranger)
        await world.hypervisor.power_off(stranger)
        with pytest.raises(GuestFault, match="not ours"):
            await world.hypervisor.start(world.spec(77))
        assert host.virsh("domstate", "stranger").strip() == "running"
    finally:
        await world.hypervisor.aclose()
        host.virsh("destroy", "stranger")
