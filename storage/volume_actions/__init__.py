"""The actions on volumes (Cinder, "Volume actions"): one route, behind which every service's actions are."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.volume_actions.api import ROUTES
from storage.volume_actions.commands import (
    BeginDetaching,
    ForceDeleteVolume,
    ReleaseVolume,
    ReserveVolume,
    ResetStatus,
    RetypeVolume,
    RollDetaching,
    SetImageMetadata,
    SetVolumeFlags,
)

SERVICE = Service(
    name="storage.volume_actions",
    endpoint=BLOCK_STORAGE,
    commands=(
        BeginDetaching,
        ForceDeleteVolume,
        ReleaseVolume,
        ReserveVolume,
        ResetStatus,
        RetypeVolume,
        RollDetaching,
        SetImageMetadata,
        SetVolumeFlags,
    ),
    routes=ROUTES,
)
