"""The changes that make snapshots of volumes, or give them up. What they do to the records is in `layers.py`."""

from typing import ClassVar, Final

import msgspec

from noded.core.command import Command
from noded.core.ids import NodeId, VolumeId
from noded.core.store import Transaction
from storage.extents.authority import Mark
from storage.volumes.layers import give_up_cut, make_cut
from storage.volumes.model import Cut

FREEZE: Final = "volume.freeze"
RELEASE: Final = "volume.release"
# A volume whose node does not answer for so long is not cut: whoever waits is told.
PATIENCE_MS: Final = 60_000


class StandStill(msgspec.Struct, frozen=True):
    """Asks the node that serves a volume (or is to, for this) to let it stand still, or go on."""

    volume_id: VolumeId
    node_id: NodeId


class MakeCut(Command, frozen=True, kw_only=True, tag="volume.cut.1"):
    """All volumes of the cut stand still, as their marks say: what they are becomes snapshots, in one moment."""

    TOLD: ClassVar[str] = "made the snapshots of {cut_id}"

    cut_id: str
    marks: tuple[Mark, ...]
    layers: tuple[str, ...]  # for each mark's volume the name of its new layer
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        cut = tx.get(Cut, self.cut_id)
        if cut is None:
            return  # somebody else made it, or nobody wants it any more
        marks = {mark.volume_id: mark for mark in self.marks}
        layers = {mark.volume_id: layer for mark, layer in zip(self.marks, self.layers, strict=True)}
        make_cut(tx, cut, marks, layers, self.now_ms)


class GiveUpCut(Command, frozen=True, kw_only=True, tag="volume.cut.give_up.1"):
    """The volumes could not be made to stand still."""

    TOLD: ClassVar[str] = "gave up the snapshots of {cut_id}: {reason}"

    cut_id: str
    reason: str

    def apply(self, tx: Transaction) -> None:
        cut = tx.get(Cut, self.cut_id)
        if cut is not None:
            give_up_cut(tx, cut)
