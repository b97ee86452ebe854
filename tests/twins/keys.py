"""Nodes' certificates for tests with real processes: one cluster, as many nodes as asked for."""

from datetime import UTC, datetime
from pathlib import Path

from consensus.authority import Authority, found_authority, new_private_key, public_key_of, sign_node
from consensus.naming import node_id_of
from noded.core.ids import NodeId


class Keys:
    """A cluster's authority."""

    def __init__(self) -> None:
        self.authority: Authority = found_authority("test", datetime.now(UTC))

    def admit(self, directory: Path) -> NodeId:
        """Make a node's key and certificate in `directory`; the node's id."""
        directory.mkdir(parents=True)
        key = new_private_key()
        public_key = public_key_of(key)
        (directory / "node.key").write_bytes(key)
        (directory / "node.crt").write_bytes(sign_node(self.authority, public_key, datetime.now(UTC)))
        (directory / "ca.crt").write_bytes(self.authority.certificate_pem)
        return node_id_of(public_key)
