"""How an attachment looks in Cinder's API (from 3.27 on), and how an outside machine would reach the volume."""

from noded.core.times import naive_micro
from storage.volumes.model import Attachment, Volume


def attach_status(attachment: Attachment) -> str:
    """Cinder's word for how far the attachment is."""
    if attachment.detaching:
        return "detaching"
    if attachment.attached_ms is not None:
        return "attached"
    return "attaching" if attachment.connector else "reserved"


def attachment_brief(volume: Volume, attachment: Attachment) -> dict[str, object]:
    """One entry of the short list."""
    return {
        "id": attachment.id,
        "status": attach_status(attachment),
        "instance": attachment.server_id,
        "volume_id": volume.id,
    }


def attachment_detail(volume: Volume, attachment: Attachment) -> dict[str, object]:
    """The whole attachment."""
    attached_ms = attachment.attached_ms
    return attachment_brief(volume, attachment) | {
        "attached_at": "" if attached_ms is None else naive_micro(attached_ms),
        "detached_at": "",
        "attach_mode": "ro" if attachment.read_only else "rw",
        "connection_info": connection(volume, attachment) if attachment.connector else {},
    }


def connection(volume: Volume, attachment: Attachment) -> dict[str, object]:
    """What a node of the cluster needs to serve the volume: its id. No other machine can reach a volume's blocks."""
    return {
        "driver_volume_type": "noded",
        "attachment_id": attachment.id,
        "volume_id": volume.id,
        "size_bytes": volume.size_bytes,
        "access_mode": "ro" if attachment.read_only else "rw",
        "encrypted": volume.encryption is not None,
        "discard": True,
        "qos_specs": None,
    }
