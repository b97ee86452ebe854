"""How far a rotation of the cluster's authority has come. There is one record at most; it stays when it is done."""

from enum import StrEnum
from typing import ClassVar, Final

from consensus.members.model import ClusterAuthority
from noded.core.ids import NodeId
from noded.core.record import Record

ROTATION: Final = "rotation"


class Stage(StrEnum):
    """What every node does now. The next stage begins when all have done it."""

    TRUST = "trust"  # trust the new authority beside the old one, which still signs
    SIGN = "sign"  # be signed by the new one; the old one is still trusted
    DROP = "drop"  # trust the new one alone
    DONE = "done"


class Rotation(Record, frozen=True, kw_only=True, tag="authority_rotation.1"):
    """One rotation. In `done` are the nodes that have reached its stage."""

    NOUN: ClassVar[str] = "rotation of the authority"

    id: str = ROTATION
    number: int
    stage: Stage
    other_pem: str  # the certificate that is trusted beside the one that signs: the new one, then the old one
    new_key_pem: str | None  # only until the new authority signs
    done: tuple[NodeId, ...]
    begun_at_ms: int
    changed_at_ms: int


def trusted_pems(authority: ClusterAuthority, rotation: Rotation | None) -> tuple[str, ...]:
    """The certificates that nodes trust now, the one that signs first."""
    if rotation is None or rotation.stage in {Stage.DROP, Stage.DONE}:
        return (authority.certificate_pem,)
    return (authority.certificate_pem, rotation.other_pem)
