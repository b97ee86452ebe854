"""Endpoints (Identity API v3, /endpoints): the addresses of services, the daemon's own and those told of by hand."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.endpoints.api import ROUTES
from noded.identity.endpoints.commands import CreateEndpoint, DeleteEndpoint, UpdateEndpoint
from noded.identity.places import StoredEndpoint

SERVICE = Service(
    name="noded.identity.endpoints",
    endpoint=IDENTITY,
    records=(StoredEndpoint,),
    commands=(CreateEndpoint, UpdateEndpoint, DeleteEndpoint),
    routes=ROUTES,
)
