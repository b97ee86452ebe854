"""Snapshots (Cinder v3, "Volume snapshots"): what a volume was at one moment. Its blocks are a volume of their own."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.snapshots.api import ACTIONS as ACTIONS
from storage.snapshots.api import ROUTES
from storage.snapshots.commands import (
    ChangeSnapshot,
    CreateSnapshot,
    DeleteSnapshot,
    ResetSnapshotStatus,
    RevertVolume,
    UpdateSnapshotStatus,
)
from storage.snapshots.examine import examine_snapshots
from storage.snapshots.model import Snapshot

SERVICE = Service(
    name="storage.snapshots",
    endpoint=BLOCK_STORAGE,
    records=(Snapshot,),
    commands=(ChangeSnapshot, CreateSnapshot, DeleteSnapshot, ResetSnapshotStatus, RevertVolume, UpdateSnapshotStatus),
    routes=ROUTES,
    examines_records=(examine_snapshots,),
)
