"""The image catalogue (Glance, images v2): what images there are, what is written on them, who may see them."""

from images.catalog.api import ROUTES
from images.catalog.commands import (
    AddMember,
    AnswerShare,
    ChangeImage,
    CreateImage,
    DeactivateImage,
    DeleteImage,
    RemoveMember,
)
from images.catalog.model import Image, Membership
from images.endpoint import IMAGE
from noded.core.service import Service

SERVICE = Service(
    name="images.catalog",
    endpoint=IMAGE,
    records=(Image, Membership),
    commands=(AddMember, AnswerShare, ChangeImage, CreateImage, DeactivateImage, DeleteImage, RemoveMember),
    routes=ROUTES,
)
