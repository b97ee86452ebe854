"""What `noded doctor` says of something that does not match: what, why, and how it is mended."""

import msgspec

from noded.core.ids import NodeId


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as the records say, or a record that nothing stands for."""

    kind: str  # such as `orphan replica`
    subject: str  # the id, path or name of what it is about
    what: str
    why: str
    mend: str
    node_id: NodeId | None = None  # whose machine it is about; None: the records alone show it
    # It is no fault yet while it is younger: what goes on with a thing is allowed to take so long.
    patience_s: float = 0.0

    @property
    def key(self) -> tuple[str, str, str]:
        """Two looks that find the same find it under the same key."""
        return self.kind, self.subject, self.node_id or ""
