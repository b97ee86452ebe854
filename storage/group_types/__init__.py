"""Group types (Cinder): kinds of groups of volumes, and their specs."""

from noded.core.service import Service
from storage.endpoint import BLOCK_STORAGE
from storage.group_types.api import ROUTES
from storage.group_types.commands import ChangeGroupType, CreateGroupType, DeleteGroupType
from storage.group_types.model import GroupType

SERVICE = Service(
    name="storage.group_types",
    endpoint=BLOCK_STORAGE,
    records=(GroupType,),
    commands=(ChangeGroupType, CreateGroupType, DeleteGroupType),
    routes=ROUTES,
)
