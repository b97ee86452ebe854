"""Metadata definitions (Glance, "Metadata definitions"): what properties images, servers and volumes may be given."""

from images.endpoint import IMAGE
from images.metadefs.api import ROUTES
from images.metadefs.commands import ChangeNamespace, CreateNamespace, DeleteNamespace
from images.metadefs.model import Namespace
from noded.core.service import Service

SERVICE = Service(
    name="images.metadefs",
    endpoint=IMAGE,
    records=(Namespace,),
    commands=(ChangeNamespace, CreateNamespace, DeleteNamespace),
    routes=ROUTES,
)
