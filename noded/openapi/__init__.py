"""The description of every API, in OpenAPI 3.1, made from the routes that this node serves: /noded/v1/openapi.json."""

from consensus.endpoint import NODED
from noded.core.service import Service
from noded.openapi.api import ROUTES

SERVICE = Service(name="noded.openapi", endpoint=NODED, routes=ROUTES)
