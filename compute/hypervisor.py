"""What compute asks of the machine: its capacity, and guests that are started, stopped, watched and removed.

`host/libvirt.py` does it with libvirt, `host/simulated.py` in memory; one contract suite holds both to these words.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from noded.core.errors import Unavailable
from noded.core.ids import PortId, ServerId, VolumeId

# Why a guest is paused, for people. QEMU stops it instead of telling it of an error, so nothing of it is harmed.
POOL_FULL: Final = (
    "The guest is paused: its {disks} can't be written, because a disk of the pool is full. Delete what nobody needs or"
    " add a disk (`noded disk list`); it goes on by itself."
)
NO_ANSWER: Final = (
    "The guest is paused: its {disks} can't be read or written now. `noded volume explain` says what its volume waits"
    " for; it goes on by itself."
)


class HypervisorDown(Unavailable):
    """The hypervisor's daemon can't be asked now; guests that run go on running."""


class GuestFault(Exception):  # noqa: N818
    """The hypervisor refused or failed to do what was asked of one guest; the message is for people."""


class GuestState(StrEnum):
    """What a guest is doing."""

    RUNNING = "running"
    PAUSED = "paused"  # by an I/O error of its disk: it goes on where it was once the disk answers
    OFF = "off"  # its definition is there, its process is not
    ENDED_ITSELF = "ended_itself"  # off because the guest powered itself off


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What this machine can give to guests."""

    name: str  # what people call the node
    address: str  # how the other nodes reach it
    cpus: int
    memory_mib: int
    kvm: bool  # proven: a guest reached its first instructions
    hypervisor: str
    version: int  # as Nova prints it: major * 1_000_000 + minor * 1_000 + patch
    cpu_model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestCard:
    """A network card. Its tap is there already, made by the network."""

    port_id: PortId
    mac: str
    mtu: int
    tap: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestDisk:
    """A disk, served over NBD on a unix socket by a volume server under the volume's id."""

    volume_id: VolumeId
    socket: str
    device: str = ""  # such as vdb; empty: the next one
    read_only: bool = False
    limits: tuple[tuple[str, int], ...] = ()  # of its I/O: `total_iops_sec` and the like, and how much a second
    key_id: str = ""  # of an encrypted one; QEMU decrypts it
    passphrase: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """Everything a guest is started with. `run` says which start of the server this is."""

    server_id: ServerId
    name: str
    run: int
    vcpus: int
    memory_mib: int
    cards: tuple[GuestCard, ...] = ()
    disks: tuple[GuestDisk, ...] = ()  # the first one is booted from


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """What is found of one guest."""

    server_id: ServerId
    state: GuestState
    run: int  # of the spec it was last started with
    disks: frozenset[VolumeId] | None = None  # those that it has; None: nobody asked
    trouble: str = ""  # why it is paused


class Hypervisor(Protocol):
    """The driver. Every call may raise `HypervisorDown`; those about one guest also `GuestFault`."""

    async def capacity(self) -> Capacity:
        """What this machine can give; measured once, then remembered."""

    async def guests(self) -> dict[ServerId, Guest]:
        """Every guest that carries our mark, running or not. Others are not ours to see."""

    async def start(self, spec: GuestSpec) -> None:
        """Define the guest anew and start it. It must be off."""

    async def shut_down(self, server_id: ServerId) -> None:
        """Press its power button; whether it obeys is up to the guest."""

    async def power_off(self, server_id: ServerId) -> None:
        """Take its power away. A guest that is off, or unknown, stays so."""

    async def resume(self, server_id: ServerId) -> None:
        """Let a guest that an I/O error paused try again."""

    async def disks(self, server_id: ServerId) -> frozenset[VolumeId]:
        """The disks that a guest has now; none if it does not run."""

    async def plug(self, server_id: ServerId, disk: GuestDisk) -> None:
        """Give a running guest one disk more. One that it has, and a guest that is off, need nothing."""

    async def unplug(self, server_id: ServerId, volume_id: VolumeId) -> None:
        """Ask a running guest to let go of a disk. It has until it does: look at `disks`, and ask again."""

    async def resize(self, server_id: ServerId, volume_id: VolumeId, size_bytes: int) -> None:
        """Let a running guest see that a disk of its has grown: whoever connects to it anew is told so already. A guest
        that is off, or has not that disk, needs nothing."""

    async def remove(self, server_id: ServerId) -> None:
        """Take its power away and forget its definition and its console log. A guest that is gone is gone."""

    async def console(self, server_id: ServerId, length_max: int) -> bytes:
        """The last `length_max` bytes of what the guest wrote to its serial console; empty if it never ran here."""

    async def logs(self) -> frozenset[ServerId]:
        """The servers whose console log lies on this machine."""

    async def nudged(self) -> None:
        """Return when a guest changed its state since the last call returned."""
