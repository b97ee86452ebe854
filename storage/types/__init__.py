"""Volume types (Cinder): kinds of volumes, their extra specs, who may use them, how they are encrypted."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.types.api import ROUTES
from storage.types.commands import (
    ChangeType,
    CreateType,
    DeleteType,
    SetProjectType,
    SetTypeAccess,
    SetTypeEncryption,
    SetTypeSpecs,
)
from storage.types.model import ProjectType, VolumeType

SERVICE = Service(
    name="storage.types",
    endpoint=BLOCK_STORAGE,
    records=(ProjectType, VolumeType),
    commands=(
        ChangeType,
        CreateType,
        DeleteType,
        SetProjectType,
        SetTypeAccess,
        SetTypeEncryption,
        SetTypeSpecs,
    ),
    routes=ROUTES,
)
