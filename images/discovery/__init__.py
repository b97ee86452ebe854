"""Glance's version documents: what a client reads before it speaks any version (API reference, "API versions")."""

from images.discovery.api import ROUTES
from images.endpoint import IMAGE
from noded.core.service import Service

SERVICE = Service(name="images.discovery", endpoint=IMAGE, routes=ROUTES)
