"""Neutron's version documents, above the API's own prefix: what a client reads before it has a token."""

from net.discovery.api import ROUTES
from net.endpoint import NETWORK_VERSIONS
from noded.core.service import Service

SERVICE = Service(name="net.discovery", endpoint=NETWORK_VERSIONS, routes=ROUTES)
