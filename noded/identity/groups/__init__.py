"""Groups (Identity API v3, /groups): users who hold roles together."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.groups.api import ROUTES
from noded.identity.groups.commands import AddToGroup, CreateGroup, DeleteGroup, RemoveFromGroup, UpdateGroup
from noded.identity.model import Group, Membership

SERVICE = Service(
    name="noded.identity.groups",
    endpoint=IDENTITY,
    records=(Group, Membership),
    commands=(CreateGroup, UpdateGroup, DeleteGroup, AddToGroup, RemoveFromGroup),
    routes=ROUTES,
)
