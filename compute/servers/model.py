"""What a server is: what its owner wants, what its node saw of it, and what it is doing, told from the two."""

from enum import StrEnum
from typing import ClassVar

import msgspec

from net.networks.model import Network
from net.ports.model import Port
from noded.core.ids import (
    AttachmentId,
    FlavorId,
    ImageId,
    NodeId,
    PortId,
    ProjectId,
    RequestId,
    ServerId,
    UserId,
    VolumeId,
)
from noded.core.record import Record
from noded.core.store import View

METADATA_MAX = 128  # entries a server
TAGS_MAX = 50
EVENTS_MAX = 50  # the newest are kept, and the creation
USER_DATA_MAX = 65535  # characters of base64
DISKS_MAX = 16  # a server: each takes a slot of the machine, and cards need some too


class Power(StrEnum):
    """Whether a guest runs, as desired or as seen."""

    ON = "on"
    OFF = "off"


class Restart(StrEnum):
    """What the newest run was asked for by."""

    START = "start"
    SOFT = "soft"  # the guest is asked to end by itself first
    HARD = "hard"


class FlavorCopy(msgspec.Struct, frozen=True, kw_only=True):
    """The flavor as it was when the server was made: later changes of the flavor don't reach it."""

    id: FlavorId
    name: str
    vcpus: int
    memory_mib: int
    root_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    extra_specs: dict[str, str] = msgspec.field(default_factory=dict)


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that the server has. The first of a server is booted from."""

    volume_id: VolumeId
    device: str
    delete_on_termination: bool
    id: AttachmentId = AttachmentId("")  # as Cinder's API knows it; empty: a root disk of which clients know nothing
    tag: str | None = None
    attached: bool = True  # observed: the guest has it, or will have it when it starts
    detaching: bool = False  # the guest is to let go of it
    fault: str | None = None  # observed: why it was not attached

    @property
    def settled(self) -> bool:
        """Whether the guest has what is wanted."""
        return self.attached and not self.detaching


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why the guest can't be started, or is paused; its node goes on trying."""

    message: str
    since_ms: int


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that somebody asked of the server."""

    action: str  # in Nova's words: create, start, stop, reboot, lock, ...
    request_id: RequestId
    user_id: UserId
    project_id: ProjectId | None
    at_ms: int


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """What the server's node last reported. `run` counts as the server's own does; 0: it never ran."""

    power: Power = Power.OFF
    run: int = 0
    launched_ms: int | None = None
    fault: Fault | None = None


class Server(Record, frozen=True, kw_only=True, tag="server.1"):
    """One server. `run` grows each time a new run of the guest is asked for: a start or a reboot."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id", "node_id", "ports")
    NOUN: ClassVar[str] = "server"

    id: ServerId
    project_id: ProjectId
    user_id: UserId
    name: str
    hostname: str
    description: str | None = None
    created_ms: int
    updated_ms: int
    reservation_id: str
    launch_index: int = 0

    flavor: FlavorCopy
    image_id: ImageId | None  # None: made from a volume
    key_name: str | None = None
    public_key: str | None = None
    user_data: str | None = None  # base64, as it came
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    zone: str | None = None  # as asked for
    access_ipv4: str = ""
    access_ipv6: str = ""
    manual_disk: bool = False
    locked_by: str | None = None  # "owner" or "admin"
    locked_reason: str | None = None
    events: tuple[Event, ...] = ()

    # Desired.
    node_id: NodeId
    ports: tuple[PortId, ...] = ()
    kept_ports: tuple[PortId, ...] = ()  # those that were there before the server, and stay after it
    attachments: tuple[Attachment, ...] = ()
    power: Power = Power.ON
    run: int = 1
    restart: Restart = Restart.START
    deleting: bool = False  # a tombstone: it stays until the node has confirmed that nothing of the guest is left
    generation: int = 1

    observed: Observed = Observed()


class Phase(StrEnum):
    """What a server is doing. The API's words for it are made in `views.py`."""

    BUILDING = "building"  # its first run has not begun
    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SOFT_REBOOTING = "soft_rebooting"
    HARD_REBOOTING = "hard_rebooting"
    FAILED = "failed"  # its guest can't be started; the fault says why
    DELETING = "deleting"


def phase_of(server: Server) -> Phase:
    """What the server is doing, told from desired and observed."""
    observed = server.observed
    if server.deleting:
        return Phase.DELETING
    if server.power is Power.OFF:
        return Phase.STOPPED if observed.power is Power.OFF else Phase.STOPPING
    if observed.fault is not None and observed.power is Power.OFF:
        return Phase.FAILED
    if observed.run == 0:
        return Phase.BUILDING
    if observed.run == server.run:
        return Phase.RUNNING if observed.power is Power.ON else Phase.STARTING
    return {
        Restart.START: Phase.STARTING,
        Restart.SOFT: Phase.SOFT_REBOOTING,
        Restart.HARD: Phase.HARD_REBOOTING,
    }[server.restart]


def living(view: View, server_id: str) -> Server | None:
    """The server of that id, unless it is being deleted: from then on nobody but its node sees it."""
    server = view.get(Server, server_id)
    return None if server is None or server.deleting else server


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True):
    """One address of a server."""

    ip_address: str
    mac: str

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.ip_address else 4


def ports_of(server: Server, view: View) -> list[Port]:
    """The server's ports in the order of its cards; those that their user deleted are left out."""
    found = (view.get(Port, port_id) for port_id in server.ports)
    return [port for port in found if port is not None]


def addresses(server: Server, view: View) -> dict[str, list[ServerAddress]]:
    """The server's addresses by the name of their network."""
    found: dict[str, list[ServerAddress]] = {}
    for port in ports_of(server, view):
        network = view.get(Network, port.network_id)
        entries = found.setdefault(port.network_id if network is None else network.name, [])
        entries += [ServerAddress(ip_address=fixed.ip_address, mac=port.mac) for fixed in port.fixed_ips]
    return found


def volumes_of(server: Server) -> tuple[Attachment, ...]:
    """The volumes that clients know of: a root disk made for a server from its image is none to them."""
    return server.attachments if server.image_id is None else server.attachments[1:]
