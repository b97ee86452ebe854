"""The words on a volume (Cinder, "Volumes": metadata)."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.volume_metadata.api import ROUTES

SERVICE = Service(name="storage.volume_metadata", endpoint=BLOCK_STORAGE, routes=ROUTES)
