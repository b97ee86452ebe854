"""How a volume is made from what another one, or a snapshot, is: a clone, which copies nothing."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict, Invalid
from noded.core.ids import ProjectId, VolumeId
from noded.core.store import Transaction
from storage.extents.layout import extent_count
from storage.types.commands import need_type
from storage.volumes.commands import charge_volume, clone_volume, enter_group
from storage.volumes.encrypting import must_match
from storage.volumes.layers import clone_of_moment
from storage.volumes.model import EXTENTS_MAX, Layout, Purpose, Source, Volume


class CreateClone(Command, frozen=True, kw_only=True, tag="volume.create_clone.1"):
    """A volume that begins as what `source_id` is. A snapshot, or the disk of an image, is there already; of
    a volume a snapshot is made for it first.

    `tail` are the places of the extents that the source does not have.
    """

    TOLD: ClassVar[str] = "created the volume {name} from {source_id}"

    volume_id: VolumeId
    source_id: VolumeId
    frozen_id: VolumeId  # of the snapshot that is made for it, where one is
    cut_id: str
    project_id: ProjectId
    user_id: str
    name: str
    description: str = ""
    metadata: dict[str, str] = msgspec.field(default_factory=dict)
    size_bytes: int
    tail: Layout
    now_ms: int
    type_id: str = ""
    multiattach: bool = False
    group_id: str | None = None
    image_id: str = ""  # of the image whose disk the source is
    image_metadata: dict[str, str] = msgspec.field(default_factory=dict)  # what is known of that image

    def apply(self, tx: Transaction) -> None:
        source, kind = tx.need(Volume, self.source_id), need_type(tx, self.type_id)
        must_match(source, kind)
        if self.multiattach and not kind.multiattach:
            raise Invalid(f"Volume type {kind.name} does not allow multiattach; its extra specs don't say so.")
        make = self._from_volume if source.purpose is Purpose.DATA else self._from_frozen
        clone = make(tx, source)
        volume = replace(
            clone,
            user_id=self.user_id,
            description=self.description,
            metadata=self.metadata,
            type_id=self.type_id,
            replicas_wanted=kind.replicas,
            multiattach=self.multiattach or kind.multiattach,
            bootable=source.parent_id is not None if source.bootable is None else source.bootable,
            image_metadata=source.image_metadata,
        )
        if self.image_id:
            volume = replace(volume, bootable=True, image_metadata=self.image_metadata)
        tx.put(volume)
        charge_volume(tx, volume)
        if self.group_id is not None:
            enter_group(tx, volume, self.group_id)

    def _from_frozen(self, tx: Transaction, source: Volume) -> Volume:
        clone = clone_volume(
            tx,
            volume_id=self.volume_id,
            parent_id=self.source_id,
            project_id=self.project_id,
            name=self.name,
            size_bytes=self.size_bytes,
            tail=self.tail,
            purpose=Purpose.DATA,
            now_ms=self.now_ms,
        )
        return replace(
            clone, made_from=Source(image_id=self.image_id) if self.image_id else Source(snapshot_id=source.id)
        )

    def _from_volume(self, tx: Transaction, source: Volume) -> Volume:
        if source.status not in ("available", "in-use"):
            raise Invalid(
                f"Invalid volume: source volume {source.id} is {source.status}; it must be available or in-use."
            )
        if self.size_bytes < source.size_bytes:
            raise Invalid(
                f"Volume size {self.size_bytes} bytes is smaller than the source volume's {source.size_bytes}."
            )
        extents = extent_count(self.size_bytes + source.header_bytes, source.extent_bytes)
        if extents > EXTENTS_MAX:
            raise Invalid(f"A clone of volume {source.id} can have at most {EXTENTS_MAX * source.extent_bytes} bytes.")
        if len(source.layout) + len(self.tail) < extents:
            raise Conflict(f"Volume {source.id} has another size now. Try again.")
        return clone_of_moment(
            tx,
            source,
            volume_id=self.volume_id,
            frozen_id=self.frozen_id,
            cut_id=self.cut_id,
            project_id=self.project_id,
            name=self.name,
            purpose=Purpose.DATA,
            now_ms=self.now_ms,
            size_bytes=self.size_bytes,
            tail=self.tail,
        )
