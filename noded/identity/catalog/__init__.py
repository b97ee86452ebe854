"""Services, endpoints and regions (Identity API v3): read from what the node serves, so they can't be wrong."""

from noded.core.service import Service
from noded.identity.catalog.api import ROUTES
from noded.identity.endpoint import IDENTITY

SERVICE = Service(name="noded.identity.catalog", endpoint=IDENTITY, routes=ROUTES)
