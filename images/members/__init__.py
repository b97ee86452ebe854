"""Sharing images with projects one by one (Glance, images v2, "Sharing")."""

from images.endpoint import IMAGE
from images.members.api import ROUTES
from noded.core.service import Service

SERVICE = Service(name="images.members", endpoint=IMAGE, routes=ROUTES)
