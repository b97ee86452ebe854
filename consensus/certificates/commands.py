"""How the authority is rotated: begun once, and carried from stage to stage by what the nodes report."""

from typing import ClassVar

from msgspec.structs import replace

from consensus.certificates.model import ROTATION, Rotation, Stage
from consensus.members.commands import replace_authority
from consensus.members.model import AUTHORITY, ClusterAuthority, Node
from noded.core.command import Command
from noded.core.errors import Conflict
from noded.core.ids import NodeId
from noded.core.store import Transaction

_AFTER = {Stage.TRUST: Stage.SIGN, Stage.SIGN: Stage.DROP, Stage.DROP: Stage.DONE}


class BeginRotation(Command, frozen=True, kw_only=True, tag="authority.rotate.1"):
    """A new authority takes the place of the present one, in stages."""

    TOLD: ClassVar[str] = "began to rotate the cluster's authority"

    certificate_pem: str
    key_pem: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        tx.need(ClusterAuthority, AUTHORITY)
        present = tx.get(Rotation, ROTATION)
        if present is not None and present.stage is not Stage.DONE:
            raise Conflict(
                f"The authority is being rotated already, in stage {present.stage.value}; it goes on by itself."
            )
        tx.put(
            Rotation(
                number=present.number + 1 if present else 1,
                stage=Stage.TRUST,
                other_pem=self.certificate_pem,
                new_key_pem=self.key_pem,
                done=(),
                begun_at_ms=self.now_ms,
                changed_at_ms=self.now_ms,
            )
        )


class NoteRotation(Command, frozen=True, kw_only=True, tag="authority.note.1"):
    """A node has done what the stage asks. The last one begins the next stage; what is told late changes nothing."""

    TOLD: ClassVar[str] = "reported that node {node_id} reached stage {stage} of rotation {number}"

    node_id: NodeId
    number: int
    stage: Stage
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        rotation = tx.get(Rotation, ROTATION)
        if rotation is None or (rotation.number, rotation.stage) != (self.number, self.stage):
            return
        done = tuple(sorted({*rotation.done, self.node_id}))
        if not {node.id for node in tx.all(Node)} <= set(done):
            tx.put(replace(rotation, done=done))
            return
        _go_on(tx, rotation, self.now_ms)


def _go_on(tx: Transaction, rotation: Rotation, now_ms: int) -> None:
    following = replace(rotation, stage=_AFTER[rotation.stage], done=(), changed_at_ms=now_ms)
    if following.stage is Stage.SIGN:
        old = tx.need(ClusterAuthority, AUTHORITY)
        assert rotation.new_key_pem is not None, "it is kept until the new authority signs"
        replace_authority(tx, rotation.other_pem, rotation.new_key_pem)
        following = replace(following, other_pem=old.certificate_pem, new_key_pem=None)
    tx.put(following)
