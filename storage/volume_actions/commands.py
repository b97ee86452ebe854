"""How what goes on with a volume, and what is known of it, is changed by hand."""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Invalid, NotFound
from noded.core.ids import VolumeId
from noded.core.store import Transaction
from storage.types.commands import need_type
from storage.types.model import unmet
from storage.volumes.commands import charge_volume, delete_volume, mark_volume, must_be_unused
from storage.volumes.model import METADATA_MAX, Volume, ancestors


class ReserveVolume(Command, frozen=True, kw_only=True, tag="volume.reserve.1"):
    """Somebody is about to attach the volume: nobody else may."""

    TOLD: ClassVar[str] = "reserved the volume {volume_id}"

    volume_id: VolumeId

    def apply(self, tx: Transaction) -> None:
        several = tx.need(Volume, self.volume_id).multiattach
        expected = ("available", "in-use") if several else ("available",)
        mark_volume(tx, self.volume_id, "attaching", expected=expected, doing="reserve it")


class ReleaseVolume(Command, frozen=True, kw_only=True, tag="volume.release.1"):
    """It is not attached after all. Where nobody had reserved it: nothing."""

    TOLD: ClassVar[str] = "took back the reservation of volume {volume_id}"

    volume_id: VolumeId

    def apply(self, tx: Transaction) -> None:
        if tx.need(Volume, self.volume_id).phase == "attaching":
            mark_volume(tx, self.volume_id, "", expected=(), doing="release it")


class BeginDetaching(Command, frozen=True, kw_only=True, tag="volume.detaching.begin.1"):
    """Somebody is about to detach the volume."""

    TOLD: ClassVar[str] = "said that volume {volume_id} is being detached"

    volume_id: VolumeId

    def apply(self, tx: Transaction) -> None:
        mark_volume(tx, self.volume_id, "detaching", expected=("in-use",), doing="begin detaching it")


class RollDetaching(Command, frozen=True, kw_only=True, tag="volume.detaching.roll.1"):
    """It stays attached after all. Where nobody was detaching it: nothing."""

    TOLD: ClassVar[str] = "said that volume {volume_id} stays attached"

    volume_id: VolumeId

    def apply(self, tx: Transaction) -> None:
        if tx.need(Volume, self.volume_id).phase == "detaching":
            mark_volume(tx, self.volume_id, "", expected=(), doing="keep it attached")


class ResetStatus(Command, frozen=True, kw_only=True, tag="volume.reset_status.1"):
    """An administrator's word for what goes on with a volume. It changes nothing else of it."""

    TOLD: ClassVar[str] = "reset the status of volume {volume_id} to {phase}"

    volume_id: VolumeId
    phase: str

    def apply(self, tx: Transaction) -> None:
        mark_volume(tx, self.volume_id, self.phase, expected=(), doing="reset its status")


class ForceDeleteVolume(Command, frozen=True, kw_only=True, tag="volume.force_delete.1"):
    """A tombstone whatever goes on with the volume, unless a server has it."""

    TOLD: ClassVar[str] = "deleted the volume {volume_id} by force"

    FREES_ROOM: ClassVar[bool] = True

    volume_id: VolumeId

    def apply(self, tx: Transaction) -> None:
        must_be_unused(tx.need(Volume, self.volume_id))
        delete_volume(tx, self.volume_id)


class SetVolumeFlags(Command, frozen=True, kw_only=True, tag="volume.set_flags.1"):
    """Whether a server can boot from the volume, whether it may be written; None leaves a flag as it is."""

    TOLD: ClassVar[str] = "set flags of volume {volume_id}"

    volume_id: VolumeId
    bootable: bool | None = None
    readonly: bool | None = None
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        if self.readonly is not None and volume.status != "available":
            raise Invalid(
                f"Invalid volume: Volume {volume.id} status must be available to update readonly flag, but it is"
                f" {volume.status}."
            )
        tx.put(
            replace(
                volume,
                bootable=volume.bootable if self.bootable is None else self.bootable,
                readonly=volume.readonly if self.readonly is None else self.readonly,
                updated_at_ms=self.now_ms,
            )
        )


class RetypeVolume(Command, frozen=True, kw_only=True, tag="volume.retype.1"):
    """The volume is of another type. Nothing is copied: replicas that the new one wants more are made from now on."""

    TOLD: ClassVar[str] = "made the volume {volume_id} one of type {type_id}"

    volume_id: VolumeId
    type_id: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume, kind = tx.need(Volume, self.volume_id), need_type(tx, self.type_id)
        before = need_type(tx, volume.type_id)
        if kind.id == before.id:
            raise Invalid(f"Invalid input received: New volume_type same as original: {kind.name}.")
        if volume.status not in ("available", "in-use"):
            raise Invalid(
                f"Invalid volume: Volume {volume.id} status must be available or in-use to retype, but it is"
                f" {volume.status}."
            )
        if kind.encryption != before.encryption:
            raise Invalid(
                f"Invalid volume: Volume {volume.id} can't become one of type {kind.name}: its blocks were written as"
                f" type {before.name} says, and {kind.name} encrypts in another way. Make a volume of that type, and"
                " copy what is in it within a server."
            )
        if volume.group_id is not None:
            raise Invalid(
                f"Invalid volume: Volume {volume.id} belongs to group {volume.group_id}, whose volumes are of its"
                " types. Take it out first."
            )
        lacking = unmet(kind)
        if lacking is not None:
            raise Invalid(f"Invalid input received: no pool has {lacking}, which volume type {kind.name} asks for.")
        differ = (kind.qos_id, kind.multiattach) != (before.qos_id, volume.multiattach)
        if differ and volume.status == "in-use":
            raise Invalid(
                f"Invalid volume: Volume {volume.id} is in use, and type {kind.name} has another QoS or multiattach,"
                " which its guest was not given. Detach it first."
            )
        retyped = replace(
            volume,
            type_id=kind.id,
            replicas_wanted=kind.replicas,
            multiattach=kind.multiattach,
            updated_at_ms=self.now_ms,
        )
        # What it reads through to must be wherever it is to be.
        for source in list(ancestors(tx, volume)):
            if source.replicas_wanted < kind.replicas:
                tx.put(replace(source, replicas_wanted=kind.replicas))
        tx.put(retyped)
        charge_volume(tx, retyped)


class SetImageMetadata(Command, frozen=True, kw_only=True, tag="volume.set_image_metadata.1"):
    """What is known of the image in a volume: words to put to it, and keys to take out."""

    TOLD: ClassVar[str] = "changed the image metadata of volume {volume_id}"

    volume_id: VolumeId
    added: dict[str, str] = msgspec.field(default_factory=dict)
    removed: tuple[str, ...] = ()

    def apply(self, tx: Transaction) -> None:
        volume = tx.need(Volume, self.volume_id)
        for key in self.removed:
            if key not in volume.image_metadata:
                raise NotFound(f"Metadata does not exist: the image of volume {volume.id} has no key {key[:255]}.")
        words = {key: value for key, value in volume.image_metadata.items() if key not in self.removed} | self.added
        if len(words) > METADATA_MAX:
            raise Invalid(f"A volume has at most {METADATA_MAX} image metadata items; there would be {len(words)}.")
        tx.put(replace(volume, image_metadata=words))
