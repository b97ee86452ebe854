"""How an encrypted volume gets its header, and what it begins as: a node takes it, writes, and says so."""

from typing import ClassVar

from msgspec.structs import replace

from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import NodeId, VolumeId
from noded.core.store import Transaction
from storage.messages.commands import tell
from storage.volumes.commands import hold_volume
from storage.volumes.model import FORMATTING, Volume

OVER = "FormatOver"  # the code of the refusal: it is done, or another node's


class TakeFormat(Command, frozen=True, kw_only=True, tag="volume.format.take.1"):
    """A node writes the volume's header. One that did so before, and is gone, writes no more: its claim is older."""

    TOLD: ClassVar[str] = "gave the formatting of the volume {volume_id} to node {node_id}"

    volume_id: VolumeId
    node_id: NodeId
    before_id: NodeId | None = None  # who had it as that node saw it

    def apply(self, tx: Transaction) -> None:
        volume = _current(tx, self.volume_id, self.before_id)
        hold_volume(tx, volume.volume_id, phase=FORMATTING, node_id=self.node_id)


class FinishFormat(Command, frozen=True, kw_only=True, tag="volume.format.finish.1"):
    """The header, and what the volume begins as, are on all replicas."""

    TOLD: ClassVar[str] = "formatted the encrypted volume {volume_id}"

    volume_id: VolumeId
    node_id: NodeId

    def apply(self, tx: Transaction) -> None:
        volume = _current(tx, self.volume_id, self.node_id)
        assert volume.encryption is not None, "nothing else is formatted"
        done = replace(volume.encryption, formatted=True, source_id=None)
        tx.put(replace(volume, encryption=done, phase="", node_id=None))


class FailFormat(Command, frozen=True, kw_only=True, tag="volume.format.fail.1"):
    """The volume can't be made: it is in error, and a message says why."""

    TOLD: ClassVar[str] = "gave up formatting the volume {volume_id}: {reason}"

    volume_id: VolumeId
    node_id: NodeId
    reason: str
    message_id: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        volume = _current(tx, self.volume_id, self.node_id)
        tx.put(replace(volume, phase="error", node_id=None))
        tell(
            tx,
            message_id=self.message_id,
            project_id=volume.project_id,
            request_id="",
            resource=("VOLUME", volume.id),
            event="005_001",
            text=f"copy image to volume:{self.reason}",
            now_ms=self.now_ms,
        )


def _current(tx: Transaction, volume_id: VolumeId, node_id: NodeId | None) -> Volume:
    volume = tx.get(Volume, volume_id)
    if volume is None or not volume.unformatted or volume.node_id != node_id:
        raise Conflict(f"Volume {volume_id} is not to be formatted any more, or by another node.", code=OVER)
    return volume
