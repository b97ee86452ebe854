"""Groups of volumes (Cinder v3, "Groups"): what is snapshotted together, and made from such snapshots together."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.groups.api import ROUTES
from storage.groups.commands import ChangeGroup, CreateGroup, DeleteGroup, ResetGroupStatus

SERVICE = Service(
    name="storage.groups",
    endpoint=BLOCK_STORAGE,
    commands=(ChangeGroup, CreateGroup, DeleteGroup, ResetGroupStatus),
    routes=ROUTES,
)
