"""Regions (Identity API v3, /regions): where endpoints are. The cloud's own is there from the start."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.places import Region
from noded.identity.regions.api import ROUTES
from noded.identity.regions.commands import CreateRegion, DeleteRegion, UpdateRegion

SERVICE = Service(
    name="noded.identity.regions",
    endpoint=IDENTITY,
    records=(Region,),
    commands=(CreateRegion, UpdateRegion, DeleteRegion),
    routes=ROUTES,
)
