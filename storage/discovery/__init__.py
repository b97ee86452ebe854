"""Cinder's version documents: what a client reads before it speaks any version (API reference, "API versions")."""

from noded.core.service import Service
from storage.discovery.api import ROUTES
from storage.endpoint import BLOCK_STORAGE

SERVICE = Service(name="storage.discovery", endpoint=BLOCK_STORAGE, routes=ROUTES)
