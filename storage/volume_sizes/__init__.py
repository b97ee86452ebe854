"""The size of volumes (Cinder, "Volume actions": extend)."""

from noded.core.service import Service
from storage.volume_sizes.api import ACTIONS as ACTIONS
from storage.volume_sizes.commands import ConfirmExtension, ExtendVolume

SERVICE = Service(name="storage.volume_sizes", commands=(ConfirmExtension, ExtendVolume))
