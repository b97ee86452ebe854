"""Quota sets, quota classes and limits (Cinder): what each project may use of block storage, and what it uses."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.quota_sets.api import ROUTES

SERVICE = Service(name="storage.quota_sets", endpoint=BLOCK_STORAGE, routes=ROUTES)
