"""Who uses a volume: attachments (Cinder, block storage v3, "Attachments", from microversion 3.27 on)."""

from noded.core.service import Service
from storage.attachments.api import ACTIONS, ROUTES
from storage.attachments.commands import ChangeAttachment, CreateAttachment, DeleteAttachment
from storage.endpoint import BLOCK_STORAGE

__all__ = ["ACTIONS", "SERVICE"]

SERVICE = Service(
    name="storage.attachments",
    endpoint=BLOCK_STORAGE,
    commands=(ChangeAttachment, CreateAttachment, DeleteAttachment),
    routes=ROUTES,
)
