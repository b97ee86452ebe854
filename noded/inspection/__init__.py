"""The cloud looked at from inside: nodes and their vitals, the routes, and why a thing is as it is. Our own API."""

from noded.core.service import Service
from noded.inspection.api import PEER_CALLS, ROUTES
from noded.inspection.endpoint import INSPECTION

SERVICE = Service(
    name="noded.inspection",
    endpoint=INSPECTION,
    routes=ROUTES,
    peer_calls=PEER_CALLS,
)
