"""Quota sets, quota classes and limits (Cinder): what each project may use of block storage, and what it uses."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.quota_sets.api import ROUTES
from storage.quota_sets.examine import examine_quotas

SERVICE = Service(name="storage.quota_sets", endpoint=BLOCK_STORAGE, routes=ROUTES, examines_records=(examine_quotas,))
