"""What the cluster knows of a volume: what it is, where its replicas are, who may write it."""

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from typing import ClassVar, Final

import msgspec
import xxhash
from msgspec.structs import replace

from noded.core.ids import AttachmentId, DiskId, NodeId, ProjectId, VolumeId
from noded.core.record import Record
from noded.core.store import View
from noded.core.units import GIB, KIB, gib_ceil
from storage.pools.model import Disk
from storage.types.model import REPLICAS_WANTED

__all__ = ["REPLICAS_WANTED"]  # where the rest of the house knows it from

Layout = tuple[tuple[DiskId, ...], ...]  # for each extent its disks, on distinct nodes, best first

EXTENTS_WANTED: Final = 64  # a new volume has no more extents than this, so that its record stays small
EXTENTS_MAX: Final = 256  # a clone keeps its parent's extent size and may need more
EXTENT_BYTES_MIN: Final = GIB
# An image's extents are large (they are sparse, so that costs nothing), so that large root disks can be cloned from it.
IMAGE_EXTENT_BYTES: Final = 16 * GIB
BLOCK_BYTES: Final = 4 * KIB
METADATA_MAX: Final = 128  # items
CHAIN_MAX: Final = 250  # layers that a volume may read through; a disk counts them in a byte
FORMATTING: Final = "creating"  # what goes on with an encrypted volume that has no header yet
VOLUME_BYTES_MAX: Final = EXTENTS_WANTED * 256 * GIB


class Purpose(StrEnum):
    """What a volume is for. Cinder's API shows only DATA."""

    SNAPSHOT = "snapshot"  # what a volume was at one moment; also where only clones need that any more
    ROOT = "root"  # a server's root disk
    IMAGE = "image"  # the bytes of an image, or what root disks are cloned from
    DATA = "data"
    BACKUP = "backup"  # the bytes of a backup


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who uses the volume, or is about to: a server of ours (`node_id` is set), or whoever says so."""

    id: AttachmentId
    server_id: str | None = None
    node_id: NodeId | None = None  # the node whose guest has it; None: a note of what happens elsewhere
    host: str | None = None  # what people call the machine
    device: str | None = None
    read_only: bool = False
    connector: dict[str, str] = msgspec.field(default_factory=dict)  # how it reaches the volume; empty: not told yet
    asked_ms: int = 0
    attached_ms: int | None = None  # None: it does not have the volume yet
    detaching: bool = False


class Joining(msgspec.Struct, frozen=True, kw_only=True):
    """A replica of an extent that is being made on a disk; `instead` of one that is to leave then."""

    extent: int
    disk_id: DiskId
    instead: DiskId | None = None


class Leaving(msgspec.Struct, frozen=True, kw_only=True):
    """A replica that counts until enough others are in sync, and then leaves the layout."""

    extent: int
    disk_id: DiskId


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """Extents of which a disk still has bytes, although they left it when the record had counted `changes` changes."""

    disk_id: DiskId
    extents: tuple[int, ...]
    changes: int
    since_ms: int


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What the user made the volume from, as the API tells it."""

    snapshot_id: str | None = None
    volume_id: str | None = None
    image_id: str | None = None


class Encryption(msgspec.Struct, frozen=True, kw_only=True):
    """How a volume's blocks are encrypted: LUKS, by QEMU, on the node of the guest. Neither disk nor wire sees others.

    What is under a snapshot or a clone was written with the same key, so they keep it.
    """

    key_id: str  # the secret in the vault
    cipher: str
    key_bits: int
    header_bytes: int  # of LUKS, in front of what the guest sees
    formatted: bool = False  # the header is there, and what the volume began as
    source_id: VolumeId | None = None  # the disk of an image, which it is to begin as; None: anything


class ScrubPass(msgspec.Struct, frozen=True, kw_only=True):
    """A pass over all replicas: when it began, how many extents are checked, and what was found, disk by disk."""

    begun_ms: int
    extents: int = 0
    rotten: dict[DiskId, int] = {}  # blocks that the disk had not kept as they were written
    different: dict[DiskId, int] = {}  # blocks that were older, or other, than what most had
    gone: int = 0  # blocks that no disk has any more


class Volume(Record, frozen=True, kw_only=True, tag="volume.1"):
    """One volume. Desired: size, who uses it, whether it is to go. Replicated truth: epoch, owner, in-sync set."""

    INDEXED: ClassVar[tuple[str, ...]] = (
        "project_id",
        "parent_id",
        "server_id",
        "node_id",
        "disk_ids",
        "attachment_ids",
        "snapshot_of",
        "waits_for",
        "group_id",
        "key_id",
        "unformatted",
    )
    NOUN: ClassVar[str] = "volume"

    project_id: ProjectId
    name: str
    size_bytes: int
    extent_bytes: int
    layout: Layout
    disk_ids: tuple[DiskId, ...]  # every disk that ever was in `layout`, once: where something is to be removed
    in_sync: tuple[DiskId, ...]
    purpose: Purpose
    created_at_ms: int
    updated_at_ms: int
    user_id: str = ""  # who made it
    description: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    parent_id: VolumeId | None = None  # a clone shows the parent's blocks where it has none of its own
    immutable: bool = False
    server_id: str | None = None  # the server that it belongs to or is attached to
    node_id: NodeId | None = None  # the one node that may serve it for writing; None: nobody uses it
    epoch: int = 0  # grows with each claim; replicas refuse older ones
    changes: int = 0  # how often the in-sync set has changed
    owner_id: NodeId | None = None  # the node whose volume server made the newest claim
    claim_id: str = ""  # drawn by that volume server, so that asking twice claims once
    deleting: bool = False
    removed_from: tuple[DiskId, ...] = ()  # where nothing of it is left
    attachments: tuple[Attachment, ...] = ()
    type_id: str = ""  # its volume type; empty: the default one
    replicas_wanted: int = REPLICAS_WANTED  # as its type said when it was made
    bootable: bool | None = None  # None: as it was made, what has a parent can be booted from
    readonly: bool | None = None  # None: nobody has said
    multiattach: bool = False
    image_metadata: dict[str, str] = msgspec.field(default_factory=dict)  # what is known of the image in it
    # What goes on with it, in Cinder's word (`attaching`, `awaiting-transfer`, `error`): somebody's mark, as it is no
    # state of the engine. Empty: nothing; the status follows from the rest of the record.
    phase: str = ""
    joining: tuple[Joining, ...] = ()
    leaving: tuple[Leaving, ...] = ()
    leftovers: tuple[Leftover, ...] = ()  # oldest first
    layer_id: str = ""  # the name that disks know its own blocks by; empty: its id
    snapshot_of: VolumeId | None = None  # the volume that it is a snapshot of
    # The snapshot that is to become its parent and does not exist yet; so far `layout` has only what lies beyond it.
    waits_for: str | None = None
    made_from: Source = Source()
    group_id: str | None = None
    encryption: Encryption | None = None
    scrub: ScrubPass | None = None  # the one under way
    scrubbed_ms: int = 0  # when the last one that went to the end began; 0: there was none
    scrub_found: ScrubPass | None = None  # what it found

    @property
    def key_id(self) -> str | None:
        """The secret that its blocks were encrypted with."""
        return None if self.encryption is None else self.encryption.key_id

    @property
    def unformatted(self) -> bool | None:
        """Whether a node has still to write its LUKS header; None, and so in no index, where there is nothing to do."""
        is_due = self.encryption is not None and not self.encryption.formatted and self.phase == FORMATTING
        return True if is_due and not self.deleting else None

    @property
    def stored_bytes(self) -> int:
        """How much the engine keeps of it: what its users see, and the header in front."""
        return self.size_bytes + self.header_bytes

    @property
    def header_bytes(self) -> int:
        """How long the header in front of it is; 0 where it has none."""
        return 0 if self.encryption is None else self.encryption.header_bytes

    @property
    def attachment_ids(self) -> tuple[AttachmentId, ...]:
        """By which the volume is found."""
        return tuple(each.id for each in self.attachments)

    @property
    def volume_id(self) -> VolumeId:
        """The id in its own kind."""
        return VolumeId(self.id)

    @property
    def layer(self) -> VolumeId:
        """The name that disks know its own blocks by. A snapshot takes it along, and the volume gets a new one."""
        return VolumeId(self.layer_id or self.id)

    @property
    def out_of_sync(self) -> tuple[DiskId, ...]:
        """The disks whose replica is behind."""
        return tuple(disk for disk in disks_of(self.layout) if disk not in self.in_sync)

    @property
    def status(self) -> str:
        """Cinder's word for where it is in its life."""
        return "deleting" if self.deleting else self.phase or self.resting

    @property
    def resting(self) -> str:
        """The word for it while nothing else goes on with it: it follows from who has it."""
        if any(each.detaching for each in self.attachments):
            return "detaching"
        for each in self.attachments:
            if each.attached_ms is None:
                return "attaching" if each.connector else "reserved"
        return "in-use" if self.attachments or self.server_id is not None else "available"

    @property
    def words(self) -> dict[str, str]:
        """Its metadata as the API shows it: with what Cinder puts in between."""
        return self.metadata if self.readonly is None else self.metadata | {"readonly": str(self.readonly)}

    @property
    def gib(self) -> int:
        """Its size as the API and quotas count it."""
        return gib_ceil(self.size_bytes)

    @property
    def replicas(self) -> int:
        """How many replicas the extent with the fewest has."""
        return min((len(disks) for disks in self.layout), default=0)


class CutPart(msgspec.Struct, frozen=True, kw_only=True):
    """One volume of a cut, and the id of the snapshot that comes out of it."""

    volume_id: VolumeId
    frozen_id: VolumeId


class Cut(Record, frozen=True, kw_only=True, tag="volume_cut.1"):
    """A wish: what these volumes are at one moment becomes snapshots. It goes when it has been fulfilled or given up.

    `hidden`: nobody can name the snapshots; they live as long as the clones for which they are made.
    """

    INDEXED: ClassVar[tuple[str, ...]] = ("volume_ids", "frozen_ids")
    NOUN: ClassVar[str] = "snapshot"

    parts: tuple[CutPart, ...]
    asked_ms: int
    hidden: bool = False

    @property
    def volume_ids(self) -> tuple[VolumeId, ...]:
        """What is to be cut."""
        return tuple(part.volume_id for part in self.parts)

    @property
    def frozen_ids(self) -> tuple[VolumeId, ...]:
        """What comes out of it."""
        return tuple(part.frozen_id for part in self.parts)


class Group(Record, frozen=True, kw_only=True, tag="volume_group.1"):
    """Volumes of one project that are snapshotted together. Which these are, the volumes say."""

    INDEXED: ClassVar[tuple[str, ...]] = ("project_id",)
    NOUN: ClassVar[str] = "group"

    project_id: ProjectId
    user_id: str
    name: str
    description: str | None
    group_type_id: str
    volume_type_ids: tuple[str, ...]  # what its volumes may be of
    created_at_ms: int
    group_snapshot_id: str | None = None  # what it was made from
    source_group_id: str | None = None
    said: str = ""  # the status that an administrator has said it has; empty: what is the case


def volumes_in(view: View, group_id: str) -> list[Volume]:
    """The volumes of a group, the oldest first."""
    found = [volume for volume in view.find(Volume, "group_id", group_id) if not volume.deleting]
    return sorted(found, key=lambda each: (each.created_at_ms, each.id))


def disks_of(layout: Layout) -> tuple[DiskId, ...]:
    """Every disk of a layout once, in the order in which they appear."""
    return tuple(dict.fromkeys(disk for extent in layout for disk in extent))


def extent_bytes_for(size_bytes: int) -> int:
    """The extent size of a new volume: a power of two of GiB, so that it has at most `EXTENTS_WANTED` extents."""
    extent_bytes = EXTENT_BYTES_MIN
    while extent_bytes * EXTENTS_WANTED < size_bytes:
        extent_bytes *= 2
    return extent_bytes


def whole_blocks(size_bytes: int) -> int:
    """`size_bytes` rounded up to whole blocks, and at least one."""
    return max(1, -(-size_bytes // BLOCK_BYTES)) * BLOCK_BYTES


def children(view: View, volume_id: VolumeId) -> list[Volume]:
    """The volumes that were cloned from `volume_id` and still need its blocks."""
    return view.find(Volume, "parent_id", volume_id)


def ancestors(view: View, volume: Volume) -> Iterator[Volume]:
    """The chain of volumes that `volume` falls through to, nearest first."""
    parent_id = volume.parent_id
    while parent_id is not None:
        parent = view.need(Volume, parent_id)
        yield parent
        parent_id = parent.parent_id


def may_read_through(
    view: View, volume: Volume, extent: int, disk_id: DiskId, *, stays: bool = False, in_sync: bool = True
) -> bool:
    """Whether every source of the volume has the extent on the disk: up to date (`in_sync`), and to stay (`stays`)."""
    return all(
        disk_id in parent.layout[extent]
        and not (stays and is_leaving(parent, extent, disk_id))
        and (not in_sync or disk_id in parent.in_sync)
        for parent in ancestors(view, volume)
        if extent < len(parent.layout)
    )


def is_leaving(volume: Volume, extent: int, disk_id: DiskId) -> bool:
    """Whether a replica is to leave."""
    return any((each.extent, each.disk_id) == (extent, disk_id) for each in volume.leaving)


def places_of_layers(view: View) -> dict[VolumeId, set[DiskId]]:
    """On which disks anything of a layer may be: whatever is elsewhere, no record names."""
    places: dict[VolumeId, set[DiskId]] = {}
    for volume in view.all(Volume):
        mine = {*volume.disk_ids, *(each.disk_id for each in volume.joining)}
        mine.update(each.disk_id for each in volume.leftovers)
        places.setdefault(volume.layer, set()).update(mine)
        if volume.parent_id is not None and view.get(Volume, volume.parent_id) is not None:
            # A clone keeps an empty place for its sources on each of its disks.
            for source in ancestors(view, volume):
                places.setdefault(source.layer, set()).update(mine)
    return places


def is_needed(view: View, volume: Volume) -> bool:
    """Whether somebody wants its blocks: also those of a deleted volume show through in its clones."""
    return not volume.deleting or bool(children(view, volume.volume_id))


def still_leaving(volume: Volume, joining: tuple[Joining, ...]) -> tuple[Leaving, ...]:
    """Whoever was to make room for one that does not come any more stays, unless another one comes."""
    kept = {(each.extent, each.instead) for each in joining}
    back = {(each.extent, each.instead) for each in volume.joining} - kept
    return tuple(each for each in volume.leaving if (each.extent, each.disk_id) not in back)


def without_disks(volume: Volume, going: Collection[DiskId]) -> Volume:
    """The record once some disks are no part of the cluster any more."""
    layout: Layout = tuple(tuple(disk for disk in disks if disk not in going) for disks in volume.layout)
    in_sync = tuple(disk for disk in volume.in_sync if disk not in going)
    joining = tuple(
        replace(each, instead=None) if each.instead in going else each
        for each in volume.joining
        if each.disk_id not in going
    )
    changed = (layout, in_sync, joining) != (volume.layout, volume.in_sync, volume.joining)
    return replace(
        volume,
        layout=layout,
        disk_ids=tuple(disk for disk in volume.disk_ids if disk not in going),
        in_sync=in_sync,
        changes=volume.changes + changed,
        removed_from=tuple(disk for disk in volume.removed_from if disk not in going),
        joining=joining,
        leaving=tuple(each for each in still_leaving(volume, joining) if each.disk_id not in going),
        leftovers=tuple(each for each in volume.leftovers if each.disk_id not in going),
    )


def scrub_asked_ms(view: View, volume: Volume) -> int:
    """When an operator asked last for a disk that has a replica of the volume; 0: never."""
    disks = (view.get(Disk, disk_id) for disk_id in disks_of(volume.layout))
    return max((disk.scrub_asked_ms for disk in disks if disk is not None), default=0)


def repairer_of(volume: Volume, disks: Mapping[DiskId, Disk], reachable: Collection[NodeId]) -> NodeId | None:
    """One node, the same whoever asks: among those that are up and hold an up-to-date replica, drawn by hash."""
    nodes = {disks[disk_id].node_id for disk_id in disks_of(volume.layout) if disk_id in volume.in_sync}
    up = sorted(nodes & set(reachable))
    if volume.joining and volume.owner_id in up:
        return volume.owner_id  # each replica that comes would change the draw, and what was begun would begin anew
    return max(up, key=lambda node: draw_weight(volume.id, node), default=None)


def draw_weight(id: str, node_id: NodeId) -> int:
    """Who is drawn has the highest: the same whoever asks."""
    return xxhash.xxh3_64_intdigest(f"{id}/{node_id}".encode())


def checker(view: View, volume: Volume, reachable: Collection[NodeId]) -> NodeId | None:
    """The node that has a volume checked: the one that serves it, else one that has a replica, drawn by hash."""
    if volume.node_id is not None:
        return volume.node_id
    known = ((disk_id, view.get(Disk, disk_id)) for disk_id in disks_of(volume.layout))
    return repairer_of(volume, {disk_id: disk for disk_id, disk in known if disk is not None}, reachable)
