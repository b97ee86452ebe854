"""How servers come, change and go. One request is one entry: a server, its ports and its disk appear together."""

import re
from collections.abc import Collection, Mapping
from typing import ClassVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from compute.inputs import NAME_LENGTH_MAX
from compute.placement.commands import claim, free
from compute.placement.model import Demand
from compute.servers.disks import NewDisk, NewOwner, give_disk
from compute.servers.model import (
    EVENTS_MAX,
    METADATA_MAX,
    TAGS_MAX,
    Attachment,
    Event,
    Fault,
    FlavorCopy,
    Observed,
    Phase,
    Power,
    Restart,
    Server,
    living,
    phase_of,
)
from net.ports.commands import bind_port, create_port, delete_port, unbind_port
from net.ports.model import NewPort, Port
from net.security_groups.model import DefaultGroupIds
from noded.core.command import Command
from noded.core.errors import Conflict, Forbidden, Invalid, NotFound
from noded.core.ids import AttachmentId, ImageId, NodeId, PortId, ProjectId, ServerId, UserId, VolumeId
from noded.core.route import Caller
from noded.core.store import Transaction, View
from storage.attachments.commands import begin_detaching, confirm_attached, detach_from_server
from storage.volumes.commands import clone_volume, delete_volume
from storage.volumes.model import Layout, Purpose, Volume

ROOT_DEVICE = "/dev/vda"


def need_server(view: View, server_id: str) -> Server:
    """The server of that id, or Nova's `itemNotFound`; one that is being deleted is not found either."""
    server = living(view, server_id)
    if server is None:
        raise NotFound(f"Instance {server_id[:255]} could not be found.")
    return server


def visible(view: View, caller: Caller, server_id: str) -> Server:
    """The server of that id if the caller may see it; the same `NotFound` as for nothing otherwise."""
    server = need_server(view, server_id)
    if server.project_id != caller.project_id and not caller.is_admin:
        raise NotFound(f"Instance {server_id[:255]} could not be found.")
    return server


def checked_metadata(entries: Mapping[str, str]) -> dict[str, str]:
    """Metadata if its keys and values have bearable lengths."""
    for key, value in entries.items():
        if not 1 <= len(key) <= NAME_LENGTH_MAX or len(value) > NAME_LENGTH_MAX:
            raise Invalid(
                "Invalid input for field/attribute metadata. A key has 1 to 255 characters, a value up to 255."
            )
    if len(entries) > METADATA_MAX:
        raise Forbidden(f"Maximum number of metadata items exceeds {METADATA_MAX}")
    return dict(sorted(entries.items()))


def checked_tags(given: Collection[str]) -> tuple[str, ...]:
    """Tags, each once, in order."""
    for tag in given:
        if not re.fullmatch(r"[^,/]{1,60}", tag):
            raise Invalid("Invalid input for field/attribute tags. A tag has 1 to 60 characters and no comma or slash.")
    if len(set(given)) > TAGS_MAX:
        raise Invalid(f"The number of tags exceeded the per-server limit {TAGS_MAX}")
    return tuple(sorted(set(given)))


class NewCard(msgspec.Struct, frozen=True, kw_only=True):
    """A network card: a new port, or one that exists."""

    port: NewPort | None = None
    port_id: PortId | None = None


class NewServer(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from server to server of one request."""

    server_id: ServerId
    name: str
    hostname: str
    node_id: NodeId
    volume_id: VolumeId
    tail: Layout  # where the extents go that the image doesn't have
    cards: tuple[NewCard, ...]
    root: NewDisk | None = None  # in the place of a clone of the form's source: a root disk that clients know
    disks: tuple[NewDisk, ...] = ()  # beside the root disk


class ServerForm(msgspec.Struct, frozen=True, kw_only=True):
    """What all servers of one request have in common."""

    project_id: ProjectId
    user_id: UserId
    description: str | None = None
    reservation_id: str
    flavor: FlavorCopy
    image_id: ImageId | None
    source_id: VolumeId  # the volume that root disks are cloned from
    root_bytes: int
    root_purpose: Purpose = Purpose.ROOT  # DATA: the root disk is a volume of its own, which clients see
    delete_root: bool = True
    key_name: str | None = None
    public_key: str | None = None
    user_data: str | None = None
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    tags: tuple[str, ...] = ()
    zone: str | None = None
    access_ipv4: str = ""
    access_ipv6: str = ""
    manual_disk: bool = False


class CreateServers(Command, frozen=True, kw_only=True, tag="server.create.1"):
    """Make all servers of one request, or none. Refused with `NodeFull` when a chosen node has filled up meanwhile."""

    TOLD: ClassVar[str] = "created the server {servers}"

    form: ServerForm
    servers: tuple[NewServer, ...]
    default_group: DefaultGroupIds
    event: Event

    def apply(self, tx: Transaction) -> None:
        for index, new in enumerate(self.servers):
            if tx.get(Server, new.server_id) is not None:
                raise Conflict(f"A server with id {new.server_id} exists already.")
            flavor = self.form.flavor
            claim(tx, new.server_id, new.node_id, Demand(vcpus=flavor.vcpus, memory_mib=flavor.memory_mib))
            disks = self._create_disks(tx, new)
            ports = tuple(self._create_port(tx, new, card) for card in new.cards)
            self._create_record(tx, new, disks, ports, index)

    def _create_disks(self, tx: Transaction, new: NewServer) -> tuple[Attachment, ...]:
        owner = NewOwner(
            server_id=new.server_id,
            project_id=self.form.project_id,
            user_id=self.form.user_id,
            node_id=new.node_id,
            now_ms=self.event.at_ms,
        )
        if new.root is not None:
            return tuple(give_disk(tx, owner, disk) for disk in (new.root, *new.disks))
        self._create_root(tx, new)
        root = Attachment(volume_id=new.volume_id, device=ROOT_DEVICE, delete_on_termination=self.form.delete_root)
        return (root, *(give_disk(tx, owner, disk) for disk in new.disks))

    def _create_root(self, tx: Transaction, new: NewServer) -> None:
        clone_volume(
            tx,
            volume_id=new.volume_id,
            parent_id=self.form.source_id,
            project_id=self.form.project_id,
            name=f"{new.name} root",
            size_bytes=self.form.root_bytes,
            tail=new.tail,
            purpose=self.form.root_purpose,
            now_ms=self.event.at_ms,
            server_id=new.server_id,
            node_id=new.node_id,
        )

    def _create_port(self, tx: Transaction, new: NewServer, card: NewCard) -> PortId:
        if card.port is not None:
            return create_port(tx, card.port, self.default_group, self.event.at_ms).id
        assert card.port_id is not None, "a card is a new port or one that exists"
        if (port := tx.get(Port, card.port_id)) is not None and port.device_id:
            raise Conflict(f"Port {port.id} is still in use.")
        return bind_port(tx, card.port_id, new.node_id, new.server_id).id

    def _create_record(
        self, tx: Transaction, new: NewServer, disks: tuple[Attachment, ...], ports: tuple[PortId, ...], index: int
    ) -> None:
        form = self.form
        tx.put(
            Server(
                id=new.server_id,
                project_id=form.project_id,
                user_id=form.user_id,
                name=new.name,
                hostname=new.hostname,
                description=form.description,
                created_ms=self.event.at_ms,
                updated_ms=self.event.at_ms,
                reservation_id=form.reservation_id,
                launch_index=index,
                flavor=form.flavor,
                image_id=form.image_id,
                key_name=form.key_name,
                public_key=form.public_key,
                user_data=form.user_data,
                metadata=form.metadata,
                tags=form.tags,
                zone=form.zone,
                access_ipv4=form.access_ipv4,
                access_ipv6=form.access_ipv6,
                manual_disk=form.manual_disk,
                events=(self.event,),
                node_id=new.node_id,
                ports=ports,
                kept_ports=tuple(card.port_id for card in new.cards if card.port_id is not None),
                attachments=disks,
            )
        )


class ServerAction(Command, frozen=True, kw_only=True):
    """What all changes of one server share: who asked for what, and whether a lock holds them."""

    server_id: ServerId
    event: Event
    overrides_lock: bool = False  # the caller is an administrator

    def found(self, tx: Transaction, *phases: Phase) -> Server:
        """The server, if nothing forbids the action; `phases` are those that allow it, none given: all."""
        server = need_server(tx, self.server_id)
        if server.locked_by is not None and not self.overrides_lock:
            raise Conflict(f"Instance {server.id} is locked")
        phase = phase_of(server)
        if phases and phase not in phases:
            words = phase.replace("_", " ")
            raise Conflict(f"Cannot '{self.event.action}' instance {server.id} while it is {words}.")
        return server

    def put(self, tx: Transaction, server: Server) -> None:
        """Keep the changed server, and that it was asked for."""
        events = server.events
        if len(events) >= EVENTS_MAX:
            events = (events[0], *events[2:])  # the creation is always kept
        tx.put(
            replace(
                server,
                events=(*events, self.event),
                updated_ms=self.event.at_ms,
                generation=server.generation + 1,
            )
        )


class StartServer(ServerAction, frozen=True, kw_only=True, tag="server.start.1"):
    """Run it again."""

    TOLD: ClassVar[str] = "started the server {server_id}"

    def apply(self, tx: Transaction) -> None:
        server = self.found(tx, Phase.STOPPED)
        self.put(tx, replace(server, power=Power.ON, run=server.run + 1, restart=Restart.START))


class StopServer(ServerAction, frozen=True, kw_only=True, tag="server.stop.1"):
    """Let it end; its power goes if it doesn't obey."""

    TOLD: ClassVar[str] = "stopped the server {server_id}"

    def apply(self, tx: Transaction) -> None:
        self.put(tx, replace(self.found(tx, Phase.RUNNING, Phase.FAILED), power=Power.OFF))


class RebootServer(ServerAction, frozen=True, kw_only=True, tag="server.reboot.1"):
    """Let it end and run again (soft), or take its power and run it again (hard)."""

    TOLD: ClassVar[str] = "rebooted the server {server_id}"

    restart: Restart

    def apply(self, tx: Transaction) -> None:
        phases = {Phase.RUNNING}
        if self.restart is Restart.HARD:
            phases |= {Phase.STOPPED, Phase.FAILED, Phase.SOFT_REBOOTING, Phase.STARTING, Phase.STOPPING}
        server = self.found(tx, *sorted(phases))
        self.put(tx, replace(server, power=Power.ON, run=server.run + 1, restart=self.restart))


class LockServer(ServerAction, frozen=True, kw_only=True, tag="server.lock.1"):
    """Refuse everyone but administrators what would change the server; None unlocks it."""

    TOLD: ClassVar[str] = "set the lock of server {server_id} to {locked_by}"

    locked_by: str | None
    reason: str | None = None

    def apply(self, tx: Transaction) -> None:
        server = need_server(tx, self.server_id)
        if self.locked_by is None and server.locked_by == "admin" and not self.overrides_lock:
            raise Forbidden(f"Instance {server.id} was locked by an administrator, who alone can unlock it.")
        self.put(tx, replace(server, locked_by=self.locked_by, locked_reason=self.reason))


class DeleteServer(ServerAction, frozen=True, kw_only=True, tag="server.delete.1"):
    """A tombstone: nobody sees the server any more, and its node removes the guest."""

    TOLD: ClassVar[str] = "deleted the server {server_id}"

    FREES_ROOM: ClassVar[bool] = True

    def apply(self, tx: Transaction) -> None:
        self.put(tx, replace(self.found(tx), deleting=True, power=Power.OFF))


class ServerChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of a server its owner may change at any time; what is unset stays."""

    name: str | UnsetType = UNSET
    hostname: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    access_ipv4: str | UnsetType = UNSET
    access_ipv6: str | UnsetType = UNSET
    manual_disk: bool | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET


class ChangeServer(Command, frozen=True, kw_only=True, tag="server.change.1"):
    """New words on a server. It goes on running."""

    TOLD: ClassVar[str] = "changed the server {server_id}"

    server_id: ServerId
    change: ServerChange
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        server = need_server(tx, self.server_id)
        given = {field: value for field, value in msgspec.structs.asdict(self.change).items() if value is not UNSET}
        tx.put(replace(server, updated_ms=self.now_ms, generation=server.generation + 1, **given))


class SetServerMetadata(Command, frozen=True, kw_only=True, tag="server.set_metadata.1"):
    """Set entries, remove others, or put new ones in the place of all."""

    TOLD: ClassVar[str] = "changed the metadata of server {server_id}"

    server_id: ServerId
    changed: dict[str, str] = msgspec.field(default_factory=dict)
    removed: tuple[str, ...] = ()
    replaces_all: bool = False
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        server = need_server(tx, self.server_id)
        for key in self.removed:
            if key not in server.metadata:
                raise NotFound(f"Metadata item was not found: {key}")
        kept = {} if self.replaces_all else server.metadata
        metadata = {key: value for key, value in kept.items() if key not in self.removed} | self.changed
        if len(metadata) > METADATA_MAX:
            raise Forbidden(f"Maximum number of metadata items exceeds {METADATA_MAX}")
        tx.put(replace(server, metadata=dict(sorted(metadata.items())), updated_ms=self.now_ms))


# --- what the nodes say -----------------------------------------------------------------------------------------------


class GuestReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a node saw of one server's guest. `run` is the run that it saw."""

    server_id: ServerId
    power: Power
    run: int
    ended_itself: bool = False  # the guest powered itself off: that is what its owner wants
    fault: str | None = None


class ReportGuests(Command, frozen=True, kw_only=True, tag="server.report.1"):
    """What changed of a node's guests. Of servers that went elsewhere or were removed it says nothing."""

    TOLD: ClassVar[str] = "reported the guests {reports} of node {node_id}"

    node_id: NodeId
    reports: tuple[GuestReport, ...]
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        for report in self.reports:
            server = tx.get(Server, report.server_id)
            if server is not None and server.node_id == self.node_id:
                self._note(tx, server, report)

    def _note(self, tx: Transaction, server: Server, report: GuestReport) -> None:
        before = server.observed
        launched_ms = before.launched_ms
        if launched_ms is None and report.power is Power.ON:
            launched_ms = self.now_ms
        after = replace(server, observed=replace(before, power=report.power, run=report.run, launched_ms=launched_ms))
        after = replace(after, observed=replace(after.observed, fault=self._fault(before, report)))
        # A start or reboot that was asked for meanwhile is newer than what the guest did by itself.
        if report.ended_itself and server.run == report.run and server.power is Power.ON:
            after = replace(after, power=Power.OFF, generation=server.generation + 1)
        if after != server:
            tx.put(replace(after, updated_ms=self.now_ms))

    def _fault(self, before: Observed, report: GuestReport) -> Fault | None:
        if report.fault is None:
            return None
        if before.fault is not None and before.fault.message == report.fault:
            return before.fault
        return Fault(message=report.fault, since_ms=self.now_ms)


class ConfirmVolumes(Command, frozen=True, kw_only=True, tag="server.volumes.confirm.1"):
    """What a node saw of a server's volumes: its guest has some, has let go of others, and can't be given the rest."""

    TOLD: ClassVar[str] = "reported the volumes of server {server_id}"

    FREES_ROOM: ClassVar[bool] = True

    node_id: NodeId
    server_id: ServerId
    attached: tuple[AttachmentId, ...] = ()
    detached: tuple[AttachmentId, ...] = ()
    failed: dict[AttachmentId, str] = msgspec.field(default_factory=dict)
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        server = tx.get(Server, self.server_id)
        if server is None or server.node_id != self.node_id or server.deleting:
            return
        kept = []
        for attachment in server.attachments:
            if attachment.id in self.detached and attachment.detaching:
                detach_from_server(tx, attachment.volume_id, server.id)
                continue
            kept.append(self._seen(tx, attachment))
        if tuple(kept) != server.attachments:
            tx.put(replace(server, attachments=tuple(kept), updated_ms=self.now_ms))

    def _seen(self, tx: Transaction, attachment: Attachment) -> Attachment:
        if attachment.detaching:
            return replace(attachment, fault=self.failed.get(attachment.id, attachment.fault))
        if attachment.settled:
            return attachment
        if attachment.id in self.attached:
            confirm_attached(tx, attachment.id, self.now_ms)
            return replace(attachment, attached=True, fault=None)
        if attachment.id in self.failed:
            # It may be half there: the guest lets go of it as of any other.
            begin_detaching(tx, attachment.id)
            return replace(attachment, detaching=True, fault=self.failed[attachment.id])
        return attachment


class FinishServerDeletions(Command, frozen=True, kw_only=True, tag="server.finish_deletion.1"):
    """Nothing of these servers is left on their node: their records, ports, disks and shares of it go."""

    TOLD: ClassVar[str] = "confirmed that nothing is left of the servers {server_ids}"

    FREES_ROOM: ClassVar[bool] = True

    node_id: NodeId
    server_ids: tuple[ServerId, ...]

    def apply(self, tx: Transaction) -> None:
        for server_id in self.server_ids:
            server = tx.get(Server, server_id)
            if server is not None and server.deleting and server.node_id == self.node_id:
                finish_deletion(tx, server)


def finish_deletion(tx: Transaction, server: Server) -> None:
    """Nothing of the server is left anywhere: its record goes, and what it had."""
    for port_id in server.ports:
        if port_id in server.kept_ports:
            unbind_port(tx, port_id)
        else:
            delete_port(tx, port_id)
    for attachment in server.attachments:
        if tx.get(Volume, attachment.volume_id) is None:
            continue
        if attachment.delete_on_termination:
            delete_volume(tx, attachment.volume_id)
        else:
            detach_from_server(tx, attachment.volume_id, server.id)
    free(tx, server.id)
    tx.delete(Server, server.id)
