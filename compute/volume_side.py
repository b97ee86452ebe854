"""What does a volume's record say of the server that has it? Pure; used where servers are made and where disks come."""

from compute.placement.model import ComputeNode
from noded.core.ids import AttachmentId, NodeId
from noded.core.store import View
from storage.volumes.model import Attachment


def volume_side(
    view: View, server_id: str, node_id: NodeId, attachment_id: AttachmentId, device: str, *, asked_ms: int
) -> Attachment:
    """The volume's half of an attachment; `device` is the disk's name in the guest."""
    node = view.get(ComputeNode, node_id)
    host = node_id if node is None else node.name
    return Attachment(
        id=attachment_id,
        server_id=server_id,
        node_id=node_id,
        host=host,
        device=device,
        connector={"host": host, "mountpoint": device},
        asked_ms=asked_ms,
    )
