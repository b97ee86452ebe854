"""How the cluster's authority and its rotation are shown by noded's own API."""

from collections.abc import Sequence

from consensus.certificates.model import Rotation, Stage
from consensus.members.model import Node
from noded.core.times import zulu


def authority_view(
    fingerprint: str, certificate_pem: str, rotation: Rotation | None, nodes: Sequence[Node]
) -> dict[str, object]:
    """The authority's JSON. `certificate_pem` is what users' clients trust."""
    return {
        "fingerprint": fingerprint,
        "certificate": certificate_pem,
        "rotation": None if rotation is None else _rotation_view(rotation, nodes),
    }


def _rotation_view(rotation: Rotation, nodes: Sequence[Node]) -> dict[str, object]:
    waits = [node for node in nodes if node.id not in rotation.done] if rotation.stage is not Stage.DONE else []
    return {
        "number": rotation.number,
        "stage": rotation.stage.value,
        "waits_for": [{"id": node.id, "name": node.name} for node in waits],
        "begun_at": zulu(rotation.begun_at_ms),
        "changed_at": zulu(rotation.changed_at_ms),
    }
