"""Which disks a creation asks for: `imageRef` and `block_device_mapping_v2`, read by Nova's rules. Pure but for ids."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from msgspec import UNSET

from compute import inputs
from compute.flavors.model import Flavor
from compute.servers.bodies import NewServerBody, WantedDisk
from compute.servers.commands import ROOT_DEVICE
from compute.servers.disks import DiskKind, NewDisk
from compute.servers.model import DISKS_MAX
from images.catalog.commands import BootSource, boot_source
from noded.core import dice
from noded.core.errors import Forbidden, Invalid, NotFound
from noded.core.ids import AttachmentId, NodeId, VolumeId
from noded.core.route import Caller
from noded.core.store import View
from noded.core.units import GIB
from storage.attachments.commands import must_be_free, need_data_volume
from storage.extents.layout import extent_count
from storage.volumes.commands import choose_layout
from storage.volumes.model import Layout, Volume, extent_bytes_for, whole_blocks

TAG_SINCE = (2, 42)
VOLUME_TYPE_SINCE = (2, 67)
_LETTERS = "bcdefghijklmnopqrstuvwxyz"
_SOURCES = ("blank", "image", "snapshot", "volume")
_WRONG = "Block Device Mapping is Invalid: "
_SEQUENCE = _WRONG + "Boot sequence for the instance and image/block device mapping combination is not valid."


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskWish:
    """A disk that is asked for and can be made, as far as one node can tell."""

    kind: DiskKind
    image: BootSource | None = None  # what it is cloned from
    snapshot: Volume | None = None  # or this
    volume: Volume | None = None  # the one that exists
    size_bytes: int = 0
    hidden: bool = False  # a root disk that is its server's own affair
    delete: bool = False
    tag: str | None = None

    @property
    def parent(self) -> BootSource | Volume | None:
        """What it is cloned from."""
        return self.image or self.snapshot

    @property
    def source_layout(self) -> Layout:
        """Where the blocks lie that it begins with."""
        source = self.volume or self.parent
        return () if source is None else source.layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Shopper:
    """Who asks, and with what."""

    view: View
    caller: Caller
    flavor: Flavor
    version: tuple[int, int]
    count: int


def read_disks(shopper: Shopper, new: NewServerBody) -> tuple[DiskWish, ...]:
    """The disks, the root first; raises `Refused` with Nova's reasons."""
    image_ref = "" if new.imageRef is UNSET else new.imageRef.rsplit("/", maxsplit=1)[-1]
    entries = [each for each in new.block_device_mapping_v2 if not inputs.flag(each.no_device or False, "no_device")]
    if len(entries) >= DISKS_MAX:
        raise Forbidden(
            f"The maximum allowed number of disk devices ({DISKS_MAX}) to attach to a single instance has"
            " been exceeded."
        )
    order = [_boot_index(each) for each in entries]
    booted = sorted(index for index in order if index is not None)
    root_named = 0 in booted
    if booted != list(range(len(booted))) or not (root_named or image_ref):
        raise Invalid(_SEQUENCE if entries else "Invalid imageRef provided.")
    wishes = [_wish(shopper, entry, index, image_ref) for entry, index in zip(entries, order, strict=True)]
    if not root_named:
        return (_image_root(shopper, image_ref), *wishes)
    root = order.index(0)
    return (wishes[root], *wishes[:root], *wishes[root + 1 :])


def _boot_index(entry: WantedDisk) -> int | None:
    if entry.boot_index is None:
        return None
    index = inputs.number(entry.boot_index, "boot_index", lowest=-(2**31))
    return index if index >= 0 else None


def _wish(shopper: Shopper, entry: WantedDisk, index: int | None, image_ref: str) -> DiskWish:
    _check_words(shopper, entry)
    source = entry.source_type
    target = entry.destination_type or ("local" if source in ("image", "blank") else "volume")
    delete = inputs.flag(entry.delete_on_termination, "delete_on_termination")
    size_bytes = 0 if entry.volume_size is None else GIB * inputs.number(entry.volume_size, "volume_size", lowest=1)
    if target == "local":
        if source != "image" or index != 0:
            raise Invalid(
                f"{_WRONG}a local disk is the image that is booted from; others are volumes here, so not"
                f" source '{source}' with destination 'local'."
            )
        if image_ref and entry.uuid != image_ref:
            raise Invalid(f"{_WRONG}it names another image than imageRef.")
        return _image_root(shopper, entry.uuid or "")
    if source == "blank":
        if not size_bytes:
            raise Invalid(f"{_WRONG}Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")
        return DiskWish(kind=DiskKind.BLANK, size_bytes=size_bytes, delete=delete, tag=entry.tag)
    if not entry.uuid:
        raise Invalid(f"{_WRONG}the entry of source '{source}' needs the uuid of that {source}.")
    if source == "image":
        if not size_bytes:
            raise Invalid(f"{_WRONG}Images with destination_type 'volume' need to have a non-zero size specified")
        image = _image(shopper, entry.uuid)
        _must_hold(image, size_bytes, "Volume")
        return DiskWish(kind=DiskKind.CLONE, image=image, size_bytes=size_bytes, delete=delete, tag=entry.tag)
    if source == "snapshot":
        snapshot = _snapshot(shopper, entry.uuid, index)
        size_bytes = size_bytes or snapshot.size_bytes
        if size_bytes < snapshot.size_bytes:
            raise Invalid(f"Volume is too small for snapshot {snapshot.id}, which has {snapshot.gib} GiB.")
        return DiskWish(kind=DiskKind.CLONE, snapshot=snapshot, size_bytes=size_bytes, delete=delete, tag=entry.tag)
    return DiskWish(kind=DiskKind.VOLUME, volume=_volume(shopper, entry.uuid, index), delete=delete, tag=entry.tag)


def _check_words(shopper: Shopper, entry: WantedDisk) -> None:
    if entry.source_type not in _SOURCES:
        raise Invalid(f"Invalid input for field/attribute source_type. Value: {entry.source_type[:64]}.")
    if entry.destination_type not in (None, "local", "volume"):
        raise Invalid(f"Invalid input for field/attribute destination_type. Value: {entry.destination_type[:64]}.")
    if entry.tag is not None and shopper.version < TAG_SINCE and shopper.version != (2, 32):
        raise Invalid("Additional properties are not allowed ('tag' was unexpected)")
    if entry.tag is not None and not 1 <= len(entry.tag) <= 60:
        raise Invalid("Invalid input for field/attribute tag. A tag has 1 to 60 characters.")
    if entry.volume_type is not None and shopper.version < VOLUME_TYPE_SINCE:
        raise Invalid("Additional properties are not allowed ('volume_type' was unexpected)")


def _image_root(shopper: Shopper, image_id: str) -> DiskWish:
    """A root disk that is made from an image and goes with its server."""
    image, flavor = _image(shopper, image_id), shopper.flavor
    size_bytes = flavor.root_gib * GIB
    if size_bytes:
        _must_hold(image, size_bytes, "Flavor's disk")
    return DiskWish(
        kind=DiskKind.CLONE, image=image, size_bytes=size_bytes or image.size_bytes, hidden=True, delete=True
    )


def _image(shopper: Shopper, image_id: str) -> BootSource:
    image = boot_source(shopper.view, shopper.caller, image_id)
    if image.min_ram_mib > shopper.flavor.memory_mib:
        raise Invalid("Flavor's memory is too small for requested image.")
    return image


def _must_hold(image: BootSource, size_bytes: int, what: str) -> None:
    smallest = max(image.size_bytes, image.min_disk_gib * GIB)
    if size_bytes < smallest:
        raise Invalid(f"{what} is too small for requested image. It has {size_bytes} bytes, image is {smallest} bytes.")


def _volume(shopper: Shopper, volume_id: str, index: int | None) -> Volume:
    try:
        volume = need_data_volume(shopper.view, volume_id)
    except NotFound:
        volume = None
    if volume is None or not _may_use(shopper, volume):
        raise Invalid(f"{_WRONG}failed to get volume {volume_id[:64]}.")
    must_be_free(volume)
    if shopper.count > 1:
        raise Invalid(f"Cannot attach one or more volumes to multiple instances: volume {volume.id}.")
    _must_boot(volume, index)
    return volume


def _snapshot(shopper: Shopper, snapshot_id: str, index: int | None) -> Volume:
    frozen = shopper.view.get(Volume, snapshot_id)
    if frozen is None or frozen.snapshot_of is None or frozen.deleting or not _may_use(shopper, frozen):
        raise Invalid(f"{_WRONG}failed to get snapshot {snapshot_id[:64]}.")
    _must_boot(frozen, index)
    return frozen


def _may_use(shopper: Shopper, volume: Volume) -> bool:
    return volume.project_id == shopper.caller.project_id or shopper.caller.is_admin


def _must_boot(volume: Volume, index: int | None) -> None:
    if index == 0 and not (volume.parent_id is not None if volume.bootable is None else volume.bootable):
        raise Invalid(f"Block Device {volume.id} is not bootable.")


def new_disks(view: View, reachable: Collection[NodeId], node_id: NodeId, wishes: Sequence[DiskWish]) -> list[NewDisk]:
    """The disks with ids, names and places; the root is the first of `wishes`. Raises `NoRoom`."""
    names = [ROOT_DEVICE, *(f"/dev/vd{letter}" for letter in _LETTERS)]
    return [_new_disk(view, reachable, node_id, *pair) for pair in zip(wishes, names, strict=False)]


def _new_disk(view: View, reachable: Collection[NodeId], node_id: NodeId, wish: DiskWish, device: str) -> NewDisk:
    volume_id = VolumeId(dice.new_uuid()) if wish.volume is None else wish.volume.volume_id
    size_bytes = whole_blocks(wish.size_bytes) if wish.size_bytes else 0
    parent = wish.parent
    extent_bytes = extent_bytes_for(size_bytes) if parent is None else parent.extent_bytes
    beyond = range(0)
    if wish.kind is not DiskKind.VOLUME:
        beyond = range(len(wish.source_layout), extent_count(size_bytes, extent_bytes))
    return NewDisk(
        kind=wish.kind,
        volume_id=volume_id,
        attachment_id=AttachmentId(dice.new_uuid()),
        device=device,
        delete_on_termination=wish.delete,
        tag=wish.tag,
        parent_id=None if parent is None else parent.volume_id,
        size_bytes=size_bytes,
        extent_bytes=extent_bytes,
        layout=choose_layout(view, reachable, volume_id, beyond, prefer=node_id) if beyond else (),
    )
