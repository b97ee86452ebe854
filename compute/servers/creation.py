"""What a creation asks for, checked against the store, and the command it becomes once nodes are chosen.

A wish is read once; choosing and composing are repeated when a chosen node has filled up in the meantime.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from msgspec import UNSET

from compute import inputs
from compute.flavors.model import Flavor
from compute.keypairs.model import Keypair, keypair_id
from compute.placement.commands import Terms, choose
from compute.placement.model import ZONE, ComputeNode, Demand
from compute.servers import versions
from compute.servers.bodies import CreateBody, NewServerBody
from compute.servers.cards import Card, cards_of, new_cards
from compute.servers.commands import CreateServers, NewServer, ServerForm, checked_metadata, checked_tags
from compute.servers.mapping import DiskWish, Shopper, new_disks, read_disks
from compute.servers.model import USER_DATA_MAX, Event, FlavorCopy
from net.security_groups.model import DefaultGroupIds
from noded.core import dice
from noded.core.errors import Forbidden, Invalid
from noded.core.ids import NodeId, ServerId, VolumeId
from noded.core.route import Caller
from noded.core.store import View
from storage.pools.model import Disk
from storage.volumes.model import Layout

COUNT_MAX = 50  # servers a request: all are one log entry
HOSTNAME_MAX = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A creation that can be met, as far as one node can tell."""

    form: ServerForm
    disks: tuple[DiskWish, ...]  # the root first
    names: tuple[str, ...]
    hostname: str | None  # as asked for; otherwise it is made from the name
    cards: tuple[Card, ...]
    wanted_node: NodeId | None

    @property
    def demand(self) -> Demand:
        """What each server needs of a node."""
        return Demand(vcpus=self.form.flavor.vcpus, memory_mib=self.form.flavor.memory_mib)


def read_wish(view: View, caller: Caller, body: CreateBody, version: tuple[int, int]) -> Wish:
    """The checked wish; raises `Refused` with Nova's reasons."""
    new = body.server
    inputs.allowed_since(new, versions.CREATE_FIELDS, version)
    _refuse_unserved(body, version)
    flavor = _flavor(view, caller, str(new.flavorRef))
    count = _count(new)
    names = _names(inputs.name(new.name), count)
    shopper = Shopper(view=view, caller=caller, flavor=flavor, version=version, count=count)
    disks = read_disks(shopper, new)
    source = disks[0].image if disks[0].hidden else None
    form = ServerForm(
        project_id=caller.project,
        user_id=caller.user_id,
        description=_description(new, version),
        reservation_id=f"r-{dice.new_hex_id()[:8]}",
        flavor=_copy(flavor),
        image_id=None if source is None else source.image_id,
        source_id=VolumeId("") if source is None else source.volume_id,
        root_bytes=disks[0].size_bytes,
        key_name=new.key_name,
        public_key=_public_key(view, caller, new.key_name),
        user_data=user_data(new.user_data),
        metadata=checked_metadata(new.metadata),
        tags=checked_tags(() if new.tags is UNSET else new.tags),
        zone=new.availability_zone,
        access_ipv4=address(new.accessIPv4, 4),
        access_ipv6=address(new.accessIPv6, 6),
        manual_disk=manual_disk(new.disk_config),
    )
    return Wish(
        form=form,
        disks=disks,
        names=names,
        hostname=None if new.hostname is UNSET else hostname(new.hostname, version),
        cards=cards_of(view, caller, new, version, count),
        wanted_node=_wanted_node(view, caller, new),
    )


def draw_luck(view: View) -> dict[NodeId, float]:
    """A chance for each node, drawn once a request: so that many at once don't all choose the same one."""
    return {NodeId(node.id): dice.new_fraction() for node in view.all(ComputeNode)}


def compose(
    view: View, wish: Wish, reachable: Collection[NodeId], event: Event, luck: Mapping[NodeId, float]
) -> CreateServers:
    """The command, with a node, a disk layout and fresh ids for each server; raises `NoRoom` with the reasons.

    Equal views, nodes and luck choose equal nodes: those that were asked whether they answer are those that are taken.
    """
    terms = Terms(
        reachable=reachable,
        wanted=wish.wanted_node,
        image_near=_image_near(view, wish.disks[0].source_layout),
        luck=luck,
    )
    nodes = choose(view, wish.demand, len(wish.names), terms)
    servers = []
    for name, node_id in zip(wish.names, nodes, strict=True):
        server_id = ServerId(dice.new_uuid())
        root, *others = new_disks(view, reachable, node_id, wish.disks)
        servers.append(
            NewServer(
                server_id=server_id,
                name=name,
                hostname=wish.hostname or hostname_of(name, server_id),
                node_id=node_id,
                volume_id=root.volume_id,
                tail=root.layout if wish.disks[0].hidden else (),
                cards=new_cards(wish.cards, server_id, node_id, wish.form.project_id),
                root=None if wish.disks[0].hidden else root,
                disks=tuple(others),
            )
        )
    return CreateServers(
        form=wish.form, servers=tuple(servers), default_group=DefaultGroupIds.drawn(dice.new_uuid), event=event
    )


def _image_near(view: View, layout: Layout) -> Mapping[NodeId, float]:
    """The share of the root disk's extents that each node holds already."""
    node_of = {disk.disk_id: disk.node_id for disk in view.all(Disk)}
    held: dict[NodeId, int] = {}
    for extent in layout:
        for node_id in {node_of[disk_id] for disk_id in extent if disk_id in node_of}:
            held[node_id] = held.get(node_id, 0) + 1
    return {node_id: count / len(layout) for node_id, count in held.items()}


def _refuse_unserved(body: CreateBody, version: tuple[int, int]) -> None:
    new = body.server
    hints = [*body.hints, *body.old_hints]
    if hints:
        raise Invalid(f"The scheduler hint {hints[0][:64]} is not served here.")
    if new.personality:
        known = version <= versions.PERSONALITY_UNTIL
        why = "files are not written into guests; give user_data" if known else "'personality' was unexpected"
        raise Invalid(f"Additional properties are not allowed: {why}.")
    if new.config_drive is not None and inputs.flag(new.config_drive, "config_drive"):
        raise Invalid("Config drives are not served here; guests ask the metadata service at 169.254.169.254.")
    if new.trusted_image_certificates not in (UNSET, None):
        raise Invalid("Image signatures are not checked here: trusted_image_certificates can't be promised.")
    if new.block_device_mapping:
        raise Invalid("block_device_mapping is not served here; use block_device_mapping_v2.")


def _flavor(view: View, caller: Caller, flavor_ref: str) -> Flavor:
    flavor = view.get(Flavor, flavor_ref.rsplit("/", maxsplit=1)[-1])
    if flavor is None or not (flavor.is_open_to(caller.project_id) or caller.is_admin):
        raise Invalid(f"Flavor {flavor_ref[:255]} could not be found.")
    if flavor.ephemeral_gib or flavor.swap_mib:
        raise Invalid(f"Flavor {flavor.name} asks for an ephemeral or swap disk, which are not served here.")
    return flavor


def _copy(flavor: Flavor) -> FlavorCopy:
    return FlavorCopy(
        id=flavor.id,
        name=flavor.name,
        vcpus=flavor.vcpus,
        memory_mib=flavor.memory_mib,
        root_gib=flavor.root_gib,
        ephemeral_gib=flavor.ephemeral_gib,
        swap_mib=flavor.swap_mib,
        extra_specs=flavor.extra_specs,
    )


def _count(new: NewServerBody) -> int:
    lowest = inputs.number(1 if new.min_count is None else new.min_count, "min_count", lowest=1)
    highest = inputs.number(lowest if new.max_count is None else new.max_count, "max_count", lowest=1)
    if lowest > highest:
        raise Invalid("min_count must be <= max_count")
    if highest > COUNT_MAX:
        raise Invalid(f"One request makes at most {COUNT_MAX} servers; {highest} were asked for.")
    return highest


def _names(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(inputs.name(f"{name}-{number}") for number in range(1, count + 1))


def _description(new: NewServerBody, version: tuple[int, int]) -> str | None:
    if version < versions.DESCRIPTION:
        return new.name  # what older clients would see as the description
    return inputs.description(None if new.description is UNSET else new.description)


def _public_key(view: View, caller: Caller, name: str | None) -> str | None:
    if name is None:
        return None
    keypair = view.get(Keypair, keypair_id(caller.user_id, name))
    if keypair is None:
        raise Invalid("Invalid key_name provided.")
    return keypair.public_key


def _wanted_node(view: View, caller: Caller, new: NewServerBody) -> NodeId | None:
    zone, _, host = (new.availability_zone or ZONE).partition(":")
    if zone != ZONE:
        raise Invalid("The requested availability zone is not available")
    named = [host.split(":")[0], *(each for each in (new.host, new.hypervisor_hostname) if each is not UNSET)]
    asked = next((str(each) for each in named if each), None)
    if asked is None:
        return None
    if not caller.is_admin:
        raise Forbidden("Only an administrator may name the node that a server goes to.")
    for node in view.all(ComputeNode):
        if asked in (node.name, node.id):
            return node.id
    raise Invalid(f"Compute host {asked[:255]} could not be found.")


def user_data(text: str | None) -> str | None:
    """User data as it came, if it is base64 of a bearable length."""
    if text is None:
        return None
    if len(text) > USER_DATA_MAX:
        raise Invalid(f"Invalid input for field/attribute user_data. It has at most {USER_DATA_MAX} characters.")
    try:
        base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("Userdata content needs to be base64 encoded.") from None
    return text


def address(text: str, family: int) -> str:
    """An access address in its canonical form; an empty one means none."""
    if not text:
        return ""
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        parsed = None
    if parsed is None or parsed.version != family:
        raise Invalid(
            f"Invalid input for field/attribute accessIPv{family}. Value: {text[:64]} is not such an address."
        )
    return str(parsed)


def manual_disk(disk_config: str) -> bool:
    """Whether the disk's partitions are the guest's own affair."""
    if disk_config not in ("AUTO", "MANUAL"):
        raise Invalid(f"Invalid input for field/attribute OS-DCF:diskConfig. Value: {disk_config[:64]}.")
    return disk_config == "MANUAL"


def hostname(text: str, version: tuple[int, int]) -> str:
    """A host name as a client gave it; from 2.94 on with its domain."""
    label = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    pattern = rf"{label}(\.{label})*" if version >= (2, 94) else label
    if len(text) > inputs.NAME_LENGTH_MAX or not re.fullmatch(pattern, text):
        raise Invalid(f"Invalid input for field/attribute hostname. Value: {text[:64]} is not a host name.")
    return text


def hostname_of(name: str, server_id: ServerId) -> str:
    """The host name that a server's name makes: lower case, letters, digits and hyphens."""
    text = re.sub(r"[^a-z0-9.-]", "", re.sub(r"[ _]", "-", name.lower()))
    return text.strip(".-")[:HOSTNAME_MAX].strip(".-") or f"server-{server_id}"
