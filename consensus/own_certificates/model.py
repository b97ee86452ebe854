"""Which certificate has the operator given the API, for every node or for one?"""

from typing import ClassVar, Final

from noded.core.ids import NodeId
from noded.core.record import Record
from noded.core.store import View

EVERYWHERE: Final = "everywhere"


class OwnCertificate(Record, frozen=True, kw_only=True, tag="own_certificate.1"):
    """A certificate with those that signed it, and its key. `id`: the node that shows it, or `EVERYWHERE`."""

    NOUN: ClassVar[str] = "certificate of your own"

    id: str
    chain_pem: str
    key_pem: str
    installed_at_ms: int


def own_certificate(view: View, node_id: NodeId) -> OwnCertificate | None:
    """What a node shows: its own before the one for all."""
    return view.get(OwnCertificate, node_id) or view.get(OwnCertificate, EVERYWHERE)
