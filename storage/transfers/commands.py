"""How a volume is offered, taken and kept."""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Invalid, NotFound
from noded.core.ids import ProjectId, VolumeId
from noded.core.store import Transaction
from storage.snapshots.commands import give_snapshots
from storage.transfers.model import Transfer
from storage.types.commands import need_type
from storage.volumes.commands import charge_volume, mark_volume
from storage.volumes.model import Volume

PHASE = "awaiting-transfer"


class CreateTransfer(Command, frozen=True, kw_only=True, tag="volume_transfer.create.1"):
    """Offer a volume; until it is taken or kept, nothing else may be done with it."""

    TOLD: ClassVar[str] = "offered the volume {volume_id} to whoever has the key"

    transfer_id: str
    volume_id: VolumeId
    name: str
    salt: str
    key_hash: str
    no_snapshots: bool = False
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = mark_volume(tx, self.volume_id, PHASE, expected=("available",), doing="transfer it")
        if need_type(tx, volume.type_id).encryption is not None:
            raise Invalid("transferring encrypted volume is not supported")
        if volume.group_id is not None:
            raise Invalid(f"Invalid volume: Volume {volume.id} belongs to group {volume.group_id}. Take it out first.")
        tx.put(
            Transfer(
                id=self.transfer_id,
                project_id=volume.project_id,
                volume_id=self.volume_id,
                name=self.name,
                salt=self.salt,
                key_hash=self.key_hash,
                created_at_ms=self.now_ms,
                no_snapshots=self.no_snapshots,
            )
        )


class AcceptTransfer(Command, frozen=True, kw_only=True, tag="volume_transfer.accept.1"):
    """The volume is the taker's from now on, and counts against the taker's quota."""

    TOLD: ClassVar[str] = "took the volume of transfer {transfer_id}"

    transfer_id: str
    key_hash: str
    project_id: ProjectId
    user_id: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        transfer = _need(tx, self.transfer_id)
        if transfer.key_hash != self.key_hash:
            raise Invalid(f"Invalid auth key: it does not open transfer {transfer.id}.")
        volume = mark_volume(tx, transfer.volume_id, "", expected=(PHASE,), doing="accept its transfer")
        if need_type(tx, volume.type_id).is_open_to(self.project_id) is False:
            raise NotFound(f"Volume type {volume.type_id} could not be found.")
        taken = replace(volume, project_id=self.project_id, user_id=self.user_id, updated_at_ms=self.now_ms)
        charge_volume(tx, taken)
        tx.put(taken)
        if not transfer.no_snapshots:
            give_snapshots(tx, transfer.volume_id, project_id=self.project_id, user_id=self.user_id, now_ms=self.now_ms)
        tx.delete(Transfer, transfer.id)


class DeleteTransfer(Command, frozen=True, kw_only=True, tag="volume_transfer.delete.1"):
    """The volume is kept."""

    TOLD: ClassVar[str] = "took back the offer of transfer {transfer_id}"

    FREES_ROOM: ClassVar[bool] = True

    transfer_id: str

    def apply(self, tx: Transaction) -> None:
        transfer = _need(tx, self.transfer_id)
        volume = tx.get(Volume, transfer.volume_id)
        if volume is not None and volume.phase == PHASE:
            mark_volume(tx, transfer.volume_id, "", expected=(), doing="keep it")
        tx.delete(Transfer, transfer.id)


def _need(tx: Transaction, transfer_id: str) -> Transfer:
    found = tx.get(Transfer, transfer_id)
    if found is None:
        raise NotFound(f"Transfer {transfer_id[:255]} could not be found.")
    return found
