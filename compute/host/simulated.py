"""A machine that exists in memory only: the hypervisor driver's twin, and what can happen to a machine."""

from dataclasses import dataclass, replace

import trio

from compute.hypervisor import (
    NO_ANSWER,
    Capacity,
    Guest,
    GuestDisk,
    GuestFault,
    GuestSpec,
    GuestState,
    HypervisorDown,
)
from noded.core.ids import ServerId, VolumeId

_DOWN = "the simulated hypervisor does not answer"


@dataclass
class _Machine:
    guests: dict[ServerId, Guest]
    specs: dict[ServerId, GuestSpec]
    consoles: dict[ServerId, bytes]
    disks: dict[ServerId, dict[VolumeId, GuestDisk]]


class SimulatedHypervisor:
    """Implements `compute.hypervisor.Hypervisor`. Guests boot at once and, as a rule, obey the power button."""

    def __init__(self, name: str = "node", *, cpus: int = 4, memory_mib: int = 4096) -> None:
        self._capacity = Capacity(
            name=name,
            address="127.0.0.1",
            cpus=cpus,
            memory_mib=memory_mib,
            kvm=False,
            hypervisor="QEMU",
            version=7_002_000,
            cpu_model="simulated",
        )
        self._machine = _Machine({}, {}, {}, {})
        self._happened = trio.Event()
        self.is_down = False
        self.obeys_button = True
        self.start_fault: str | None = None
        self.disk_works = True
        self.lets_go = True  # of a disk that it is asked to
        self.plug_fault: str | None = None
        self.resize_fault: str | None = None
        self.sizes: dict[tuple[ServerId, VolumeId], int] = {}  # of disks that have grown under a guest
        self.started: list[ServerId] = []  # every start, in order

    async def capacity(self) -> Capacity:
        """What this machine can give."""
        self._check()
        return self._capacity

    async def guests(self) -> dict[ServerId, Guest]:
        """Every guest, running or not."""
        self._check()
        return dict(self._machine.guests)

    async def start(self, spec: GuestSpec) -> None:
        """Boot it at once."""
        self._check()
        known = self._machine.guests.get(spec.server_id)
        if known is not None and known.state in (GuestState.RUNNING, GuestState.PAUSED):
            raise GuestFault("domain is already running")
        self._machine.specs[spec.server_id] = spec
        if self.start_fault is not None:
            self._put(Guest(server_id=spec.server_id, state=GuestState.OFF, run=spec.run))
            raise GuestFault(self.start_fault)
        self.started.append(spec.server_id)
        self._machine.disks[spec.server_id] = {disk.volume_id: disk for disk in spec.disks}
        self._put(Guest(server_id=spec.server_id, state=GuestState.RUNNING, run=spec.run))
        before = self._machine.consoles.get(spec.server_id, b"")
        self._machine.consoles[spec.server_id] = before + f"booted run {spec.run}\r\n".encode()

    async def shut_down(self, server_id: ServerId) -> None:
        """Press its power button."""
        self._check()
        if self.obeys_button and self._is(server_id, GuestState.RUNNING):
            self._change(server_id, GuestState.ENDED_ITSELF)

    async def power_off(self, server_id: ServerId) -> None:
        """Take its power away."""
        self._check()
        if self._is(server_id, GuestState.RUNNING, GuestState.PAUSED):
            self._change(server_id, GuestState.OFF)

    async def resume(self, server_id: ServerId) -> None:
        """Let a paused guest try again; it pauses again while its disk does not work."""
        self._check()
        if self._is(server_id, GuestState.PAUSED):
            before = self._machine.guests[server_id].trouble
            state, trouble = (GuestState.RUNNING, "") if self.disk_works else (GuestState.PAUSED, before)
            self._change(server_id, state, trouble)

    async def disks(self, server_id: ServerId) -> frozenset[VolumeId]:
        """The disks that the guest has now."""
        self._check()
        return frozenset(self._disks(server_id))

    async def plug(self, server_id: ServerId, disk: GuestDisk) -> None:
        """Give it one disk more."""
        self._check()
        if self._is(server_id, GuestState.RUNNING, GuestState.PAUSED):
            if self.plug_fault is not None:
                raise GuestFault(self.plug_fault)
            self._disks(server_id)[disk.volume_id] = disk

    async def unplug(self, server_id: ServerId, volume_id: VolumeId) -> None:
        """Ask it to let go of a disk."""
        self._check()
        disks = self._disks(server_id)
        if self.lets_go and self._is(server_id, GuestState.RUNNING) and volume_id in disks:
            del disks[volume_id]
            self._happened.set()

    async def resize(self, server_id: ServerId, volume_id: VolumeId, size_bytes: int) -> None:
        """Let it see the new size of a disk."""
        self._check()
        if volume_id in self._disks(server_id):
            if self.resize_fault is not None:
                raise GuestFault(self.resize_fault)
            self.sizes[server_id, volume_id] = size_bytes

    async def remove(self, server_id: ServerId) -> None:
        """Forget it."""
        self._check()
        if self._machine.guests.pop(server_id, None) is not None:
            self._happened.set()
        self._machine.specs.pop(server_id, None)
        self._machine.consoles.pop(server_id, None)
        self._machine.disks.pop(server_id, None)

    async def console(self, server_id: ServerId, length_max: int) -> bytes:
        """The last bytes of its console log."""
        written = self._machine.consoles.get(server_id, b"")
        return written[max(0, len(written) - length_max) :]

    async def logs(self) -> frozenset[ServerId]:
        """The servers that have written to their console here."""
        self._check()
        return frozenset(self._machine.consoles)

    async def nudged(self) -> None:
        """Return when a guest changed its state since the last call returned."""
        await self._happened.wait()
        self._happened = trio.Event()

    @property
    def held(self) -> dict[ServerId, Guest]:
        """Every guest, whether or not the hypervisor answers."""
        return self._machine.guests

    # --- what can happen to a machine ---------------------------------------------------------------------------------

    def lose_power(self) -> None:
        """The machine reboots: definitions stay, nothing runs, and nobody remembers why."""
        for server_id in list(self._machine.guests):
            self._change(server_id, GuestState.OFF)

    def end_itself(self, server_id: ServerId) -> None:
        """The guest powers itself off."""
        self._change(server_id, GuestState.ENDED_ITSELF)

    def fail_disk(self, server_id: ServerId, trouble: str = NO_ANSWER.format(disks="vda")) -> None:
        """The guest's disk stops answering."""
        self.disk_works = False
        self._change(server_id, GuestState.PAUSED, trouble)

    def spec(self, server_id: ServerId) -> GuestSpec:
        """What the guest was last started with."""
        return self._machine.specs[server_id]

    def plugged(self, server_id: ServerId) -> frozenset[VolumeId]:
        """The disks that the guest has, whether or not the hypervisor answers."""
        return frozenset(self._disks(server_id))

    def disk(self, server_id: ServerId, volume_id: str) -> GuestDisk:
        """One of them."""
        return self._disks(server_id)[VolumeId(volume_id)]

    def write_console(self, server_id: ServerId, data: bytes) -> None:
        """The guest writes to its serial console."""
        self._machine.consoles[server_id] = self._machine.consoles.get(server_id, b"") + data

    def _disks(self, server_id: ServerId) -> dict[VolumeId, GuestDisk]:
        alive = self._is(server_id, GuestState.RUNNING, GuestState.PAUSED)
        return self._machine.disks.setdefault(server_id, {}) if alive else {}

    def _check(self) -> None:
        if self.is_down:
            raise HypervisorDown(_DOWN)

    def _is(self, server_id: ServerId, *states: GuestState) -> bool:
        guest = self._machine.guests.get(server_id)
        return guest is not None and guest.state in states

    def _change(self, server_id: ServerId, state: GuestState, trouble: str = "") -> None:
        self._put(replace(self._machine.guests[server_id], state=state, trouble=trouble))

    def _put(self, guest: Guest) -> None:
        self._machine.guests[guest.server_id] = guest
        self._happened.set()
