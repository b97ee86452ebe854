"""Services (Identity API v3, /services): the APIs in the catalogue, our own and those told of by hand."""

from noded.core.service import Service
from noded.identity.endpoint import IDENTITY
from noded.identity.places import StoredService
from noded.identity.services.api import ROUTES
from noded.identity.services.commands import CreateService, DeleteService, UpdateService

SERVICE = Service(
    name="noded.identity.services",
    endpoint=IDENTITY,
    records=(StoredService,),
    commands=(CreateService, UpdateService, DeleteService),
    routes=ROUTES,
)
