"""Images made of volumes (Cinder, "Volume actions": upload to image); the images' side is `images/exports`."""

from noded.core.service import Service
from storage.volume_uploads.api import ACTIONS as ACTIONS

SERVICE = Service(name="storage.volume_uploads")
