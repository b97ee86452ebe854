"""Group snapshots (Cinder v3): what all volumes of a group were at one moment."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.group_snapshots.api import ROUTES
from storage.group_snapshots.commands import CreateGroupSnapshot, DeleteGroupSnapshot, ResetGroupSnapshotStatus
from storage.group_snapshots.model import GroupSnapshot

SERVICE = Service(
    name="storage.group_snapshots",
    endpoint=BLOCK_STORAGE,
    records=(GroupSnapshot,),
    commands=(CreateGroupSnapshot, DeleteGroupSnapshot, ResetGroupSnapshotStatus),
    routes=ROUTES,
)
