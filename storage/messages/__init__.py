"""Messages to users (Cinder, "Messages"): what went wrong after a request had been accepted."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.messages.api import ROUTES
from storage.messages.commands import DeleteMessage
from storage.messages.model import Message

SERVICE = Service(
    name="storage.messages", endpoint=BLOCK_STORAGE, records=(Message,), commands=(DeleteMessage,), routes=ROUTES
)
