"""Orders about the operator's certificates. That they are good was seen before: it depends on the time."""

from typing import ClassVar

from consensus.members.model import Node
from consensus.own_certificates.model import EVERYWHERE, OwnCertificate
from noded.core.command import Command
from noded.core.ids import NodeId
from noded.core.store import Transaction


class InstallCertificate(Command, frozen=True, kw_only=True, tag="own_certificate.install.1"):
    """The API of that place shows it from now on, in place of another one."""

    TOLD: ClassVar[str] = "installed a certificate for {names}, shown by {where}"

    place: str
    names: str  # in words, for history
    where: str
    chain_pem: str
    key_pem: str
    now_ms: int

    def apply(self, tx: Transaction) -> None:
        if self.place != EVERYWHERE:
            tx.need(Node, self.place)
        for other in tx.all(OwnCertificate):  # of nodes that are no members any more
            if other.id != EVERYWHERE and tx.get(Node, NodeId(other.id)) is None:
                tx.delete(OwnCertificate, other.id)
        tx.put(
            OwnCertificate(id=self.place, chain_pem=self.chain_pem, key_pem=self.key_pem, installed_at_ms=self.now_ms)
        )


class RemoveCertificate(Command, frozen=True, kw_only=True, tag="own_certificate.remove.1"):
    """The cluster's own certificate is shown there again, or the one for all nodes."""

    TOLD: ClassVar[str] = "removed the certificate shown by {where}"

    FREES_ROOM: ClassVar[bool] = True

    place: str
    where: str

    def apply(self, tx: Transaction) -> None:
        tx.delete(OwnCertificate, self.place)
