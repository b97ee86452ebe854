"""What the bodies of the server routes hold at the newest microversion; `versions.py` says what older ones lack."""

from msgspec import UNSET, UnsetType, field

from compute.inputs import Body, Flag, Number


class WantedNetwork(Body, frozen=True):
    """A network card: on a network, or an existing port."""

    uuid: str | None = None
    port: str | None = None
    fixed_ip: str | None = None
    tag: str | None = None


class WantedGroup(Body, frozen=True):
    """A security group by name or id."""

    name: str


class WantedDisk(Body, frozen=True):
    """An entry of `block_device_mapping_v2`."""

    boot_index: Number | None = None
    source_type: str = "volume"
    destination_type: str | None = None
    uuid: str | None = None
    volume_size: Number | None = None
    delete_on_termination: Flag = False
    device_name: str | None = None
    device_type: str | None = None
    disk_bus: str | None = None
    guest_format: str | None = None
    no_device: Flag | None = None
    tag: str | None = None
    volume_type: str | None = None


class WantedFile(Body, frozen=True):
    """A file to write into the guest before it boots."""

    path: str
    contents: str


class NewServerBody(Body, frozen=True):
    """What a server is to be."""

    name: str
    flavorRef: Number  # noqa: N815  # Nova's name
    imageRef: str | UnsetType = UNSET  # noqa: N815
    networks: tuple[WantedNetwork, ...] | str | UnsetType | None = UNSET
    key_name: str | None = None
    user_data: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    security_groups: tuple[WantedGroup, ...] | UnsetType = UNSET
    availability_zone: str | None = None
    accessIPv4: str = ""  # noqa: N815
    accessIPv6: str = ""  # noqa: N815
    adminPass: str | None = None  # noqa: N815
    config_drive: Flag | None = None
    block_device_mapping_v2: tuple[WantedDisk, ...] = ()
    block_device_mapping: tuple[dict[str, object], ...] = ()
    min_count: Number | None = None
    max_count: Number | None = None
    return_reservation_id: Flag = False
    disk_config: str = field(default="AUTO", name="OS-DCF:diskConfig")
    personality: tuple[WantedFile, ...] = ()
    description: str | UnsetType | None = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    trusted_image_certificates: tuple[str, ...] | UnsetType | None = UNSET
    host: str | UnsetType = UNSET
    hypervisor_hostname: str | UnsetType = UNSET
    hostname: str | UnsetType = UNSET


class CreateBody(Body, frozen=True):
    """The creation with its wrapper and its hints."""

    server: NewServerBody
    hints: dict[str, object] = field(default_factory=dict, name="os:scheduler_hints")
    old_hints: dict[str, object] = field(default_factory=dict, name="OS-SCH-HNT:scheduler_hints")


class ServerUpdate(Body, frozen=True):
    """What may be changed of a server."""

    name: str | UnsetType = UNSET
    accessIPv4: str | UnsetType = UNSET  # noqa: N815
    accessIPv6: str | UnsetType = UNSET  # noqa: N815
    disk_config: str | UnsetType = field(default=UNSET, name="OS-DCF:diskConfig")
    description: str | UnsetType | None = UNSET
    hostname: str | UnsetType = UNSET


class UpdateBody(Body, frozen=True):
    """Its wrapper."""

    server: ServerUpdate


class Reboot(Body, frozen=True):
    """How to reboot."""

    type: str


class ConsoleOutput(Body, frozen=True):
    """How many lines of the console log; none given: all that are kept."""

    length: Number | None = None


class Lock(Body, frozen=True):
    """Why the server is locked, from 2.73 on."""

    locked_reason: str | None = None


class ActionBody(Body, frozen=True):
    """Exactly one action."""

    start: object | UnsetType = field(default=UNSET, name="os-start")
    stop: object | UnsetType = field(default=UNSET, name="os-stop")
    reboot: Reboot | UnsetType = UNSET
    console: ConsoleOutput | UnsetType = field(default=UNSET, name="os-getConsoleOutput")
    lock: Lock | UnsetType | None = UNSET
    unlock: object | UnsetType = UNSET
    force_delete: object | UnsetType = field(default=UNSET, name="forceDelete")
