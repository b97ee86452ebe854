"""The image catalogue (Glance, images v2): what images there are, what is written on them, who may see them."""

from images.catalog.api import ROUTES
from images.catalog.commands import ChangeImage, CreateImage, DeactivateImage, DeleteImage
from images.catalog.model import Image, Membership
from images.endpoint import IMAGE
from noded.core.service import Service

SERVICE = Service(
    name="images.catalog",
    endpoint=IMAGE,
    records=(Image, Membership),
    commands=(ChangeImage, CreateImage, DeactivateImage, DeleteImage),
    routes=ROUTES,
)
